"""What a bitcoin costs: the median of sources that agree, with the age of the oldest, and none once that is old."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from arbstr_core.config import UsdSource
from arbstr_core.market import FixedRate, MedianRate, rate_in
from arbstr_core.testing import FakeClock
from arbstr_core.types import ConnectFailed, FxRate

A, B, C = "https://a.example/v1?key=hush", "https://b.example/p", "https://c.example/p"


class World:
    """Sources that say what a test wants: a number, or an exception."""

    def __init__(self, **more: Any) -> None:
        self.clock = FakeClock()
        self.says: dict[str, Any] = {}
        sources = [UsdSource(url=url, pointer="/usd") for url in (A, B, C)]
        facts = {"spread_ppm": 5_000, "apart_ppm": 20_000, "stale_seconds": 900, **more}
        self.rates = MedianRate(sources, self._fetch, self.clock, **facts)

    async def _fetch(self, url: str) -> bytes:
        said = self.says.get(url, ConnectFailed("no answer"))
        if isinstance(said, BaseException):
            raise said
        return said if isinstance(said, bytes) else json.dumps({"usd": said}).encode()

    def ask(self, *said: Any) -> FxRate | str:
        """All sources, in order; what comes of it."""
        self.says = dict(zip((A, B, C), said, strict=True))
        asyncio.run(self.rates.refresh())
        return self.rates.now()

    def found(self, *said: Any) -> FxRate:
        rate = self.ask(*said)
        assert isinstance(rate, FxRate), rate
        return rate

    def none(self, *said: Any) -> str:
        why = self.ask(*said)
        assert isinstance(why, str), why
        return why


def test_the_median_counts_and_names_who_said_it() -> None:
    world = World()
    assert world.rates.now() == "there is no rate: no source has been asked yet"
    rate = world.found(97_000, "96_000".replace("_", ""), 98_000.5)
    assert rate.usd_per_btc == 97_000
    assert rate.source == "median of a.example, b.example, c.example"
    assert (rate.spread_ppm, rate.as_of_ms) == (5_000, world.clock.now_ms())
    assert world.rates.failures() == {}


def test_two_of_three_are_enough_and_one_is_not() -> None:
    world = World()
    rate = world.found(97_000, ConnectFailed("the answer was 503"), 98_000)
    assert rate.usd_per_btc == 97_500
    assert rate.source == "median of a.example, c.example"
    assert world.rates.failures() == {"b.example": "the answer was 503"}
    lonely = World()
    assert "1 of 3 sources answer" in lonely.none(97_000, ConnectFailed("x"), b"<html>")
    assert lonely.rates.failures()["c.example"] == "it did not answer with JSON"


def test_a_liar_is_left_out() -> None:
    world = World()
    rate = world.found(97_000, 970, 97_100)
    assert rate.usd_per_btc == 97_050
    assert rate.source == "median of a.example, c.example"


def test_sources_that_do_not_agree_make_no_rate() -> None:
    world = World()
    assert "do not agree, they say 50000 to 97000 USD" in world.none(97_000, 50_000, 70_000)
    rate = world.found(97_000, 97_000, 97_000)
    world.clock.advance(600)
    assert world.ask(97_000, 50_000, 70_000) == rate
    world.clock.advance(301)
    why = world.none(97_000, 50_000, 70_000)
    assert why.startswith("there is no rate: the last rate is older than 900 s: the sources do not agree")


def test_a_rate_is_as_old_as_the_oldest_word_it_rests_on() -> None:
    world = World()
    first = world.found(97_000, 97_000, ConnectFailed("x"))
    world.clock.advance(500)
    rate = world.found(97_000, ConnectFailed("x"), ConnectFailed("x"))
    assert rate.as_of_ms == first.as_of_ms
    world.clock.advance(401)
    assert "older than 900 s" in world.none(97_000, ConnectFailed("x"), ConnectFailed("x"))
    fresh = world.found(97_000, 97_000, ConnectFailed("x"))
    assert fresh.as_of_ms == world.clock.now_ms()


@pytest.mark.parametrize(
    ("answer", "pointer", "rate"),
    [
        (b'{"data":{"amount":"97123.45"}}', "/data/amount", "97123.45"),
        (b'{"result":{"XXBTZUSD":{"c":["97123.40000","0.1"]}}}', "/result/XXBTZUSD/c/0", "97123.4"),
        (b'{"a/b":{"m~n":97000}}', "/a~1b/m~0n", "97000"),
        (b"97000.1", "", "97000.1"),
        (b'{"":97000}', "/", "97000"),
    ],
)
def test_the_number_is_where_the_pointer_says(answer: bytes, pointer: str, rate: str) -> None:
    assert rate_in(answer, pointer) == Decimal(rate)


@pytest.mark.parametrize(
    ("answer", "pointer", "said"),
    [
        (b'{"usd":1}', "/eur", "nothing at /eur"),
        (b"[1]", "/1", "nothing at /1"),
        (b"[1]", "/-1", "nothing at"),
        (b'{"usd":{}}', "/usd", "no price"),
        (b'{"usd":true}', "/usd", "no price"),
        (b'{"usd":"NaN"}', "/usd", "no price"),
        (b'{"usd":"Infinity"}', "/usd", "no price"),
        (b'{"usd":-5}', "/usd", "no price"),
        (b'{"usd":0}', "/usd", "no price"),
        (b'{"usd":1e300}', "/usd", "no price"),
        (b'{"usd":"about 9"}', "/usd", "no price"),
        (b'{"usd":1e99999999999999999999}', "/usd", "a number that is none"),
        (b'{"usd":1,"other":[-1e99999999999999999999]}', "/usd", "a number that is none"),
        (b"{", "/usd", "JSON"),
        (b"[" * 100_000, "/usd", "JSON"),
        (b" " * 1_000_001, "/usd", "bytes"),
    ],
)
def test_what_is_no_rate_is_said(answer: bytes, pointer: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rate_in(answer, pointer)


def test_the_operators_own_rate_stays() -> None:
    fixed = FixedRate(Decimal(97_000), spread_ppm=1, as_of_ms=5)
    asyncio.run(fixed.refresh())
    rate = fixed.now()
    assert isinstance(rate, FxRate)
    assert (rate.usd_per_btc, rate.source, rate.as_of_ms) == (97_000, "configuration", 5)
    assert "usd_per_btc" in str(FixedRate(None, spread_ppm=0, as_of_ms=0).now())


def test_two_sources_at_one_host_are_told_apart_and_no_address_is() -> None:
    sources = [UsdSource(url="https://x.example/a?key=hush"), UsdSource(url="https://x.example/b?key=hush")]

    async def fetch(url: str) -> bytes:
        raise ConnectFailed("no answer")

    rates = MedianRate(sources, fetch, FakeClock(), spread_ppm=0, apart_ppm=1, stale_seconds=1)
    asyncio.run(rates.refresh())
    assert rates.failures() == {"x.example (1)": "no answer", "x.example (2)": "no answer"}
