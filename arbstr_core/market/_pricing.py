"""From an offer's price to msat, or the reason why it is no price."""

from __future__ import annotations

from decimal import Decimal

from arbstr_core.types import MAX_MSAT, NO_COST, Free, FxRate, Listing, MsatPrice, Offer, UsdPrice

_ABSURD = MAX_MSAT // 1_000_000
"""21 BTC for a million tokens: a typing error, or an attack."""


class Pricing:
    """How prices become msat: the operator's margin in ppm, and the USD rate where there is one."""

    def __init__(self, *, margin_ppm: int, fx: FxRate | None) -> None:
        self._margin_ppm = margin_ppm
        self.fx = fx

    def listing(self, offer: Offer) -> Listing | str:
        """The offer with its price in msat; or why it has none, in a sentence."""
        price, fx = offer.price, None
        if price is None:
            return "it has no price: set input and output, or free = true"
        if isinstance(price, UsdPrice):
            if self.fx is None:
                return "its price is in USD and there is no rate: set [market] usd_per_btc"
            if not _finite(price):
                return "its price is no number"
            fx = self.fx
            cost = _in_msat(price, fx)
        else:
            cost = NO_COST if isinstance(price, Free) else price
        wrong = _wrong(cost, learned=offer.as_of_ms > 0 and not isinstance(price, Free))
        if wrong:
            return wrong
        margin = self._margin_ppm
        return Listing(offer=offer, price=cost.with_margin(margin), cost_price=cost, fx=fx, margin_ppm=margin)


def _in_msat(price: UsdPrice, fx: FxRate) -> MsatPrice:
    return MsatPrice(
        input=fx.to_msat(price.input),
        cached_input=fx.to_msat(price.cached_input),
        output=fx.to_msat(price.output),
        request=fx.to_msat(price.request),
    )


def _finite(price: UsdPrice) -> bool:
    return all(Decimal(part).is_finite() for part in (price.input, price.cached_input, price.output, price.request))


def _wrong(price: MsatPrice, *, learned: bool) -> str | None:
    parts = (price.input, price.cached_input, price.output, price.request)
    if min(parts) < 0:
        return "its price is negative"
    if max(parts) > _ABSURD:
        return "its price is absurd: above 21 BTC"
    if learned and (price.input == 0 or price.output == 0):
        return "a list says that it costs nothing, and nobody here said so: write `free = true` or a price"
    return None
