"""Owns what a payment over Lightning would cost: which mint pays it, and with which coins."""

from __future__ import annotations

from functools import partial

import msgspec

from arbstr_core.api import InvoiceTarget, RailUnavailable
from arbstr_wallet_cashu._coins import Priced, choose, worth
from arbstr_wallet_cashu._mint import MELTING, MeltQuote, MintRefused
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._purse import Purse


class Refusal(Exception):
    """A payment is not made, and nothing was sent for it."""


class Short(Refusal):
    """There is not enough at hand now; there may be later."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a mint wants for paying an invoice, and the coins it would get, in sat."""

    place: str
    quote: MeltQuote
    coins: tuple[Priced, ...]
    need: int
    """without the fee for spending the coins"""

    @property
    def paid_in(self) -> int:
        """What the coins are worth before that fee."""
        return sum(coin.amount for coin in self.coins)

    @property
    def cost(self) -> int:
        """The most this costs beside the amount."""
        return self.quote.fee_reserve + self.paid_in - worth(self.coins)


class Planning:
    """Plans payments of one purse."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse

    async def plan(self, target: InvoiceTarget, most: int | None = None) -> Plan:
        """The first mint that can pay `target` for a fee of at most `most` sat. Raises Refusal, RailUnavailable."""
        why: list[Refusal] = []
        silent: list[str] = []
        for place in self._purse.places.all:
            try:
                await place.ready()
                return await self._purse.quietly(place, partial(self._plan, place, target, most))
            except RailUnavailable as unavailable:
                silent.append(str(unavailable))
            except Refusal as refused:
                why.append(type(refused)(f"{place.url}: {refused}"))
        said = "; ".join([*silent, *(str(each) for each in why)])
        if silent:
            raise RailUnavailable(said)
        raise next((Short for each in why if isinstance(each, Short)), Refusal)(said)

    async def _plan(self, place: Place, target: InvoiceTarget, most: int | None) -> Plan:
        if not place.info.supports(MELTING):
            raise Refusal("it pays no invoices")
        amount = target.amount_msat // 1000
        try:
            quote = await place.mint.quote_melt(target.text)
        except MintRefused as refused:
            raise Refusal(f"it refuses: {refused}") from None
        if quote.amount != amount or quote.fee_reserve < 0:
            raise Refusal(
                f"it wants {quote.amount} sat and {quote.fee_reserve} for fees for an invoice of {amount} sat"
            )
        need = amount + quote.fee_reserve
        free = await self._purse.free(place)
        coins = choose(self._purse.priced(place, free), need)
        if coins is None:
            have = sum(coin.amount for coin in free.values())
            raise Short(f"the purse has {have} sat there that it can spend now, and {need} are needed with fees")
        plan = Plan(place=place.name, quote=quote, coins=tuple(coins), need=need)
        if most is not None and plan.cost > most:
            raise Refusal(f"it reserves {plan.cost} sat for fees, and the limit is {most}")
        return plan
