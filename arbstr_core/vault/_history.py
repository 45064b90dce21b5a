"""History, a part at a time: holds, transfers, the audit, versions of limits, keys.

What belongs to one account is found by walking back from its newest row, since no index knows it. Each step of a walk
asks for the account again, so that a place in somebody else's history leads nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from arbstr_core.storage import Database
from arbstr_core.vault import _audit, _left, _reads, _walks
from arbstr_core.vault import _tables as t
from arbstr_core.vault._gauges import Gauges, gauges
from arbstr_core.vault._pages import AuditRow, Filter, HoldRow, Left, LimitsRow, Part, ServedRow, TransferRow
from arbstr_core.vault._values import AgentRecord


class History:
    """Reads what was. `most` is how many rows a part may have, `before` the `following` of the part before it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def holds(self, account: int | None, wanted: Filter, *, before: int | None, most: int) -> Part[HoldRow, int]:
        """Holds of an account, or of all."""
        return await self._db.read(lambda connection: _walks.holds(connection, account, wanted, before, most))

    async def served(
        self, *, since_ms: int | None, until_ms: int | None, before: int | None, most: int
    ) -> Part[ServedRow, int]:
        """Calls of all accounts that were settled, out of `most` holds."""
        return await self._db.read(lambda connection: _walks.served(connection, since_ms, until_ms, before, most))

    async def open_holds(self, wanted: Filter, *, before: int | None, most: int) -> Part[HoldRow, int]:
        """Holds that have not ended."""
        return await self._db.read(lambda connection: _walks.open_holds(connection, wanted, before, most))

    async def hold(self, id: str) -> HoldRow | None:
        """The hold with this id."""
        return await self._db.read(lambda connection: _walks.hold(connection, id))

    async def transfers(
        self, account: int | None, wanted: Filter, *, before: int | None, most: int
    ) -> Part[TransferRow, int]:
        """Transfers with an entry of an account, or all."""
        return await self._db.read(lambda connection: _walks.transfers(connection, account, wanted, before, most))

    async def audit(
        self, *, subject: str | None, action: str | None, before: int | None, most: int
    ) -> Part[AuditRow, int]:
        """Rows of the audit; those that vouch for the ledger's own rows only where their action is asked for."""
        return await self._db.read(lambda connection: _audit_rows(connection, subject, action, before, most))

    async def limits(self, agent: str, *, before: int | None, most: int) -> Part[LimitsRow, int]:
        """The versions of an agent's limits."""
        return await self._db.read(lambda connection: _limits(connection, agent, before, most))

    async def agents(self, *, parent: str | None, after: str | None, most: int) -> Part[AgentRecord, str]:
        """All agents, or the child keys of one, oldest first; `after` is the `following` of the part before."""
        return await self._db.read(lambda connection: _agents(connection, parent, after, most))

    async def account_of(self, agent: str) -> int | None:
        """The number of the account that an agent spends from."""
        query = sa.select(t.AGENT.c.account_id).where(t.AGENT.c.id == agent)
        return await self._db.read(lambda connection: connection.execute(query).scalar())

    async def keys_below(self, agent: str) -> list[AgentRecord]:
        """The child keys of an agent, and theirs, oldest first."""
        return await self._db.read(lambda connection: _reads.descendants(connection, agent))

    async def lineage(self, agent: str) -> list[AgentRecord]:
        """The agent and those above it, itself first."""
        return await self._db.read(lambda connection: list(_left.lineage(connection, agent)))

    async def left(self, agent: str, now_ms: int) -> list[Left]:
        """What the limits of an agent, and of those above it, leave at this moment; its own first."""
        return await self._db.read(lambda connection: _left.left(connection, agent, now_ms))

    async def gauges(self, *, payments: bool) -> Gauges:
        """What is held, and what accounts hold, in sums; with `payments` also what leaves, and what may not."""
        return await self._db.read(lambda connection: gauges(connection, payments=payments))


def _audit_rows(
    connection: sa.Connection, subject: str | None, action: str | None, before: int | None, most: int
) -> Part[AuditRow, int]:
    row = t.AUDIT.c
    query = sa.select(row.seq, row.action).order_by(row.seq.desc())
    if before is not None:
        query = query.where(row.seq <= before)
    if subject is not None:
        # Word for word as in the index.
        query = query.where(row.subject == subject, sa.text("action <> 'ledger'"))
    looked, after = _walks.looked_at(connection, query, _walks.LOOKED_AT)
    found = _walks.taken(
        looked,
        lambda each: int(each[0]),
        lambda each: each[1] != _audit.LEDGER if action is None else each[1] == action,
        most,
        after,
    )
    columns = (row.seq, row.at_ms, row.actor, row.action, row.subject, row.data, row.hash)
    whole = sa.select(*columns).where(row.seq.in_([each[0] for each in found.rows])).order_by(row.seq.desc())
    rows = (
        AuditRow(**dict(zip(AuditRow.__struct_fields__, _audit_row(each), strict=True)))
        for each in connection.execute(whole)
    )
    return Part(rows=tuple(rows), following=found.following)


def _audit_row(row: Sequence[Any]) -> tuple[Any, ...]:
    return (*row[:5], row[5].encode(), bytes(row[6]).hex())


def _limits(connection: sa.Connection, agent: str, before: int | None, most: int) -> Part[LimitsRow, int]:
    limits = t.LIMITS.c
    query = sa.select(limits.version, limits.max_charge_msat, limits.daily_msat, limits.more, limits.created_ms)
    query = query.where(limits.agent_id == agent).order_by(limits.version.desc()).limit(most + 1)
    if before is not None:
        query = query.where(limits.version <= before)
    rows = [
        LimitsRow(limits=_reads.whole_limits(row[0], row[1], row[2], row[3]), created_ms=row[4])
        for row in connection.execute(query)
    ]
    return Part(rows=tuple(rows[:most]), following=rows[most].limits.version if len(rows) > most else None)


def _agents(connection: sa.Connection, parent: str | None, after: str | None, most: int) -> Part[AgentRecord, str]:
    found = _reads.agents_after(connection, parent, after, most + 1)
    return Part(rows=tuple(found[:most]), following=found[most].id if len(found) > most else None)
