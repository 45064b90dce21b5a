"""What can be bought: prices in msat or a reason why not, and the last good answer with its age."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.api import Offer, Outbound, Provider, Reply
from arbstr_core.market import Market, Pricing
from arbstr_core.testing import FakeClock, an_offer
from arbstr_core.types import Free, FxRate, Listing, MsatPrice, UsdPrice

RATE = FxRate(usd_per_btc=Decimal(100_000), spread_ppm=5_000, source="test", as_of_ms=1)
PLAIN = Pricing(margin_ppm=0, fx=None)


class Sells(Provider):
    """Offers what it is told to, or raises it."""

    def __init__(self, name: str, answer: Any) -> None:
        self.name = name
        self.answer = answer

    async def offers(self) -> Sequence[Offer]:
        if isinstance(self.answer, BaseException):
            raise self.answer
        found: Sequence[Offer] = self.answer
        return found

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        raise NotImplementedError


def market(*providers: Provider, clock: FakeClock, pricing: Pricing = PLAIN) -> Market:
    return Market(providers, lambda: pricing, clock, refresh_seconds=60, stale_seconds=900)


def price_of(found: Listing | str) -> MsatPrice:
    assert isinstance(found, Listing), found
    return found.price


@given(
    rates=st.tuples(*[st.integers(0, 10**9)] * 4),
    margin=st.integers(0, 10_000_000),
)
def test_the_margin_is_on_top_and_never_below(rates: tuple[int, int, int, int], margin: int) -> None:
    cost = MsatPrice(input=rates[0], cached_input=rates[1], output=rates[2], request=rates[3])
    found = Pricing(margin_ppm=margin, fx=None).listing(an_offer(price=cost))
    assert isinstance(found, Listing)
    assert found.cost_price == cost
    for part in ("input", "cached_input", "output", "request"):
        before, after = getattr(cost, part), getattr(found.price, part)
        assert before * (1_000_000 + margin) <= after * 1_000_000 < before * (1_000_000 + margin) + 1_000_000


def test_dollars_become_msat_with_the_spread_rounded_up() -> None:
    price = UsdPrice(input=Decimal(1), cached_input=Decimal("0.5"), output=Decimal(3))
    found = price_of(Pricing(margin_ppm=0, fx=RATE).listing(an_offer(price=price)))
    assert (found.input, found.cached_input, found.output, found.request) == (1_005_000, 502_500, 3_015_000, 0)
    said = PLAIN.listing(an_offer(price=price))
    assert isinstance(said, str)
    assert "usd_per_btc" in said


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (MsatPrice(input=-1, cached_input=0, output=1), "negative"),
        (MsatPrice(input=10**13, cached_input=0, output=1), "absurd"),
        (UsdPrice(input=Decimal("NaN"), cached_input=Decimal(0), output=Decimal(1)), "no number"),
        (UsdPrice(input=Decimal("Infinity"), cached_input=Decimal(0), output=Decimal(1)), "no number"),
        (UsdPrice(input=Decimal(-1), cached_input=Decimal(0), output=Decimal(1)), "negative"),
    ],
)
def test_what_is_no_price(price: Any, said: str) -> None:
    found = Pricing(margin_ppm=0, fx=RATE).listing(an_offer(price=price))
    assert isinstance(found, str)
    assert said in found


def test_a_zero_is_a_price_where_the_operator_wrote_it_only() -> None:
    nothing = MsatPrice(input=0, cached_input=0, output=0)
    assert price_of(PLAIN.listing(an_offer(price=nothing))).free
    assert price_of(PLAIN.listing(an_offer(price=Free(), as_of_ms=7))).free
    assert isinstance(PLAIN.listing(an_offer(price=nothing, as_of_ms=7)), str)


def test_a_provider_that_fails_keeps_its_last_offers_until_they_are_old() -> None:
    async def story() -> None:
        clock = FakeClock()
        good, bad = Sells("good", [an_offer(provider="good", model="m")]), Sells("bad", ValueError("down"))
        found = market(good, bad, clock=clock)
        await found.refresh()
        assert [row.model for row in found.snapshot.sellable()] == ["m"]
        assert "down" in found.failures["bad"]
        good.answer = OSError("gone")
        before = found.snapshot
        await clock.sleep(800)
        await found.refresh()
        assert found.snapshot is not before
        assert [row.model for row in found.snapshot.sellable()] == ["m"]
        await clock.sleep(200)
        await found.refresh()
        assert found.snapshot.sellable() == []
        row = found.snapshot.find("m")
        assert row is not None
        assert "gone" in row.out[0].reason
        good.answer = []
        await found.refresh()
        assert found.snapshot.find("m") is None
        assert "good" not in found.failures

    asyncio.run(story())


def test_two_sell_one_model_and_nobody_sells_in_another_name() -> None:
    async def story() -> None:
        one, two = Sells("a", [an_offer(provider="a")]), Sells("b", [an_offer(provider="b"), an_offer(provider="a")])
        found = market(one, two, clock=FakeClock())
        await found.refresh()
        row = found.snapshot.find("model-a")
        assert row is not None
        assert sorted(listing.offer.provider for listing in row.listings) == ["a", "b"]
        assert [out.provider for out in row.out] == ["b"]

    asyncio.run(story())
