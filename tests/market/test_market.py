"""What can be bought: the last good answer of each provider with its age, and a snapshot that is never half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from selling import Sells, market

from arbstr_core.api import Offer
from arbstr_core.market import Market, ModelRow
from arbstr_core.testing import FakeClock, an_offer
from arbstr_core.types import FxRate, Tier, UsdPrice


class Moves:
    """A rate that is what a test says."""

    renewed = True

    def __init__(self, rate: FxRate | str) -> None:
        self.rate = rate

    def now(self) -> FxRate | str:
        return self.rate

    async def refresh(self) -> None:
        pass

    def failures(self) -> dict[str, str]:
        return {}


def rate(usd: int, as_of_ms: int = 1_750_000_000_000) -> FxRate:
    return FxRate(usd_per_btc=Decimal(usd), spread_ppm=0, source="test", as_of_ms=as_of_ms)


def models(made: Market) -> list[str]:
    return [row.model for row in made.snapshot.models.values() if row.listings]


def row_of(made: Market, name: str) -> ModelRow:
    row = made.find(name)
    assert row is not None
    return row


async def while_it_runs(made: Market, look: Callable[[], bool], clock: FakeClock, seconds: float = 10_000) -> None:
    """Let virtual time pass with the market's own work until `look()` is true."""
    work = asyncio.create_task(made.run())
    end = clock.monotonic() + seconds
    try:
        while not look():
            assert clock.monotonic() < end, "it did not happen in time"
            assert not work.done(), work.result()
            await clock.sleep(0.5)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def test_a_provider_that_fails_keeps_its_last_offers_until_they_are_old() -> None:
    async def story() -> None:
        clock = FakeClock()
        good, bad = Sells("good", [an_offer(provider="good", model="m")]), Sells("bad", ValueError("down"))
        found = market(good, bad, clock=clock)
        await found.refresh()
        assert models(found) == ["m"]
        assert "down" in found.failures["bad"]
        good.answer = OSError("gone")
        asked = found.asked_ms["good"]
        await clock.sleep(800)
        await found.refresh()
        assert models(found) == ["m"]
        assert found.asked_ms["good"] == asked
        await clock.sleep(200)
        await found.refresh()
        assert models(found) == []
        assert "gone" in row_of(found, "m").out[0].reason
        assert "older than 900 s" in row_of(found, "m").out[0].reason
        good.answer = []
        await found.refresh()
        assert found.find("m") is None
        assert "good" not in found.failures

    asyncio.run(story())


def test_nothing_stale_is_found_though_nobody_refreshes() -> None:
    """The work in the background may have ended, or hang: what it left behind is not sold for ever."""

    async def story() -> None:
        clock = FakeClock()
        found = market(Sells("a", [an_offer(provider="a", model="m")]), clock=clock)
        await found.refresh()
        clock.advance(900)
        assert row_of(found, "m").listings
        clock.advance(1)
        row = row_of(found, "m")
        assert row.listings == ()
        assert "it has not been renewed" in row.out[0].reason

    asyncio.run(story())


def test_a_price_goes_stale_by_its_own_age() -> None:
    async def story() -> None:
        clock = FakeClock()
        old = an_offer(provider="a", model="old", as_of_ms=clock.now_ms() - 899_000)
        found = market(Sells("a", [old, an_offer(provider="a", model="new")]), clock=clock)
        await found.refresh()
        assert models(found) == ["old", "new"]
        clock.advance(2)
        await found.refresh()
        assert models(found) == ["new"]
        assert row_of(found, "old").tiers == {Tier.STANDARD}

    asyncio.run(story())


def test_two_sell_one_model_and_nobody_sells_in_another_name() -> None:
    async def story() -> None:
        one, two = Sells("a", [an_offer(provider="a")]), Sells("b", [an_offer(provider="b"), an_offer(provider="a")])
        found = market(one, two, clock=FakeClock())
        await found.refresh()
        row = row_of(found, "model-a")
        assert sorted(listing.offer.provider for listing in row.listings) == ["a", "b"]
        assert [(out.provider, out.reason) for out in row.out] == [("b", "it says that 'a' offers it")]

    asyncio.run(story())


class Unreadable:
    """What a plugin with a bug puts into an offer."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equal")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"model": ""}, "no name"),
        ({"model": "a\nb"}, "no name"),
        ({"model": "x" * 257}, "no name"),
        ({"model": None}, "no name"),
        ({"canonical": " x"}, "canonical"),
        ({"upstream": None}, "which model to ask"),
        ({"tier": "cheap"}, "tier"),
        ({"features": ["tools"]}, "features"),
        ({"endpoints": None}, "endpoints"),
        ({"fields": None}, "fields"),
        ({"fields": {"plugins": 7}}, "no rule"),
        ({"upstream": "half \ud83d"}, "which model to ask"),
        ({"node": "half \ud83d"}, "which model to ask"),
        ({"limit_field": "max"}, "limit_field"),
        ({"passthrough": True}, "passthrough"),
        ({"context_window": 0}, "context_window"),
        ({"context_window": "many"}, "context_window"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"max_choices": True}, "max_choices"),
        ({"input_overhead": -1}, "input_overhead"),
        ({"attachment_tokens": None}, "attachment_tokens"),
        ({"input_factor": float("nan")}, "input_factor"),
        ({"input_factor": 0}, "input_factor"),
        ({"rail_fee_ppm": -1}, "rail_fee_ppm"),
        ({"as_of_ms": "now"}, "no time"),
        ({"price": "free"}, "no number"),
        ({"price": None}, "no price"),
        ({"tier": Unreadable()}, "cannot be read: RuntimeError"),
        ({"provider": Unreadable()}, "cannot be read: RuntimeError"),
    ],
)
def test_one_bad_offer_costs_no_other(facts: dict[str, Any], said: str) -> None:
    async def story() -> None:
        bad = {"provider": "a", "model": "bad", "upstream": "bad", "price": an_offer().price, **facts}
        found = market(Sells("a", [Offer(**bad), an_offer(provider="a", model="good"), "rubble"]), clock=FakeClock())
        await found.refresh()
        assert models(found) == ["good"]
        out = [each for row in found.snapshot.models.values() for each in row.out]
        assert [each.model for each in out if each.reason == "it is no offer"] == ["?"]
        (reason,) = [each.reason for each in out if each.reason != "it is no offer"]
        assert said in reason

    asyncio.run(story())


def test_an_offer_counts_once() -> None:
    async def story() -> None:
        twice = [an_offer(provider="a", node="n"), an_offer(provider="a", node="n"), an_offer(provider="a", node="o")]
        found = market(Sells("a", twice), clock=FakeClock())
        await found.refresh()
        row = row_of(found, "model-a")
        assert [listing.offer.node for listing in row.listings] == ["n", "o"]
        assert [out.reason for out in row.out] == ["it is offered twice"]

    asyncio.run(story())


def test_a_flood_of_offers_is_cut_off_and_said() -> None:
    async def story() -> None:
        many = [an_offer(provider="a", model=f"m{at}") for at in range(20_001)]
        found = market(Sells("a", many), clock=FakeClock())
        await found.refresh()
        assert len(models(found)) == 20_000
        assert "20001 offers" in found.failures["a"]

    asyncio.run(story())


# -- in the background -------------------------------------------------------------------------------------------------


def test_each_provider_is_asked_again_by_itself_and_unevenly() -> None:
    async def story() -> None:
        clock = FakeClock()
        hangs = asyncio.Event()

        class Slow(Sells):
            async def offers(self) -> Sequence[Offer]:
                if self.asked:
                    await hangs.wait()
                return await super().offers()

        shares = iter([0.0, 1.0] * 1000)
        quick, slow = Sells("quick", []), Slow("slow", [an_offer(provider="slow")])
        found = market(quick, slow, clock=clock, jitter=lambda: next(shares))
        await found.refresh()
        quick.answer = [an_offer(provider="quick", model="new")]
        await while_it_runs(found, lambda: "new" in models(found), clock, seconds=70)
        assert 54 <= clock.monotonic() <= 68
        assert slow.asked == 1
        assert sorted(models(found)) == ["model-a", "new"]

    asyncio.run(story())


def test_what_nobody_renews_is_dropped_in_time() -> None:
    async def story() -> None:
        clock = FakeClock()
        sells = Sells("a", [an_offer(provider="a")])
        found = market(sells, clock=clock)
        await found.refresh()
        sells.answer = ValueError("down")
        await while_it_runs(found, lambda: not models(found), clock)
        assert 900 <= clock.monotonic() <= 903
        sells.answer = [an_offer(provider="a")]
        await while_it_runs(found, lambda: bool(models(found)), clock, seconds=70)

    asyncio.run(story())


def test_a_snapshot_is_replaced_whole_and_only_for_a_reason() -> None:
    async def story() -> None:
        clock = FakeClock()
        sells = Sells("a", [an_offer(provider="a")])
        found = market(sells, clock=clock)
        await found.refresh()
        before = found.snapshot
        await while_it_runs(found, lambda: sells.asked == 5, clock)
        assert found.snapshot is before
        assert found.asked_ms["a"] > before.as_of_ms
        sells.answer = [an_offer(provider="a"), an_offer(provider="a", model="b")]
        await while_it_runs(found, lambda: found.snapshot is not before, clock)
        assert set(before.models) == {"model-a"}
        assert models(found) == ["model-a", "b"]

    asyncio.run(story())


def test_dollar_prices_follow_the_rate_and_go_with_it() -> None:
    async def story() -> None:
        clock = FakeClock()
        price = UsdPrice(input=Decimal(1), cached_input=Decimal(1), output=Decimal(1))
        rates = Moves("there is no rate: no source has been asked yet")
        found = market(Sells("a", [an_offer(provider="a", price=price)]), clock=clock, rates=rates)
        await found.refresh()
        assert row_of(found, "model-a").out[0].reason.endswith("and there is no rate: no source has been asked yet")
        rates.rate = rate(100_000)

        def costs(msat: int) -> bool:
            listings = row_of(found, "model-a").listings
            return bool(listings) and listings[0].price.input == msat

        await while_it_runs(found, lambda: costs(1_000_000), clock)
        rates.rate = rate(50_000)
        await while_it_runs(found, lambda: costs(2_000_000), clock)
        assert row_of(found, "model-a").listings[0].fx == rate(50_000)
        rates.rate = "there is no rate: the last rate is older than 900 s"
        await while_it_runs(found, lambda: not models(found), clock)
        assert "older than 900 s" in row_of(found, "model-a").out[0].reason

    asyncio.run(story())
