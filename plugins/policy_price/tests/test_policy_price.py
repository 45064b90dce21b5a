"""`cheapest`: held to the kit, and its order."""

from __future__ import annotations

import arbstr_policy_price
import pytest
from arbstr_policy_price import Cheapest

from arbstr_core.api import MsatPrice, Quote, Record, Standing
from arbstr_core.testing import PluginSuite, StrategySuite, a_call, a_quote, an_offer


class TestPlugin(PluginSuite):
    @pytest.fixture
    def plugin(self):
        return arbstr_policy_price


class TestCheapest(StrategySuite):
    @pytest.fixture
    def make(self):
        return Cheapest


def order(quotes: list[Quote], standing: Standing | None = None) -> list[str]:
    strategy, call = Cheapest(), a_call()
    ranked = sorted(quotes, key=lambda quote: strategy.key(call, quote, standing or Standing()))
    return [quote.offer.provider for quote in ranked]


def test_the_lower_cost_of_this_call_wins_not_the_lower_rate():
    per_request = MsatPrice(input=1_000, cached_input=1_000, output=1_000, request=5_000)
    per_token = MsatPrice(input=900_000, cached_input=900_000, output=900_000)
    offers = [an_offer(provider="fee", price=per_request), an_offer(provider="tokens", price=per_token)]
    short = [a_quote(offer, input_tokens=10, output_limit=10) for offer in offers]
    long = [a_quote(offer, input_tokens=50_000, output_limit=5_000) for offer in offers]
    assert order(short) == ["tokens", "fee"]
    assert order(long) == ["fee", "tokens"]


def test_ties_go_to_success_then_first_byte_then_name():
    offers = {name: an_offer(provider=name) for name in ("a-slow", "b-fast", "c-flaky", "d-fast")}
    quotes = [a_quote(offer) for offer in offers.values()]
    standing = Standing(
        {
            offers["a-slow"].key: Record(success=0.99, first_byte_ms=900.0),
            offers["b-fast"].key: Record(success=0.99, first_byte_ms=100.0),
            offers["c-flaky"].key: Record(success=0.5, first_byte_ms=1.0),
            offers["d-fast"].key: Record(success=0.99, first_byte_ms=100.0),
        }
    )
    assert order(quotes[::-1], standing) == ["b-fast", "d-fast", "a-slow", "c-flaky"]


def test_cost_comes_before_standing():
    dear, cheap = an_offer(provider="dear"), an_offer(provider="cheap")
    quotes = [a_quote(dear, cost_msat=2), a_quote(cheap, cost_msat=1)]
    assert order(quotes, Standing({cheap.key: Record(success=0.1, first_byte_ms=9000.0)})) == ["cheap", "dear"]
