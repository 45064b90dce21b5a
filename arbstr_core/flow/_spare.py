"""What failed attempts may cost us: counted where the agent's limits say how much, and then falling back ends there."""

from __future__ import annotations

from arbstr_core.flow._prepaid import account_of
from arbstr_core.metering import Bill, Meter
from arbstr_core.types import Msat, Outcome, Quote
from arbstr_core.vault import ProviderCost, SellerShare, Settlement

_LET_GO = frozenset({Outcome.TIMED_OUT, Outcome.OUTRUN})
_MAY_BE_BILLED = _LET_GO | {Outcome.CUT, Outcome.BAD_REPLY}
"""The call had been sent, and nobody said that it was refused"""


class Spare:
    """The budget of one call; `left` is in msat, None where there is no limit."""

    __slots__ = ("_meter", "costs", "left")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.left: int | None = None
        self.costs: list[ProviderCost] = []

    def goes_on(self, quote: Quote, outcome: Outcome) -> bool:
        """Count an attempt that served nobody: its input at the provider's price, for what it will bill is not known.
        True where another may be made."""
        if self.left is None or outcome not in _MAY_BE_BILLED:
            return True
        cost = 0 if outcome in _LET_GO and quote.offer.cancel_free else self._cost(quote)
        # What is prepaid is counted, and not booked: its node says what it took, and no guess is to be mended then.
        if cost and quote.offer.prepaid is None:
            self.costs.append(ProviderCost(provider=quote.offer.provider, cost_msat=cost, served=False))
        self.left -= cost
        return self.left >= 0

    def allows(self, quote: Quote) -> bool:
        """True where an attempt at `quote` may be let go for one that answers earlier."""
        return self.left is None or quote.offer.cancel_free or self._cost(quote) <= self.left

    def _cost(self, quote: Quote) -> int:
        tokens = min(self._meter.counted_input(), quote.input_limit)
        return quote.cost_price.cost(input_tokens=tokens, output_tokens=0)

    def with_served(self, quote: Quote, cost_msat: Msat) -> tuple[ProviderCost, ...]:
        """What all attempts cost us, with the one that served. A seller bills nothing: he has a share of the charge."""
        offer = quote.offer
        if not cost_msat or offer.seller is not None:
            return tuple(self.costs)
        node = None if offer.prepaid is None else account_of(offer.provider, offer.node)
        return (*self.costs, ProviderCost(provider=offer.provider, cost_msat=cost_msat, served=True, node=node))

    def settlement(self, hold_id: str, receipt: bytes) -> Settlement | None:
        """The end of a call that nobody served, and that cost us something: the agent pays nothing."""
        if not self.costs:
            return None
        return Settlement(id=hold_id, charge_msat=0, costs=tuple(self.costs), receipt=receipt)


def share_of(quote: Quote, bill: Bill) -> SellerShare | None:
    """What the seller whose offer served gets of the charge: his price, as far as the agent pays it; the rest is the
    operator's margin. None where nobody sells it, or nothing was charged."""
    seller, share = quote.offer.seller, min(bill.cost_msat, bill.charge_msat)
    return SellerShare(seller=seller, msat=share) if seller is not None and share else None
