"""Prices in msat, or a reason why not: the margin, the rail's fee, dollars, caps, and what is no price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.market import Caps, Pricing
from arbstr_core.testing import an_offer
from arbstr_core.types import Endpoint, Free, FxRate, Listing, MsatPrice, Rate, UsdPrice

RATE = FxRate(usd_per_btc=Decimal(100_000), spread_ppm=5_000, source="test", as_of_ms=1)
PLAIN = Pricing(margin_ppm=0)
PARTS = ("input", "cached_input", "output", "request")


def price_of(found: Listing | str) -> MsatPrice:
    assert isinstance(found, Listing), found
    return found.price


def why(found: Listing | str) -> str:
    assert isinstance(found, str), found
    return found


@given(rates=st.tuples(*[st.integers(0, 10**9)] * 4), margin=st.integers(0, 10_000_000))
def test_the_margin_is_on_top_and_never_below(rates: tuple[int, int, int, int], margin: int) -> None:
    cost = MsatPrice(input=rates[0], cached_input=rates[1], output=rates[2], request=rates[3])
    found = Pricing(margin_ppm=margin).listing(an_offer(price=cost))
    assert isinstance(found, Listing)
    assert found.cost_price == cost
    for part in PARTS:
        before, after = getattr(cost, part), getattr(found.price, part)
        assert before * (1_000_000 + margin) <= after * 1_000_000 < before * (1_000_000 + margin) + 1_000_000


@given(rate=st.integers(1, 10**9), fee=st.integers(0, 10**6), margin=st.integers(0, 10**6))
def test_what_paying_a_provider_costs_is_on_top_before_the_margin(rate: int, fee: int, margin: int) -> None:
    cost = MsatPrice(input=rate, cached_input=rate, output=rate)
    found = price_of(Pricing(margin_ppm=margin).listing(an_offer(price=cost, rail_fee_ppm=fee)))
    exact = Decimal(rate) * (1_000_000 + fee) * (1_000_000 + margin) / 10**12
    assert exact <= found.input <= exact + Decimal(rate) / 1_000_000 + 1


def test_dollars_become_msat_with_the_spread_rounded_up() -> None:
    price = UsdPrice(input=Decimal(1), cached_input=Decimal("0.5"), output=Decimal(3))
    found = price_of(Pricing(margin_ppm=0, fx=RATE).listing(an_offer(price=price)))
    assert (found.input, found.cached_input, found.output, found.request) == (1_005_000, 502_500, 3_015_000, 0)
    said = why(PLAIN.listing(an_offer(price=price)))
    assert "usd_per_btc" in said
    assert "usd_sources" in said


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (MsatPrice(input=-1, cached_input=0, output=1), "negative"),
        (MsatPrice(input=10**11 + 1, cached_input=0, output=1), "absurd"),
        (MsatPrice(input=1, cached_input=0, output=1, request=10**12), "absurd"),
        (MsatPrice(input=None, cached_input=0, output=1), "no number"),  # type: ignore[arg-type]
        (MsatPrice(input=1.5, cached_input=0, output=1), "no number"),  # type: ignore[arg-type]
        (MsatPrice(input=True, cached_input=0, output=1), "no number"),
        (UsdPrice(input=Decimal("NaN"), cached_input=Decimal(0), output=Decimal(1)), "no number"),
        (UsdPrice(input=Decimal("sNaN"), cached_input=Decimal(0), output=Decimal(1)), "no number"),
        (UsdPrice(input=Decimal("Infinity"), cached_input=Decimal(0), output=Decimal(1)), "no number"),
        (UsdPrice(input=0.5, cached_input=Decimal(0), output=Decimal(1)), "no number"),  # type: ignore[arg-type]
        (UsdPrice(input=Decimal(-1), cached_input=Decimal(0), output=Decimal(1)), "negative"),
        (UsdPrice(input=Decimal("-1e999999"), cached_input=Decimal(0), output=Decimal(1)), "negative"),
        (UsdPrice(input=Decimal("1e400"), cached_input=Decimal(0), output=Decimal(1)), "absurd"),
    ],
)
def test_what_is_no_price(price: Any, said: str) -> None:
    assert said in why(Pricing(margin_ppm=0, fx=RATE).listing(an_offer(price=price)))


def test_a_zero_is_a_price_where_the_operator_wrote_it_only() -> None:
    nothing = MsatPrice(input=0, cached_input=0, output=0)
    assert price_of(PLAIN.listing(an_offer(price=nothing))).free
    assert price_of(PLAIN.listing(an_offer(price=Free(), as_of_ms=7))).free
    assert "costs nothing" in why(PLAIN.listing(an_offer(price=nothing, as_of_ms=7)))
    no_output = MsatPrice(input=1, cached_input=1, output=0)
    assert "costs nothing" in why(PLAIN.listing(an_offer(price=no_output, as_of_ms=7)))
    embeds = an_offer(price=no_output, as_of_ms=7, endpoints=frozenset({Endpoint.EMBEDDINGS}))
    assert price_of(PLAIN.listing(embeds)) == no_output


SATS = MsatPrice(input=500_000, cached_input=600_000, output=1_000_000, request=70)
DOLLARS = UsdPrice(input=Decimal("0.5"), cached_input=Decimal("0.6"), output=Decimal(1), request=Decimal("0.00007"))


@pytest.mark.parametrize("price", [SATS, DOLLARS])
@pytest.mark.parametrize(
    ("caps", "said"),
    [
        (Caps(input=Rate(Decimal(500_000))), "above the 500000 msat of [market] max_input"),
        (Caps(input=Rate(Decimal("0.59"), usd=True)), "[market] max_input"),
        (Caps(output=Rate(Decimal(999_999))), "output costs"),
        (Caps(request=Rate(Decimal(69))), "request costs"),
        (Caps(input=Rate(Decimal(700_000)), output=Rate(Decimal(2), usd=True)), None),
        (Caps(), None),
    ],
)
def test_what_costs_more_than_the_operator_lets_it_is_out(
    price: MsatPrice | UsdPrice, caps: Caps, said: str | None
) -> None:
    fx = FxRate(usd_per_btc=Decimal(100_000), spread_ppm=0, source="test", as_of_ms=1)
    found = Pricing(margin_ppm=500_000, fx=fx, caps=caps).listing(an_offer(price=price))
    if said is None:
        price_of(found)
    else:
        assert said in why(found)


def test_a_cap_in_dollars_holds_nothing_back_by_guess() -> None:
    capped = Pricing(margin_ppm=0, caps=Caps(output=Rate(Decimal(1), usd=True)))
    assert "cannot be held against [market] max_output" in why(capped.listing(an_offer(price=SATS)))
