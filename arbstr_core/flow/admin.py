"""What the operator asks for of accounts and money: agents, limits, approvals, the ledger, receipts, proof."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from arbstr_core.flow import _documents as documents
from arbstr_core.flow import _paging as paging
from arbstr_core.flow._keys import Keys, switched_on
from arbstr_core.flow._records import Asked, Records
from arbstr_core.rails import Rails
from arbstr_core.types import BadRequest, Caller, NotFound
from arbstr_core.vault import AgentRecord, ApprovalState, Part, Vault

Json = dict[str, Any]


class AdminFlow:
    """The operator's side of the vault. All rooms of it are None where it is switched off."""

    def __init__(self, vault: Vault | None, keys: Keys | None, records: Records | None, rails: Rails) -> None:
        self._maybe_vault = vault
        self._maybe_keys = keys
        self._maybe_records = records
        self._rails = rails

    @property
    def _vault(self) -> Vault:
        return switched_on(self._maybe_vault)

    @property
    def _keys(self) -> Keys:
        return switched_on(self._maybe_keys)

    @property
    def _records(self) -> Records:
        return switched_on(self._maybe_records)

    # Agents

    async def create_agent(
        self,
        name: str,
        *,
        realm: str | None = None,
        parent: str | None = None,
        fund_msat: int = 0,
        limits: Mapping[str, Any],
        actor: str,
    ) -> Json:
        """Make an agent, or a child key of one. `limits` are those that are named. Nobody sees the token again."""
        if parent is None:
            return await self._keys.create(name, realm=realm, fund_msat=fund_msat, limits=limits, actor=actor)
        above = await self._keys.find(parent)
        if fund_msat:
            raise BadRequest("A child key spends its parent's money; fund that", param="fund_msat")
        if realm not in (None, above.realm):
            raise BadRequest(f"A child key is of its parent's realm, {above.realm}", param="realm")
        return await self._keys.create_below(above, name, limits=limits, actor=actor)

    async def agents(self, asked: Asked, *, parent: str | None = None) -> Json:
        """All agents, or the child keys of one, oldest first."""
        above = None if parent is None else await self._keys.find(parent)
        return await self._records.agents(above, asked)

    async def agent(self, id_or_name: str) -> Json:
        """One agent, by id or name."""
        return documents.agent(await self._keys.find(id_or_name))

    async def caller(self, id_or_name: str) -> Caller:
        """An agent as the one who calls. Raises NotFound."""
        record = await self._keys.find(id_or_name)
        return Caller(agent=record.id, name=record.name, realm=record.realm, enabled=record.enabled)

    async def fund(self, id_or_name: str, amount_msat: int, *, key: str | None = None) -> Json:
        """Give an agent money: made where its realm is `sim`, else out of what the operator's rail holds."""
        if key is not None and not key.isprintable():
            raise BadRequest("key holds characters that cannot be printed; use another", param="key")
        agent = await self._keys.find(id_or_name)
        rail = self._rails.of_realm(agent.realm)
        key = f"fund:{key or secrets.token_hex(16)}"
        return documents.agent(await self._vault.fund(agent.id, amount_msat, rail=rail.name, key=key))

    async def set_enabled(self, id_or_name: str, enabled: bool, *, actor: str) -> Json:
        """Switch an agent on or off; it counts from the next call."""
        return documents.agent(await self._keys.set_enabled(await self._keys.find(id_or_name), enabled, actor=actor))

    async def rotate(self, id_or_name: str, *, actor: str) -> Json:
        """A new token; the old ones stop working at once."""
        return await self._keys.rotate(await self._keys.find(id_or_name), actor=actor)

    async def limits(self, id_or_name: str, asked: Asked) -> Json:
        """The versions of an agent's limits, the newest first."""
        return await self._records.limits(await self._keys.find(id_or_name), asked)

    async def set_limits(self, id_or_name: str, named: Mapping[str, Any], *, whole: bool, actor: str) -> Json:
        """A new version of an agent's limits: the named ones and no others, or the named ones changed."""
        agent = await self._keys.find(id_or_name)
        return documents.agent(await self._keys.set_limits(agent, named, whole=whole, actor=actor))

    # Approvals, and what the operator is told

    async def approvals(self, asked: Asked, *, state: str | None, agent: str | None) -> Json:
        """Approvals, the newest first."""
        whose = None if agent is None else (await self._keys.find(agent)).id
        most = paging.rows_of(asked.limit)
        before = paging.name("approval", asked.cursor)
        wanted = None if state is None else ApprovalState(state)
        found = await self._vault.approvals(state=wanted, agent=whose, before=before, most=most + 1)
        # The list goes on behind the last one that is shown.
        following = found[most - 1].id if len(found) > most else None
        return paging.page(Part(rows=tuple(found[:most]), following=following), "approval", documents.approval)

    async def approval(self, id: str) -> Json:
        """One approval."""
        found = await self._vault.approval(id)
        if found is None:
            raise NotFound(f"There is no approval {id!r}; `arbstr approval list` shows them")
        return documents.approval(found)

    async def decide(self, id: str, *, grant: bool, actor: str) -> Json:
        """Grant or deny what is pending. Raises NotFound, or Conflict where that is not to be decided any more."""
        return documents.approval(await self._vault.decide(id, grant=grant, actor=actor))

    async def events(self, asked: Asked, *, undelivered: bool) -> Json:
        """What the operator was told, or is to be told, the newest first."""
        most = paging.rows_of(asked.limit)
        before = paging.place("event", asked.cursor)
        found = await self._vault.events(undelivered=undelivered, before=before, most=most + 1)
        following = found[most - 1].seq if len(found) > most else None
        return paging.page(Part(rows=tuple(found[:most]), following=following), "event", documents.event)

    # Records

    async def ledger(self, asked: Asked, *, agent: str | None = None) -> Json:
        """Transfers with their entries, the newest first."""
        return await self._records.transfers(await self._named(agent), asked)

    async def holds(self, asked: Asked, *, agent: str | None = None) -> Json:
        """What is held now, the newest first."""
        return await self._records.open_holds(await self._named(agent), asked)

    async def receipts(self, asked: Asked, *, agent: str | None = None) -> Json:
        """Calls and what they cost, the newest first."""
        return await self._records.calls(await self._named(agent), asked)

    async def audit(self, asked: Asked, *, subject: str | None, action: str | None) -> Json:
        """Rows of the audit, the newest first."""
        return await self._records.audit(asked, subject=subject, action=action)

    async def savings(self, baseline: str, *, since_ms: int | None, until_ms: int | None) -> Json:
        """What routing has saved against `baseline`: mean, median or list:PROVIDER."""
        return await self._records.savings(baseline, since_ms=since_ms, until_ms=until_ms)

    async def receipt(self, request_id: str) -> Json:
        """What one call cost, who served it, why."""
        found = await self._vault.receipt(request_id)
        if found is None:
            raise NotFound(
                f"There is no receipt {request_id!r}. It is the x-request-id of an answer; a call that was refused "
                "before money was held has none"
            )
        return documents.receipt(found.id, found.agent, found.state, found.held_msat, found.charged_msat, found.body)

    async def _named(self, agent: str | None) -> AgentRecord | None:
        return None if agent is None else await self._keys.find(agent)
