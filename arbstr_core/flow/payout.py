"""Payouts: an agent pays an invoice, a Lightning address, an LNURL, or takes a token; an operator lets it, or ends it.

What is asked for is made ready, held for and written down; then it is the sender's. Nothing here calls a rail's `pay`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from arbstr_core.api import Clock
from arbstr_core.flow import _paging as paging
from arbstr_core.flow._keys import switched_on
from arbstr_core.flow._payments import document, operators_document
from arbstr_core.flow._prepared import Ask, Prepared, Preparing
from arbstr_core.flow._records import Asked
from arbstr_core.flow._refusal import refusal
from arbstr_core.storage import Cipher
from arbstr_core.types import (
    ApprovalRequired,
    BadRequest,
    Caller,
    CallRefused,
    Conflict,
    IdempotencyConflict,
    InsufficientFunds,
    NotFound,
    format_amount,
)
from arbstr_core.vault import (
    AgentRecord,
    ApprovalNeeded,
    FailedEnd,
    Granted,
    History,
    HoldRequest,
    Known,
    NewPayment,
    NewRequest,
    PaidEnd,
    Part,
    PaymentKind,
    PaymentRecord,
    PaymentState,
    Purpose,
    RefusalReason,
    Refused,
    RequestKind,
    Requests,
    Treasury,
    Vault,
    body_digest,
)

Json = dict[str, Any]

_ENDPOINT = "payout"
_LOOK_SECONDS = 0.1


class PayoutRooms(msgspec.Struct, frozen=True, kw_only=True):
    """What payouts need of the house."""

    vault: Vault
    treasury: Treasury
    requests: Requests
    history: History
    preparing: Preparing
    cipher: Cipher
    clock: Clock
    ids: Callable[[str], str]
    body_key: bytes


class PayoutFlow:
    """See the module. `rooms` is None where the vault is switched off."""

    def __init__(self, rooms: PayoutRooms | None) -> None:
        self._maybe_rooms = rooms

    @property
    def _rooms(self) -> PayoutRooms:
        return switched_on(self._maybe_rooms)

    # What agents ask

    async def quote(self, caller: Caller, ask: Ask) -> Json:
        """What a payout would take at most, by rail; nothing is held or sent."""
        chain = await self._chain(caller)
        made = await self._prepared(ask, chain[-1], self._rooms.ids("pay_"))
        needed = made.target.amount_msat + made.fee_msat
        return {
            "to": ask.written,
            "kind": made.kind,
            "amount_msat": made.target.amount_msat,
            "fee_limit_msat": made.fee_msat,
            "hold_msat": needed,
            "needs_approval": not all(_free(each, needed) for each in chain),
            "own": made.own is not None,
            "rails": [
                {"rail": name, "fee_limit_msat": quote.fee_limit_msat, "expected_fee_msat": quote.expected_fee_msat}
                for name, quote in made.quotes
            ],
        }

    async def open(self, caller: Caller, ask: Ask, key: str | None, *, wait_seconds: int = 0) -> Json:
        """Pay; the same `key` again is the same payout. Waits so long for its end.

        Raises ApprovalRequired where an operator has to let it first: its money is held then.
        """
        chain = await self._chain(caller)
        found = await self._same(caller, chain[-1], ask, key)
        if found is None:
            found = await self._open(caller, chain, ask, key)
        if found.state is PaymentState.CREATED:
            raise await self._waits(found)
        until = self._rooms.clock.monotonic() + wait_seconds
        while not found.state.final and self._rooms.clock.monotonic() < until:
            await self._rooms.clock.sleep(_LOOK_SECONDS)
            found = await self._known(found.id)
        return document(found, self._rooms.cipher)

    async def _open(self, caller: Caller, chain: list[AgentRecord], ask: Ask, key: str | None) -> PaymentRecord:
        rooms, id = self._rooms, self._rooms.ids("pay_")
        made = await self._prepared(ask, chain[-1], id)
        new = _new(id, caller, chain[-1].realm, ask, key, made)
        outcome = await rooms.treasury.open_payout(new, self._hold(new, made))
        match outcome:
            case Known(id=known):
                return await self._known(known)
            case Refused() as refused:
                raise _refused(refused, caller)
            case _:
                assert isinstance(outcome, Granted | ApprovalNeeded), f"a payout has no claim: {outcome!r}"
        return await self._known(id)

    def _hold(self, new: NewPayment, made: Prepared) -> HoldRequest:
        quotes = [{"rail": name, "fee_limit_msat": quote.fee_limit_msat} for name, quote in made.quotes]
        assert new.agent is not None, "a payout is an agent's"
        return HoldRequest(
            id=new.id,
            agent=new.agent,
            ceilings=(new.amount_msat + new.fee_msat,),
            candidates=msgspec.json.encode(quotes),
            model=made.kind,
            kind="payout",
            body_digest=body_digest(self._rooms.body_key, _ENDPOINT, f"{new.realm}\0{new.reference}".encode()),
            fee_msat=new.fee_msat,
        )

    async def _prepared(self, ask: Ask, root: AgentRecord, reference: str) -> Prepared:
        return await self._rooms.preparing.prepare(ask, realm=root.realm, payer=root.id, reference=reference)

    async def _same(self, caller: Caller, root: AgentRecord, ask: Ask, key: str | None) -> PaymentRecord | None:
        """The payout that was asked for under this key, before anything is fetched anew."""
        found = None if key is None else await self._rooms.requests.payment_by_key(root.id, key)
        if found is not None and found.agent != caller.agent:
            raise IdempotencyConflict(f"the key {key!r} was used by another key of this account: use a new one")
        if found is not None and (found.destination != ask.written or ask.amount_msat not in (None, found.amount_msat)):
            raise IdempotencyConflict(f"the key {key!r} was used for another payout, {found.id}: use a new one")
        return found

    async def _waits(self, payment: PaymentRecord) -> ApprovalRequired:
        hold = await self._rooms.history.hold(payment.id)
        assert hold is not None, f"payout {payment.id} is held for"
        approval = await self._rooms.vault.approval(hold.approval or "")
        assert approval is not None, f"payout {payment.id} waits for an approval"
        return ApprovalRequired(
            f"The payout {payment.id} takes up to {format_amount(approval.ceiling_msat)}, which are held for it. An "
            f"operator has to approve it (approval {approval.id}); GET /wallet/payouts/{payment.id} says how it stands",
            approval=approval.id,
            expires_ms=approval.expires_ms,
            needed_msat=approval.ceiling_msat,
            payout=payment.id,
        )

    async def payouts(self, caller: Caller, asked: Asked, *, state: str | None) -> Json:
        """Payouts of the agent and the keys below it, the newest first."""
        below = await self._rooms.history.keys_below((await self._chain(caller))[0].id)
        part = await self._part(asked, agents=[caller.agent, *(each.id for each in below)], state=state)
        return paging.page(part, "payment", lambda row: document(row, self._rooms.cipher))

    async def payout(self, caller: Caller, id: str) -> Json:
        """One of them, with the token where it is one."""
        return document(await self._own(caller, id), self._rooms.cipher)

    async def cancel(self, caller: Caller, id: str) -> Json:
        """Give one up that was not sent yet. Raises Conflict where it was."""
        payment = await self._own(caller, id)
        ended = await self._rooms.treasury.cancel(payment, actor=caller.agent, reason="cancelled by who asked for it")
        return document(ended, self._rooms.cipher)

    async def reclaim(self, caller: Caller, id: str) -> Json:
        """Take the token of one back, if nobody has claimed it: its money comes as a deposit, less the mint's fee."""
        payment = await self._own(caller, id)
        if payment.state is not PaymentState.SUCCEEDED or payment.token is None:
            raise Conflict(f"payout {id} is {payment.state}, and no token that could be taken back")
        new = NewRequest(
            id=f"rec_{payment.id}",
            kind=RequestKind.RECLAIM,
            purpose=Purpose.PAYOUT,
            realm=payment.realm,
            rail=payment.rail,
            amount_msat=payment.amount_msat,
            agent=payment.owner,
            subject=payment.id,
        )
        request = await self._rooms.requests.open(new)
        return {"id": request.id, "payout": payment.id, "state": request.state.value, "reason": request.reason}

    # What operators ask

    async def payments(self, asked: Asked, *, owner: str | None, state: str | None) -> Json:
        """Payments of every kind, the newest first."""
        part = await self._part(asked, owner=owner, state=state, kind=asked.kind)
        return paging.page(part, "payment", operators_document)

    async def payment(self, id: str) -> Json:
        """One of them; what is secret of it stays so."""
        found = await self._known(id)
        hold = await self._rooms.history.hold(id)
        return {**operators_document(found), "approval": None if hold is None else hold.approval}

    async def decide(self, id: str, *, grant: bool, actor: str) -> Json:
        """Let a payout go that waits for that, or not."""
        found = await self._known(id)
        hold = await self._rooms.history.hold(id)
        if hold is None or hold.approval is None:
            raise Conflict(f"payment {id} is {found.state}, and waits for nobody's approval")
        await self._rooms.vault.decide(hold.approval, grant=grant, actor=actor)
        return await self.payment(id)

    async def give_up(self, id: str, *, actor: str) -> Json:
        """Cancel one that was not sent yet. Raises Conflict where it was."""
        await self._rooms.treasury.cancel(await self._known(id), actor=actor, reason=f"cancelled by {actor}")
        return await self.payment(id)

    async def resolve(self, id: str, *, paid: bool, fee_msat: int, evidence: str, actor: str) -> Json:
        """End one whose rail does not say what became of it, by evidence that the operator has. Raises Conflict."""
        found = await self._known(id)
        if found.state not in (PaymentState.UNKNOWN, PaymentState.IN_FLIGHT):
            raise Conflict(f"payment {id} is {found.state}: only one that is unknown is resolved by hand")
        if not evidence.strip():
            raise BadRequest("Say how that is known: evidence", param="evidence")
        said = f"{actor}: {evidence.strip()}"
        end: PaidEnd | FailedEnd
        if paid:
            end = PaidEnd(fee_msat=fee_msat, evidence=said)
        else:
            end = FailedEnd(reason=f"resolved by {actor}", evidence=said)
        ended = await self._rooms.treasury.resolve(found, end, actor=actor)
        if not ended.state.final:
            raise Conflict(f"payment {id} is {ended.state} now: look at it again")
        return await self.payment(id)

    # Both

    async def _part(self, asked: Asked, *, kind: str | None = None, state: str | None, **whose: Any) -> Part[Any, int]:
        most = paging.rows_of(asked.limit)
        rows = await self._rooms.requests.payments(
            kind=_one_of(PaymentKind, kind, "kind"),
            state=_one_of(PaymentState, state, "state"),
            before=paging.place("payment", asked.cursor),
            most=most + 1,
            **whose,
        )
        following = rows[most - 1].seq if len(rows) > most else None
        return Part(rows=tuple(rows[:most]), following=following)

    async def _known(self, id: str) -> PaymentRecord:
        found = await self._rooms.requests.payment(id)
        if found is None:
            raise NotFound(f"There is no payment {id!r}; `arbstr payment list` shows them")
        return found

    async def _own(self, caller: Caller, id: str) -> PaymentRecord:
        """A payout of the agent, or of a key below it. Somebody else's does not exist."""
        found = await self._rooms.requests.payment(id)
        above = [] if found is None or found.agent is None else await self._rooms.history.lineage(found.agent)
        if found is None or caller.agent not in {each.id for each in above}:
            raise NotFound(f"There is no payout {id!r} of yours; GET /wallet/payouts lists them")
        return found

    async def _chain(self, caller: Caller) -> list[AgentRecord]:
        """The agent, and those above it up to the one whose money it is."""
        chain = await self._rooms.history.lineage(caller.agent)
        if not chain:
            raise NotFound("That agent does not exist any more")
        return chain


def _new(id: str, caller: Caller, realm: str, ask: Ask, key: str | None, made: Prepared) -> NewPayment:
    assert caller.agent is not None, "who asks has an account"
    return NewPayment(
        id=id,
        kind=PaymentKind.PAYOUT,
        realm=realm,
        agent=caller.agent,
        key=key,
        amount_msat=made.target.amount_msat,
        fee_msat=made.fee_msat,
        destination=ask.written,
        target=msgspec.json.encode(made.target),
        reference=made.target.reference,
        rails=made.rails,
        own_request=None if made.own is None else made.own.id,
    )


def _free(agent: AgentRecord, needed: int) -> bool:
    """That this much needs no approval by the limits of one of the chain."""
    limits = agent.limits
    if limits is None or limits.payouts_unapproved_msat is None:
        return False
    return needed <= min(limits.payouts_unapproved_msat, limits.max_charge_msat or 0)


def _refused(refused: Refused, caller: Caller) -> CallRefused:
    """As for a call, in the words of a payout where those differ."""
    needed, left = format_amount(refused.needed_msat), format_amount(refused.left_msat)
    if refused.reason is RefusalReason.INSUFFICIENT:
        return InsufficientFunds(
            f"The payout takes up to {needed} with its fee, and {left} are free: pay out less, or deposit first",
            needed_msat=refused.needed_msat,
            available_msat=refused.left_msat,
        )
    if refused.reason is RefusalReason.CONFLICT:
        return Conflict("The same payout waits for an operator already: GET /wallet/payouts shows it")
    return refusal(refused, caller)


def _one_of(kind: Any, value: str | None, param: str) -> Any:
    try:
        return None if value is None else kind(value)
    except ValueError:
        known = ", ".join(each.value for each in kind)
        raise BadRequest(f"There is no {param} {value!r}; there is: {known}", param=param) from None
