"""From an offer's price to msat, or the reason why it is no price."""

from __future__ import annotations

import msgspec

from arbstr_core.market._soundness import is_number
from arbstr_core.types import (
    MSAT_PER_BTC,
    NO_COST,
    PPM,
    Endpoint,
    Free,
    FxRate,
    Listing,
    MsatPrice,
    Offer,
    Rate,
    UsdPrice,
)

_ABSURD = MSAT_PER_BTC
_ABSURD_USD = 10**9
"""For a million tokens, or a request: a typing error, or an attack."""
_EMBEDDINGS = frozenset({Endpoint.EMBEDDINGS})
_TOO_MUCH = "its price is absurd: above 1 BTC"
_NEGATIVE = "its price is negative"

NO_RATE = "there is no rate: set [market] usd_per_btc or usd_sources"


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """The most that the operator lets a provider ask, as `[market]` says it; None is no cap."""

    input: Rate | None = None
    output: Rate | None = None
    request: Rate | None = None


NO_CAPS = Caps()


class Pricing:
    """How prices become msat: the operator's margin in ppm, the caps, and the USD rate, or why there is none."""

    def __init__(self, *, margin_ppm: int, fx: FxRate | str = NO_RATE, caps: Caps = NO_CAPS) -> None:
        self._margin_ppm = margin_ppm
        self._fx = fx
        self._caps = [(part, cap) for part in Caps.__struct_fields__ if (cap := getattr(caps, part)) is not None]

    def listing(self, offer: Offer) -> Listing | str:
        """The offer with its price in msat; or why it has none, in a sentence."""
        price, fx = offer.price, None
        if offer.withheld:
            return offer.withheld
        if price is None:
            return "it has no price: set input and output, or free = true"
        if not is_number(price):
            return "its price is no number"
        if isinstance(price, UsdPrice):
            if isinstance(self._fx, str):
                return f"its price is in USD and {self._fx}"
            dollars = (price.input, price.cached_input, price.output, price.request)
            if min(dollars) < 0:
                return _NEGATIVE
            if max(dollars) > _ABSURD_USD:
                return _TOO_MUCH
            fx = self._fx
            cost = _in_msat(price, fx)
        else:
            cost = NO_COST if isinstance(price, Free) else price
        wrong = _wrong(cost) or self._above(cost)
        if not wrong and offer.as_of_ms and not isinstance(price, Free) and _costs_nothing(offer, cost):
            wrong = "a list says that it costs nothing, and nobody here said so: write `free = true` or a price"
        if wrong:
            return wrong
        added = _added(offer.rail_fee_ppm, self._margin_ppm)
        return Listing(offer=offer, price=cost.with_margin(added), cost_price=cost, fx=fx, margin_ppm=added)

    def _above(self, cost: MsatPrice) -> str | None:
        """Which cap the price is above of, if any."""
        for part, cap in self._caps:
            if cap.usd and isinstance(self._fx, str):
                return f"its price cannot be held against [market] max_{part}, which is in USD: {self._fx}"
            most = self._fx.to_msat(cap.value) if cap.usd and isinstance(self._fx, FxRate) else int(cap.value)
            asked = max(cost.input, cost.cached_input) if part == "input" else getattr(cost, part)
            if asked > most:
                return f"{part} costs {asked} msat, above the {most} msat of [market] max_{part}"
        return None


def _added(rail_fee_ppm: int, margin_ppm: int) -> int:
    """What comes on top of a provider's price: what paying it costs, and on both the operator's share. Rounded up."""
    return rail_fee_ppm + margin_ppm - (-rail_fee_ppm * margin_ppm // PPM)


def _in_msat(price: UsdPrice, fx: FxRate) -> MsatPrice:
    return MsatPrice(
        input=fx.to_msat(price.input),
        cached_input=fx.to_msat(price.cached_input),
        output=fx.to_msat(price.output),
        request=fx.to_msat(price.request),
    )


def _costs_nothing(offer: Offer, price: MsatPrice) -> bool:
    """True where something that is billed has no price. Embeddings have no output."""
    return price.input == 0 or (price.output == 0 and offer.endpoints != _EMBEDDINGS)


def _wrong(price: MsatPrice) -> str | None:
    parts = (price.input, price.cached_input, price.output, price.request)
    if min(parts) < 0:
        return _NEGATIVE
    if max(parts) > _ABSURD:
        return _TOO_MUCH
    return None
