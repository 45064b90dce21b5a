"""What an agent asks for of its own account: balance, limits, history, what a call would cost, and its child keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arbstr_core.api import Clock
from arbstr_core.flow import _documents as documents
from arbstr_core.flow import _paging as paging
from arbstr_core.flow._keys import Keys, switched_on
from arbstr_core.flow._quoted import Quoted, most
from arbstr_core.flow._records import Asked, Records
from arbstr_core.flow.call import CallFlow
from arbstr_core.types import (
    Caller,
    ChatCall,
    Conflict,
    NotFound,
    NothingQualifies,
    PolicyRefused,
    ProvidersUnavailable,
)
from arbstr_core.vault import AgentRecord, History

Json = dict[str, Any]

_MOST_KEYS = 1_000
"""below one agent, where it makes them itself"""


class WalletFlow:
    """The agent's side of the vault. All rooms of it are None where it is switched off."""

    def __init__(
        self,
        calls: CallFlow,
        clock: Clock,
        *,
        history: History | None,
        keys: Keys | None,
        records: Records | None,
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._maybe_history = history
        self._maybe_keys = keys
        self._maybe_records = records

    @property
    def _history(self) -> History:
        return switched_on(self._maybe_history)

    @property
    def _keys(self) -> Keys:
        return switched_on(self._maybe_keys)

    @property
    def _records(self) -> Records:
        return switched_on(self._maybe_records)

    async def identify(self, authorization: str) -> Caller:
        """Whose wallet it is. Raises Unauthorized, AgentDisabled or VaultUnavailable."""
        return await self._calls.identify(authorization)

    # The account

    async def balance(self, caller: Caller) -> Json:
        """The account that the agent spends from, and the most that one call of it may cost now."""
        me = await self._me(caller)
        lefts = await self._history.left(me.id, self._clock.now_ms())
        return {
            "agent": me.id,
            "name": me.name,
            "realm": me.realm,
            "parent": me.parent,
            "posted_msat": me.posted_msat,
            "held_msat": me.held_msat,
            "available_msat": me.available_msat,
            "spendable_msat": most(me, lefts),
        }

    async def limits(self, caller: Caller) -> Json:
        """The agent's limits, what each leaves, and those of the keys above it."""
        me = await self._me(caller)
        lefts = await self._history.left(me.id, self._clock.now_ms())
        return {
            "limits": None if me.limits is None else documents.limits(me.limits),
            "left": [documents.left(each) for each in lefts],
        }

    async def calls(self, caller: Caller, asked: Asked) -> Json:
        """Calls of the agent and of the keys below it, the newest first."""
        return await self._records.calls(await self._me(caller), asked)

    async def transfers(self, caller: Caller, asked: Asked) -> Json:
        """What changed the balance, the newest first; of a child key, what its calls cost."""
        return await self._records.movements(await self._me(caller), asked)

    async def receipt(self, caller: Caller, request_id: str) -> Json:
        """The receipt of a call of the agent, or of a key below it. Somebody else's does not exist."""
        me = await self._me(caller)
        found = await self._history.hold(request_id)
        if found is None or me.id not in await self._lineage(found.agent):
            raise NotFound(f"There is no receipt {request_id!r} of yours. It is the x-request-id of an answer")
        return documents.receipt(found.id, found.agent, found.state, found.held_msat, found.charged_msat, found.body)

    async def claim(self, key: str) -> Json:
        """What became of the token that a call was paid with, and the change of it. Raises NotFound."""
        return await self._calls.claim(key)

    async def count_input(self, caller: Caller, call: ChatCall) -> int:
        """The tokens of input of `call`. Raises what it would be refused with."""
        return await self._calls.count_input(call, caller)

    async def quote(self, caller: Caller, call: ChatCall) -> Json:
        """What `call` would be held for and is expected to cost, by candidate, and what would refuse it, once all has
        been tried that a call tries."""
        await self._me(caller)
        try:
            plan = self._calls.plan(call, caller)
        except (NothingQualifies, PolicyRefused, ProvidersUnavailable) as refused:
            nobody = {"granted": False, "hold_msat": 0, "covered": 0, "output_limit": None, "refusal": None}
            return {"model": call.model, **nobody, **documents.no_plan(str(refused), refused.out)}
        verdict, plan = await Quoted(self._history, self._clock, self._calls, call, caller).verdict(plan)
        return {"model": call.model, **verdict, **documents.plan(plan)}

    # Child keys

    async def create_key(self, caller: Caller, name: str, limits: Mapping[str, Any]) -> Json:
        """A key below the agent's own, named below it, too: so nobody learns or takes the names of others."""
        me = await self._me(caller)
        if len(await self._history.keys_below(me.id)) >= _MOST_KEYS:
            raise Conflict(f"{_MOST_KEYS} keys are below yours already, and that is the most; give one a new token")
        made = await self._keys.create_below(me, f"{me.name}.{name}", limits=limits, actor=me.id)
        return {name: value for name, value in made.items() if name not in documents.OF_ACCOUNT}

    async def keys(self, caller: Caller) -> Json:
        """All keys below the agent's own, oldest first."""
        me = await self._me(caller)
        return paging.whole_page(documents.key(each) for each in await self._history.keys_below(me.id))

    async def key(self, caller: Caller, id_or_name: str) -> Json:
        """One of them."""
        return documents.key(await self._below(caller, id_or_name))

    async def limit_key(self, caller: Caller, id_or_name: str, named: Mapping[str, Any], *, whole: bool) -> Json:
        """Set or change its limits."""
        key = await self._below(caller, id_or_name)
        return documents.key(await self._keys.set_limits(key, named, whole=whole, actor=caller.agent))

    async def switch_key(self, caller: Caller, id_or_name: str, enabled: bool) -> Json:
        """Switch it, and with it those below it, off or on."""
        key = await self._below(caller, id_or_name)
        return documents.key(await self._keys.set_enabled(key, enabled, actor=caller.agent))

    async def rotate_key(self, caller: Caller, id_or_name: str) -> Json:
        """Give it a new token."""
        return await self._keys.rotate(await self._below(caller, id_or_name), actor=caller.agent)

    async def _below(self, caller: Caller, id_or_name: str) -> AgentRecord:
        me = await self._me(caller)
        for key in await self._history.keys_below(me.id):
            if id_or_name in (key.id, key.name):
                return key
        raise NotFound(f"There is no key {id_or_name!r} below yours; GET /wallet/keys lists them")

    async def _lineage(self, agent: str) -> frozenset[str]:
        return frozenset(each.id for each in await self._history.lineage(agent))

    async def _me(self, caller: Caller) -> AgentRecord:
        chain = await self._history.lineage(caller.agent)
        if not chain:
            raise NotFound("That agent does not exist any more")
        return chain[0]
