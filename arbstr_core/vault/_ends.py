"""Replays how holds ended, and what they make of the days of their agents: one pass along the transfers."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from arbstr_core.vault._checks import ENDED, WITHOUT_HOLD, WRONG_END
from arbstr_core.vault._columns import pages

Key = tuple[str, str, int]
"""(agent, kind, start of the window)"""

UNAPPROVED = "max(CASE WHEN h.approval_id IS NULL THEN h.amount_msat ELSE 0 END)"
_ENDS = f"""SELECT agent_id, window_start_ms, sum(charged), max(unapproved), min(hold), max(hold), count(*),
min(account_id), max(account_id), min(realm), max(realm), sum(wrong) FROM (SELECT h.agent_id, h.window_start_ms,
x.amount_msat AS charged, CASE WHEN h.approval_id IS NULL THEN h.amount_msat ELSE 0 END AS unapproved, h.seq AS hold,
h.account_id, x.realm, CASE WHEN {WRONG_END} THEN 1 ELSE 0 END AS wrong
FROM transfer x CROSS JOIN hold h LEFT JOIN approval p ON p.id = h.approval_id
WHERE h.seq = x.hold_seq AND x.seq BETWEEN {{0}} AND {{1}}) AS ended GROUP BY 1, 2"""
_OPEN = f"""SELECT h.agent_id, h.window_start_ms, sum(h.amount_msat), {UNAPPROVED}, min(h.seq), max(h.seq) FROM hold h
WHERE h.state = 'held' GROUP BY 1, 2"""


class Window(msgspec.Struct):
    """What the holds that count in a window make of it."""

    msat: int = 0
    single: int = 0
    first: int = 0
    last: int = 0
    corrected: bool = False

    def add(self, msat: int, single: int, first: int, last: int) -> None:
        """More of them."""
        self.msat += int(msat)
        self.single = max(self.single, single)
        self.first = min(self.first or first, first)
        self.last = max(self.last, last)


class Ends:
    """All holds: those that have ended, each with its transfer, and those that are open."""

    def __init__(self) -> None:
        self.days: dict[Key, Window] = {}
        """what each agent's own holds make of its days"""

    def run(self, connection: sa.Connection) -> str | None:
        """The first hold that did not end as its transfer says, or is of another account than its agent."""
        agents = dict(tuple(row) for row in connection.exec_driver_sql("SELECT id, account_id FROM agent"))
        realms = dict(tuple(row) for row in connection.exec_driver_sql("SELECT id, realm FROM account"))
        ended, strange = 0, False
        for page in pages(connection, "transfer", "seq"):
            for agent, start, *figures, count, low, high, realm, other, wrong in connection.exec_driver_sql(
                _ENDS.format(*page)
            ):
                self._add(agent, start, figures)
                ended += count
                alike = low == high == agents.get(agent) and realm == other == realms.get(low)
                strange = strange or bool(wrong) or not alike
        for agent, start, *figures in connection.exec_driver_sql(_OPEN):
            self._add(agent, start, figures)
        of_holds = connection.exec_driver_sql("SELECT count(hold_seq) FROM transfer").scalar()
        return (ENDED(connection) if strange else None) or (WITHOUT_HOLD(connection) if of_holds != ended else None)

    def _add(self, agent: str, start: int, figures: list[int]) -> None:
        self.days.setdefault((agent, "day", start), Window()).add(*figures)
