"""The most that a caller will pay, in msat: OpenRouter's clients name it in US dollars."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from arbstr_core.types import BadRequest, FxRate, Knobs, MaxPrice, Rate


def in_msat(knobs: Knobs, fx: FxRate | None) -> Knobs:
    """`knobs` with each price in msat. Raises BadRequest where there is no rate for one in dollars."""
    most = knobs.max_price
    if most is None:
        return knobs
    prices = {name: _in_msat(getattr(most, name), fx) for name in MaxPrice.__struct_fields__}
    return msgspec.structs.replace(knobs, max_price=MaxPrice(**prices))


def _in_msat(rate: Rate | None, fx: FxRate | None) -> Rate | None:
    if rate is None or not rate.usd:
        return rate
    if fx is None:
        raise BadRequest(
            'provider.max_price is in US dollars, and there is no rate here: write it in sat, as "590 sat"',
            param="provider.max_price",
        )
    return Rate(Decimal(fx.to_msat(rate.value)))
