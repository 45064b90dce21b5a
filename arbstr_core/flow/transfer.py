"""Transfers: one agent's money becomes another's, without a rail. An agent's own are within its limits for payouts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from arbstr_core.flow._keys import Keys
from arbstr_core.flow._refusal import refusal
from arbstr_core.types import BadRequest, Caller, CallRefused, Conflict, InsufficientFunds, NotFound, format_amount
from arbstr_core.vault import AgentTransfer, HoldRequest, RefusalReason, Refused, Vault, body_digest

Json = dict[str, Any]

_ID = "xfr_"
_ENDPOINT = "transfer"


class TransferFlow:
    """See the module."""

    def __init__(self, vault: Vault, keys: Keys, *, ids: Callable[[str], str], body_key: bytes) -> None:
        self._vault = vault
        self._keys = keys
        self._ids = ids
        self._body_key = body_key

    async def pay(self, caller: Caller, to: str, amount_msat: int, *, key: str | None) -> Json:
        """Pay the agent with the id `to`; the same `key` again is the same transfer. Raises what forbids it."""
        found = await self._vault.agent(to)
        # By id alone: nobody learns which names there are.
        if found is None or found.id != to:
            raise NotFound(f"There is no agent {to!r}: ask whom you pay for its id, which GET /wallet/balance shows it")
        id = self._ids(_ID) if key is None else _ID + _short(f"{caller.agent}\0{key}")
        request = HoldRequest(
            id=id,
            agent=caller.agent,
            ceilings=(amount_msat,),
            candidates=b"[]",
            model=to,
            kind="payout",
            body_digest=body_digest(self._body_key, _ENDPOINT, id.encode()),
        )
        outcome = await self._vault.pay_agent(request, to)
        if isinstance(outcome, Refused):
            raise _refused(outcome, caller)
        return {"id": id, "from": caller.agent, "to": to, "amount_msat": amount_msat}

    async def move(self, payer: str, payee: str, amount_msat: int, *, key: str | None) -> Json:
        """The operator moves money from one agent to another, whatever their limits; once for each `key`."""
        one, other = await self._keys.find(payer), await self._keys.find(payee)
        for each in (one, other):
            if each.parent is not None:
                raise BadRequest(f"{each.name} has no account of its own: name its root", param="from")
        if one.id == other.id or one.realm != other.realm:
            raise BadRequest(f"{one.name} and {other.name} are not two agents of one realm", param="to")
        id = self._ids(_ID) if key is None else _ID + _short(key)
        event = AgentTransfer(payer=one.id, payee=other.id, msat=amount_msat)
        await self._vault.post(event, realm=one.realm, key=f"transfer:{id}")
        return {"id": id, "from": one.id, "to": other.id, "amount_msat": amount_msat}


def _refused(refused: Refused, caller: Caller) -> CallRefused:
    """As for a call, in the words of a transfer where those differ."""
    if refused.reason is RefusalReason.CONFLICT:
        return Conflict("The same transfer is under way")
    if refused.reason is RefusalReason.INSUFFICIENT:
        needed, left = format_amount(refused.needed_msat), format_amount(refused.left_msat)
        return InsufficientFunds(
            f"The transfer is of {needed}, and {left} are free: transfer less, or deposit first",
            needed_msat=refused.needed_msat,
            available_msat=refused.left_msat,
        )
    return refusal(refused, caller)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
