"""The strategies: held to the kit, and their orders."""

from __future__ import annotations

from typing import Any

import arbstr_policy_price
import pytest
from arbstr_policy_price import Balanced, Cheapest, Fastest, Pinned
from arbstr_policy_price._config import Balance

from arbstr_core.api import Amount, ArbstrError, Habits, Msat, MsatPrice, Offer, Quote, Record, Standing, Strategy
from arbstr_core.testing import PluginSuite, StrategySuite, a_call, a_quote, an_offer, configure


def strategies(**table: Any) -> dict[str, Strategy]:
    return {each.name: each for each in arbstr_policy_price.arbstr_policies(configure(arbstr_policy_price, table))}


class TestPlugin(PluginSuite):
    def table(self):
        return {"balanced": {"second": "2 sat", "failure": "1 sat"}, "pinned": ["providers_openai.groq", "cairn"]}

    @pytest.fixture
    def plugin(self):
        return arbstr_policy_price


class TestCheapest(StrategySuite):
    @pytest.fixture
    def make(self):
        return Cheapest


class TestFastest(StrategySuite):
    @pytest.fixture
    def make(self):
        return Fastest


class TestBalanced(StrategySuite):
    @pytest.fixture
    def make(self):
        return lambda: Balanced(Balance())


class TestPinned(StrategySuite):
    @pytest.fixture
    def make(self):
        return lambda: Pinned(("cairn", "acme"))


def order(quotes: list[Quote], standing: Standing | None = None, strategy: Strategy | None = None) -> list[str]:
    by, call = strategy or Cheapest(), a_call()
    ranked = sorted(quotes, key=lambda quote: by.key(call, quote, standing or Standing()))
    return [quote.offer.provider for quote in ranked]


def costing(**costs: int) -> tuple[list[Quote], dict[str, Offer]]:
    """A quote of each provider at its cost in msat, dearest first."""
    offers = {name: an_offer(provider=name) for name in costs}
    quotes = [a_quote(offers[name], cost_msat=cost) for name, cost in costs.items()]
    return sorted(quotes, key=lambda quote: -quote.cost_msat), offers


# -- cheapest ----------------------------------------------------------------------------------------------------------


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


# -- fastest -----------------------------------------------------------------------------------------------------------


def test_the_fastest_counts_failures_and_lines_and_tries_the_unknown_once():
    quotes, offers = costing(quick=9, slow=1, flaky=1, new=5, queued=1)
    standing = Standing(
        {
            offers["quick"].key: Record(success=1.0, first_byte_ms=150.0),
            offers["slow"].key: Record(success=1.0, first_byte_ms=800.0),
            offers["flaky"].key: Record(success=0.7, first_byte_ms=10.0),
            offers["queued"].key: Record(success=1.0, first_byte_ms=1.0),
        },
        waiting={("queued", ""): 2},
    )
    assert order(quotes, standing, Fastest()) == ["new", "quick", "slow", "flaky", "queued"]
    failed = Standing({offers["new"].key: Record(success=0.8)})
    assert order(quotes, failed, Fastest())[-1] == "new"


def test_equal_speed_goes_by_cost():
    quotes, _ = costing(a=3, b=1, c=2)
    assert order(quotes, None, Fastest()) == ["b", "c", "a"]


# -- balanced ----------------------------------------------------------------------------------------------------------


def test_waiting_and_failing_have_a_price():
    quotes, offers = costing(cheap=1_000, dear=1_800)
    balanced = Balanced(Balance(second=Amount(Msat(1_000)), failure=Amount(Msat(10_000))))

    def known(cheap: Record, dear: Record) -> Standing:
        return Standing({offers["cheap"].key: cheap, offers["dear"].key: dear})

    same = Record(success=1.0, first_byte_ms=200.0)
    assert order(quotes, known(same, same), balanced) == ["cheap", "dear"]
    slower = Record(success=1.0, first_byte_ms=1_100.0)
    assert order(quotes, known(slower, same), balanced) == ["dear", "cheap"]
    flakier = Record(success=0.9, first_byte_ms=200.0)
    assert order(quotes, known(flakier, same), balanced) == ["dear", "cheap"]
    free = Balanced(Balance(second=Amount(Msat(0)), failure=Amount(Msat(0))))
    assert order(quotes, known(Record(success=0.1, first_byte_ms=9e4), same), free) == ["cheap", "dear"]


def test_a_line_makes_waiting_longer():
    quotes, offers = costing(cheap=1_000, dear=1_300)
    standing = Standing(
        {offer.key: Record(success=1.0, first_byte_ms=200.0) for offer in offers.values()}, waiting={("cheap", ""): 3}
    )
    assert order(quotes, standing, Balanced(Balance())) == ["dear", "cheap"]


# -- pinned ------------------------------------------------------------------------------------------------------------


def test_the_pinned_come_first_in_their_order_then_who_was_asked_last_then_the_cheapest():
    names = ("providers_openai.groq", "providers_openai.acme", "providers_local", "other", "last", "cheap")
    quotes, offers = costing(**{name: 10 - place for place, name in enumerate(names)})
    standing = Standing(habits=Habits(served_ms={offers["last"].key: 9, offers["other"].key: 8}))
    pinned = strategies(pinned=["providers_local", "providers_openai.acme"])["pinned"]
    assert order(quotes, standing, pinned) == [
        "providers_local",
        "providers_openai.acme",
        "last",
        "other",
        "cheap",
        "providers_openai.groq",
    ]
    whole = strategies(pinned=["providers_openai"])["pinned"]
    assert order(quotes, standing, whole)[:3] == ["providers_openai.acme", "providers_openai.groq", "last"]


def test_nothing_pinned_stays_with_who_was_asked_last():
    quotes, offers = costing(cheap=1, dear=5)
    standing = Standing(habits=Habits(served_ms={offers["dear"].key: 1}))
    assert order(quotes, standing, strategies()["pinned"]) == ["dear", "cheap"]
    assert order(quotes, None, strategies()["pinned"]) == ["cheap", "dear"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"pinned": ["Groq Cloud"]}, "which is no provider"),
        ({"pinned": ["a", "a"]}, "a twice"),
        ({"balanced": {"second": "a lot"}}, "is not an amount"),
        ({"balanced": {"minute": "1 sat"}}, "unknown key"),
    ],
)
def test_what_makes_no_sense_is_refused(table: dict[str, Any], said: str):
    with pytest.raises(ArbstrError) as refused:
        configure(arbstr_policy_price, table)
    assert said in str(refused.value)


@pytest.mark.parametrize("strategy", [Cheapest(), Fastest(), Balanced(Balance()), Pinned(())])
def test_a_broken_word_makes_dearer(strategy: Strategy) -> None:
    """Twice what it says, of a node whose word held by half."""
    liar = a_quote(an_offer(provider="liar", reputation=0.5), cost_msat=600)
    assert order([liar, a_quote(an_offer(provider="honest"), cost_msat=1_000)], strategy=strategy) == ["honest", "liar"]
    assert order([liar, a_quote(an_offer(provider="dear"), cost_msat=1_300)], strategy=strategy) == ["liar", "dear"]
