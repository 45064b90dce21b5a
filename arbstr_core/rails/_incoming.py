"""Money on its way in: who takes a token, who asks for money, and what a rail says has come.

A plugin may raise anything, hang, or say what cannot be: nothing of that credits anybody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from arbstr_core.api import Deposit, Invoice, RailLimits, RailState, TokenFacts, Unit, WalletRail
from arbstr_core.rails._drive import Raised, answered
from arbstr_core.rails._rails import HasStatus, status_of
from arbstr_core.types import MAX_MSAT, BadRequest, RailUnavailable, format_amount
from arbstr_core.wire import read_bolt11

_LONGEST_TOKEN = 65_536


async def incoming(rail: WalletRail, since: str) -> AsyncIterator[Deposit | Raised]:
    """What came in over a rail after `since`, then what comes in, until the rail is closed; what it raises is last."""
    stream = rail.deposits(since)
    while True:
        came = await answered(_next(stream), seconds=None)
        if came is None:
            return
        yield came
        if isinstance(came, Raised):
            return


async def _next(stream: AsyncIterator[Deposit]) -> Deposit | None:
    return await anext(stream, None)


async def appraise(rails: Sequence[WalletRail], token: str, *, seconds: float) -> tuple[WalletRail, TokenFacts]:
    """The first of `rails` that takes a token, and what it says of it. Raises BadRequest with what is wrong with it,
    or RailUnavailable."""
    if not rails:
        raise BadRequest("No rail of this realm takes ecash: pay an invoice", param="token")
    if not token.isprintable() or len(token) > _LONGEST_TOKEN:
        raise BadRequest("That is no whole token: send it as the wallet wrote it", param="token")
    unsure: list[Raised] = []
    for rail in rails:
        facts = await answered(rail.appraise(token), seconds=seconds)
        if not isinstance(facts, Raised):
            return rail, _sound(rail, facts)
        unsure.append(facts)
    for said in unsure:
        if not said.refused:
            raise RailUnavailable(f"The token cannot be looked at now: {said.what}")
    raise BadRequest(f"The token is not taken: {unsure[0].what}", param="token")


def _sound(rail: WalletRail, facts: TokenFacts) -> TokenFacts:
    if not 0 < facts.amount_msat <= MAX_MSAT or not 0 <= facts.fee_msat <= MAX_MSAT or not facts.reference:
        said = f"The token is not taken: redeemed at {facts.mint or rail.name} it is worth nothing"
        raise BadRequest(said, param="token")
    return facts


class Asker(HasStatus, Protocol):
    """What asks for money: a rail, or one that another process drives."""

    @property
    def name(self) -> str:
        """The rail's."""

    @property
    def unit(self) -> Unit:
        """In what it moves money."""

    async def limits(self) -> RailLimits:
        """What it moves at a time."""


async def asking(rails: Sequence[Asker], amount: int, hint: str | None) -> Asker:
    """The rail that asks for `amount`: the one that `hint` names, else the first that can, those that are ready before
    others. Raises BadRequest with what is wrong with the amount."""
    if not rails:
        raise BadRequest("No rail of this realm makes invoices: hand in a token, or ask the operator", param="rail")
    named = [rail for rail in rails if hint in (None, rail.name)]
    if not named:
        there = ", ".join(rail.name for rail in rails)
        raise BadRequest(f"There is no rail {hint!r} that makes invoices here; rails here: {there}", param="rail")
    wrong = [await _unfit(rail, amount) for rail in named]
    fit = [rail for rail, why in zip(named, wrong, strict=True) if why is None]
    if not fit:
        raise BadRequest(wrong[0] or "", param="amount_msat")
    for rail in fit if len(fit) > 1 else ():
        if (await status_of(rail)).state is RailState.READY:
            return rail
    return fit[0]


async def _unfit(rail: Asker, amount: int) -> str | None:
    """Why a rail cannot ask for so much."""
    step = rail.unit.step_msat
    if amount % step:
        near = amount + step - amount % step
        return f"{rail.name} moves whole sats, and {amount} msat are none: ask for {near} msat"
    bounds = (await rail.limits()).invoices
    if amount < bounds.smallest_msat:
        return f"{rail.name} takes no less than {format_amount(bounds.smallest_msat)} at a time: ask for more"
    if amount > bounds.largest_msat:
        return f"{rail.name} takes no more than {format_amount(bounds.largest_msat)} at a time: ask for less, twice"
    return None


def unlike(invoice: Invoice, amount: int) -> str | None:
    """Why an invoice is not the one that was asked for: whoever paid it would pay something else."""
    if invoice.amount_msat != amount or not invoice.reference or not invoice.text:
        return f"it is for {invoice.amount_msat} msat, and {amount} were asked for"
    if not invoice.text.lower().startswith("ln"):
        return None
    try:
        said = read_bolt11(invoice.text)
    except ValueError as bad:
        return f"it cannot be read: {bad}"
    if (said.amount_msat, said.payment_hash) != (amount, invoice.reference):
        return f"it says {said.amount_msat} msat and {said.payment_hash}, its maker {amount} and {invoice.reference}"
    return None
