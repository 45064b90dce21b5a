"""Pages of what was: calls, transfers, open holds, the audit. For the operator of all, for an agent of its own."""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.flow import _documents as documents
from arbstr_core.flow import _paging as paging
from arbstr_core.flow._savings import savings
from arbstr_core.types import BadRequest
from arbstr_core.vault import HOLD_KINDS, AgentRecord, Filter, History, transfer_kinds

Json = dict[str, Any]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list is asked for, and what it is filtered by."""

    cursor: str | None = None
    limit: int | None = None
    kind: str | None = None
    model: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class Records:
    """Reads them a page at a time. Where `agent` is given it is of that key and those below it."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def calls(self, agent: AgentRecord | None, asked: Asked) -> Json:
        """Calls, reservations and payouts that held money."""
        account, wanted = await self._whose(agent, asked, HOLD_KINDS)
        before = paging.place("hold", asked.cursor)
        part = await self._history.holds(account, wanted, before=before, most=paging.rows_of(asked.limit))
        return paging.page(part, "hold", documents.call)

    async def open_holds(self, agent: AgentRecord | None, asked: Asked) -> Json:
        """What is held and has not ended."""
        _, wanted = await self._whose(agent, asked, HOLD_KINDS)
        if agent is not None and wanted.agents is None:
            wanted = msgspec.structs.replace(wanted, agents=await self._family(agent))
        before = paging.place("open", asked.cursor)
        part = await self._history.open_holds(wanted, before=before, most=paging.rows_of(asked.limit))
        return paging.page(part, "open", documents.open_hold)

    async def transfers(self, agent: AgentRecord | None, asked: Asked) -> Json:
        """The ledger as the operator sees it."""
        part, kind = await self._transfers(agent, asked)
        return paging.page(part, kind, documents.transfer)

    async def movements(self, agent: AgentRecord, asked: Asked) -> Json:
        """The ledger as an agent sees it: what changed its balance."""
        part, kind = await self._transfers(agent, asked)
        return paging.page(part, kind, documents.movement)

    async def _transfers(self, agent: AgentRecord | None, asked: Asked) -> tuple[Any, str]:
        account, wanted = await self._whose(agent, asked, transfer_kinds())
        before = paging.place("transfer", asked.cursor)
        part = await self._history.transfers(account, wanted, before=before, most=paging.rows_of(asked.limit))
        return part, "transfer"

    async def audit(self, asked: Asked, *, subject: str | None, action: str | None) -> Json:
        """Rows of the audit."""
        before = paging.place("audit", asked.cursor)
        part = await self._history.audit(
            subject=subject, action=action, before=before, most=paging.rows_of(asked.limit)
        )
        return paging.page(part, "audit", documents.audit)

    async def limits(self, agent: AgentRecord, asked: Asked) -> Json:
        """All versions of an agent's limits, the newest first."""
        before = paging.place("limits", asked.cursor)
        part = await self._history.limits(agent.id, before=before, most=paging.rows_of(asked.limit))
        return paging.page(part, "limits", documents.limits_version)

    async def agents(self, parent: AgentRecord | None, asked: Asked) -> Json:
        """Agents, the oldest first."""
        part = await self._history.agents(
            parent=None if parent is None else parent.id,
            after=paging.name("agent", asked.cursor),
            most=paging.rows_of(asked.limit),
        )
        return paging.page(part, "agent", documents.agent)

    async def savings(self, baseline: str, *, since_ms: int | None, until_ms: int | None) -> Json:
        """What routing has saved."""
        return await savings(self._history, baseline, since_ms=since_ms, until_ms=until_ms)

    async def _whose(self, agent: AgentRecord | None, asked: Asked, kinds: frozenset[str]) -> tuple[int | None, Filter]:
        if asked.kind is not None and asked.kind not in kinds:
            raise BadRequest(f"There is no kind {asked.kind!r}; there is: {', '.join(sorted(kinds))}", param="kind")
        since, until = asked.since_ms, asked.until_ms
        if since is not None and until is not None and since >= until:
            raise BadRequest(f"since_ms {since} is not before until_ms {until}", param="since_ms")
        wanted = Filter(kind=asked.kind, model=asked.model, since_ms=since, until_ms=until)
        if agent is None:
            return None, wanted
        account = await self._history.account_of(agent.id)
        if agent.parent is None:
            return account, wanted
        return account, msgspec.structs.replace(wanted, agents=await self._family(agent))

    async def _family(self, agent: AgentRecord) -> frozenset[str]:
        below = await self._history.keys_below(agent.id)
        return frozenset([agent.id, *(each.id for each in below)])
