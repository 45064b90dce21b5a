"""Replays the limits: what each bucket should hold, and that no hold and no day went past the limits in force then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from arbstr_core.vault._buckets import FORGOTTEN, KEPT_MS
from arbstr_core.vault._checks import SIGNED
from arbstr_core.vault._columns import pages
from arbstr_core.vault._ends import UNAPPROVED, Key, Window
from arbstr_core.vault._said import Said
from arbstr_core.vault._standing import Terms

_TENTH_OF_MINUTE_MS = 6_000
# What a hold counts for: what it holds, then what was charged.
_FIGURES = f"""sum(CASE h.state WHEN 'held' THEN h.amount_msat ELSE coalesce(x.amount_msat, 0) END),
{UNAPPROVED}, min(h.seq), max(h.seq)"""
_OTHER = f"""SELECT w.agent_id, w.kind, w.window_start_ms, {_FIGURES} FROM hold_window w
JOIN hold h ON h.seq = w.hold_seq LEFT JOIN transfer x ON x.hold_seq = h.seq
WHERE w.kind IN ('day', 'minute') AND w.hold_seq BETWEEN {{0}} AND {{1}} GROUP BY 1, 2, 3"""
# And what was corrected since.
_CORRECTED = f"""SELECT {{0}}, sum({SIGNED.format("e.")}) FROM transfer c JOIN transfer o ON o.seq = c.refers_to
JOIN hold h ON h.seq = o.hold_seq JOIN entry e ON e.transfer_seq = c.seq AND e.account_id = h.account_id {{1}}
WHERE c.kind = 'correction' GROUP BY 1, 2, 3"""
_CORRECTIONS = (
    _CORRECTED.format("h.agent_id, 'day', h.window_start_ms", ""),
    _CORRECTED.format(
        "w.agent_id, w.kind, w.window_start_ms",
        "JOIN hold_window w ON w.hold_seq = h.seq AND w.kind IN ('day', 'minute')",
    ),
)
_BUCKETS = "SELECT agent_id, kind, window_start_ms, used FROM bucket ORDER BY 1, 2, 3"
_ABOVE = """SELECT seq, id, agent_id, amount_msat, created_ms FROM hold
WHERE approval_id IS NULL AND amount_msat > {0} ORDER BY seq"""
_REQUESTS = f"""SELECT agent_id, created_ms / {_TENTH_OF_MINUTE_MS} * {_TENTH_OF_MINUTE_MS}, count(*) FROM hold
WHERE created_ms >= {{0}} GROUP BY 1, 2
UNION ALL SELECT agent_id, created_ms / {_TENTH_OF_MINUTE_MS} * {_TENTH_OF_MINUTE_MS}, count(*) FROM approval
WHERE created_ms >= {{0}} AND kind <> 'payout' GROUP BY 1, 2"""
_ATTEMPTS = """SELECT w.agent_id, w.window_start_ms, sum(e.amount_msat) FROM hold_window w
JOIN transfer x ON x.hold_seq = w.hold_seq JOIN entry e ON e.transfer_seq = x.seq
JOIN account a ON a.id = e.account_id AND a.name = 'cost:attempt' WHERE w.kind = 'attempts' GROUP BY 1, 2"""
_COUNTED = "SELECT agent_id, window_start_ms, used FROM bucket WHERE kind = '{0}' ORDER BY 1, 2"


def windows(
    connection: sa.Connection, said: Said, terms: dict[str, list[Terms]], days: dict[Key, Window]
) -> str | None:
    """The first bucket or hold that is wrong; `days` are what holds make of their own agents' days."""
    made = _made(connection, days)
    parents = dict(tuple(row) for row in connection.exec_driver_sql("SELECT id, parent_id FROM agent"))
    limits = _Limits(said, terms, parents)
    wrong = _first_bucket(connection, made, limits)
    return (
        wrong
        or _first_hold(connection, made, limits)
        or _first_request(connection, parents)
        or _first_above(connection, "attempts", _attempts(connection))
    )


def _attempts(connection: sa.Connection) -> dict[tuple[str, int], int]:
    """What failed attempts cost, by agent and hour."""
    return {(row[0], row[1]): int(row[2]) for row in connection.exec_driver_sql(_ATTEMPTS)}


def _made(connection: sa.Connection, days: dict[Key, Window]) -> dict[Key, Window]:
    """What the holds make of each window."""
    made = dict(days)
    for page in pages(connection, "hold_window", "hold_seq"):
        for agent, kind, start, *figures in connection.exec_driver_sql(_OTHER.format(*page)):
            made.setdefault((agent, kind, start), Window()).add(*figures)
    for query in _CORRECTIONS:
        for agent, kind, start, msat in connection.exec_driver_sql(query):
            window = made.setdefault((agent, kind, start), Window())
            window.msat += int(msat)
            window.corrected = True
    return made


class _Limits:
    """What was in force when."""

    def __init__(self, said: Said, terms: dict[str, list[Terms]], parents: dict[str, str | None]) -> None:
        self._said = said
        self._terms = terms
        self._parents = parents

    def lines(self, agent: str) -> Iterator[list[Terms]]:
        """All versions of the agent's limits and of each parent's."""
        name: str | None = agent
        while name is not None:
            yield self._terms.get(name, [])
            name = self._parents.get(name)

    def in_force(self, versions: Sequence[Terms], seq: int, at_ms: int | None, until: int | None = None) -> list[Terms]:
        """The versions in force when hold `seq` was opened, and until hold `until` was. What the same transaction
        (`at_ms`) replaced before it was written down counts, too."""
        first = self._said.place("hold", seq)
        last = first if until is None else self._said.place("hold", until)
        found = [each for each in versions if first < each.place <= last]
        for each in reversed([each for each in versions if each.place <= first]):
            found.append(each)
            if each.created_ms != at_ms:
                break
        # Nothing is held for who has no limits: those that one transaction wrote down after the hold were there.
        return found or list(versions[:1])


def _most(amounts: Iterable[int | None]) -> int:
    return max((amount for amount in amounts if amount is not None), default=-1)


def _first_bucket(connection: sa.Connection, made: dict[Key, Window], limits: _Limits) -> str | None:
    there: set[Key] = set()
    for agent, kind, start, used in connection.exec_driver_sql(_BUCKETS):
        there.add((agent, kind, start))
        if kind in ("requests", "attempts"):
            continue
        window = made.get((agent, kind, start)) or Window()
        if used != window.msat:
            return f"agent {agent}, {kind} {start}: {used} msat of the limit are used, its calls make {window.msat}"
        if kind == "day" and used > _daily(limits, agent, window) and used > _daily(limits, agent, window, connection):
            return f"agent {agent}, day {start}: {used} msat are used, above every daily limit there was"
    newest: dict[tuple[str, str], int] = {}
    for agent, kind, start in there:
        newest[agent, kind] = max(start, newest.get((agent, kind), start))
    lost = (
        key
        for key, window in made.items()
        if key not in there and window.msat and not _is_forgotten(key, newest.get(key[:2]))
    )
    missing = min(lost, default=None)
    return None if missing is None else f"agent {missing[0]}, {missing[1]} {missing[2]}: its calls are not counted"


def _is_forgotten(key: Key, newest: int | None) -> bool:
    """Whether a window is so short and so long over that it may be gone."""
    return key[1] in FORGOTTEN and newest is not None and key[2] < newest - KEPT_MS


def _daily(limits: _Limits, agent: str, window: Window, connection: sa.Connection | None = None) -> int:
    """The largest limit of a day; with what the transaction of its first hold replaced, where a connection is given."""
    own = next(limits.lines(agent))
    if window.corrected:
        return _most(each.daily for each in own)
    began = None
    if connection is not None:
        began = connection.exec_driver_sql(f"SELECT created_ms FROM hold WHERE seq = {window.first}").scalar()
    return _most(each.daily for each in limits.in_force(own, window.first, began, window.last))


def _first_hold(connection: sa.Connection, made: dict[Key, Window], limits: _Limits) -> str | None:
    """Holds above the smallest limit that was ever in force are looked at one by one."""
    floors = {
        agent: min((each.max_charge or 0 for versions in limits.lines(agent) for each in versions), default=0)
        for agent in {key[0] for key in made}
    }
    suspect = [floors[key[0]] for key, window in made.items() if key[1] == "day" and window.single > floors[key[0]]]
    if not suspect:
        return None
    for seq, id, agent, amount, created in connection.exec_driver_sql(_ABOVE.format(min(suspect))):
        for versions in limits.lines(agent):
            most = _most(each.max_charge for each in limits.in_force(versions, seq, created))
            if amount > most:
                return f"hold {id}: {amount} msat are above {max(most, 0)}, the largest charge of agent {agent} then"
    return None


def _first_request(connection: sa.Connection, parents: dict[str, str | None]) -> str | None:
    """Requests are counted with the holds that they opened, and the approvals that they asked for."""
    since = connection.exec_driver_sql("SELECT min(window_start_ms) FROM bucket WHERE kind = 'requests'").scalar()
    if since is None:
        return None
    opened: dict[tuple[str, int], int] = {}
    for agent, start, count in connection.exec_driver_sql(_REQUESTS.format(since)):
        name: str | None = agent
        while name is not None:
            opened[name, start] = opened.get((name, start), 0) + count
            name = parents.get(name)
    return _first_above(connection, "requests", opened)


def _first_above(connection: sa.Connection, kind: str, made: dict[tuple[str, int], int]) -> str | None:
    """The first bucket that counts more than there was."""
    for agent, start, used in connection.exec_driver_sql(_COUNTED.format(kind)):
        most = made.get((agent, start), 0)
        if used > most:
            return f"agent {agent}: {used} {kind} are counted at {start}, its holds make {most}"
    return None
