"""Plans: nobody in them who was refused, the cheapest first, ceilings that hold, and the same plan each time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.api import RoutingPolicy, Strategy
from arbstr_core.routing import Pricer, Router
from arbstr_core.testing import a_call, a_caller, an_offer
from arbstr_core.types import (
    Caller,
    ChatCall,
    Excluded,
    Feature,
    Listing,
    MsatPrice,
    NothingQualifies,
    Plan,
    PolicyRefused,
    ProvidersUnavailable,
    Quote,
    Record,
    Shut,
    Standing,
    Tier,
    Verdict,
)


class Cheapest(Strategy):
    name = "cheapest"

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        return (quote.cost_msat, *quote.offer.key)


class Broken(Strategy):
    name = "broken"

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        raise LookupError("no key")


class Odd(Strategy):
    name = "odd"

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        return (object(),)


class Says(RoutingPolicy):
    """Answers what it is told to; `refuses` are names of providers."""

    name = "says"

    def __init__(self, *refuses: str, **more: Any) -> None:
        self._refuses = refuses
        self._more = more

    def consider(self, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing) -> Verdict:
        kept = tuple(quote for quote in quotes if quote.offer.provider not in self._refuses)
        out = tuple(
            Excluded(provider=quote.offer.provider, model=quote.offer.model, reason="no")
            for quote in quotes
            if quote.offer.provider in self._refuses
        )
        return Verdict(kept=kept, out=out, **self._more)


class Returns(RoutingPolicy):
    name = "returns"

    def __init__(self, what: Any) -> None:
        self._what = what

    def consider(self, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing) -> Any:
        if isinstance(self._what, Exception):
            raise self._what
        return self._what


STRATEGIES = {each.name: each for each in (Cheapest(), Broken(), Odd())}


def router(*policies: RoutingPolicy, strategy: str = "cheapest", keep: int = 3) -> Router:
    return Router(policies, STRATEGIES, strategy=strategy, output_tokens=4096, keep=keep)


def listing(provider: str = "acme", price: MsatPrice | None = None, **offer: Any) -> Listing:
    rates = price or MsatPrice(input=1000, cached_input=500, output=2000)
    return Listing(offer=an_offer(provider=provider, price=rates, **offer), price=rates, cost_price=rates)


def plan(made: Router, listings: list[Listing], call: ChatCall | None = None) -> Plan:
    return made.plan(call or a_call(), a_caller(), listings, (), Standing())


def planned(made: Router, listings: list[Listing], call: ChatCall) -> tuple[Plan | None, tuple[Excluded, ...]]:
    """The plan, or who is out where there is none."""
    try:
        return plan(made, listings, call), ()
    except (NothingQualifies, PolicyRefused) as refused:
        return None, refused.out


RATES = st.integers(0, 10**9)
PRICES = st.builds(MsatPrice, input=RATES, cached_input=RATES, output=RATES, request=RATES)
LISTINGS = st.builds(
    listing,
    provider=st.sampled_from(["a", "b", "c", "d", "e"]),
    price=PRICES,
    context_window=st.none() | st.integers(1, 10_000),
    max_output_tokens=st.none() | st.integers(1, 10_000),
    features=st.frozensets(st.sampled_from(Feature)),
    tier=st.sampled_from(Tier),
    input_factor=st.floats(0.01, 10),
    input_overhead=st.integers(0, 5000),
)


@given(
    listings=st.lists(LISTINGS, max_size=6),
    refuses=st.frozensets(st.sampled_from(["a", "b", "c"])),
    limit=st.none() | st.integers(1, 100_000),
    text=st.text(max_size=300),
    keep=st.integers(1, 4),
    floor=st.none() | st.sampled_from(Tier),
    ceiling=st.none() | st.sampled_from(Tier),
)
def test_a_plan_holds_what_it_promises(
    listings: list[Listing],
    refuses: frozenset[str],
    limit: int | None,
    text: str,
    keep: int,
    floor: Tier | None,
    ceiling: Tier | None,
) -> None:
    call = a_call(text, output_limit=limit)
    made = router(Says(*refuses, tier_floor=floor, tier_ceiling=ceiling), keep=keep)
    found, out = planned(made, listings, call)
    assert (found, out) == planned(made, listings, call)
    if found is None:
        assert len(out) == len(listings)  # everyone who is out is named
        return
    everyone = [*found.candidates, *found.beaten]
    assert 1 <= len(found.candidates) <= keep
    assert len(everyone) + len(found.out) == len(listings)
    costs = [quote.cost_msat for quote in everyone]
    assert costs == sorted(costs)
    for quote in everyone:
        assert quote.offer.provider not in refuses
        assert floor is None or quote.offer.tier.rank >= floor.rank
        assert ceiling is None or quote.offer.tier.rank <= ceiling.rank
        assert 0 <= quote.cost_msat <= quote.ceiling_msat


@given(
    sold=LISTINGS,
    limit=st.none() | st.integers(1, 100_000),
    choices=st.integers(1, 5),
    share=st.tuples(*[st.floats(0, 1)] * 3),
)
def test_no_usage_within_the_limits_costs_more_than_the_ceiling(
    sold: Listing, limit: int | None, choices: int, share: tuple[float, float, float]
) -> None:
    call = a_call(output_limit=limit)
    call = ChatCall(**{**{field: getattr(call, field) for field in call.__struct_fields__}, "choices": choices})
    quote = Pricer(call).quote(sold)
    used = int(quote.input_limit * share[0])
    cost = quote.price.cost(
        input_tokens=used,
        cached_input_tokens=int(used * share[1]),
        output_tokens=int(quote.output_limit * choices * share[2]),
    )
    assert cost <= quote.ceiling_msat
    assert quote.output_limit <= (limit or 4096)
    assert quote.output_limit <= (sold.offer.max_output_tokens or 10**9)
    assert quote.input_limit <= (sold.offer.context_window or 10**9)


def test_the_fee_decides_for_a_short_prompt() -> None:
    fee = listing("fee", MsatPrice(input=10, cached_input=10, output=10, request=100))
    plain = listing("plain", MsatPrice(input=10_000, cached_input=10_000, output=10_000))
    short = plan(router(), [fee, plain], a_call(output_limit=10))
    assert [quote.offer.provider for quote in short.candidates] == ["plain", "fee"]
    long = plan(router(), [fee, plain], a_call("x" * 100_000, output_limit=10))
    assert [quote.offer.provider for quote in long.candidates] == ["fee", "plain"]


def test_who_cannot_serve_is_out_with_a_reason() -> None:
    tools = {"tools": [{"type": "function"}]}
    call = a_call(fields=tools)
    call = ChatCall(
        **{**{name: getattr(call, name) for name in call.__struct_fields__}, "features": frozenset({Feature.TOOLS})}
    )
    with pytest.raises(NothingQualifies, match="lacks tools") as refused:
        plan(router(), [listing(features=frozenset())], call)
    assert refused.value.out[0].provider == "acme"
    with pytest.raises(NothingQualifies, match="context of 10 tokens"):
        plan(router(), [listing(context_window=10)], a_call("x" * 1000))


def shut(*names: str, until_ms: int = 1_750_000_012_400) -> Standing:
    """These have open breakers; `a_call` arrives 12.4 s before they may be asked again."""
    return Standing(shut={an_offer(provider=name).key: Shut(reason="it fails", until_ms=until_ms) for name in names})


def with_breakers(made: Router, names: str, standing: Standing) -> Plan:
    return made.plan(a_call(), a_caller(), [listing(name) for name in names], (), standing)


def test_an_open_breaker_takes_an_offer_out_with_its_reason() -> None:
    found = with_breakers(router(), "abc", shut("a", "c"))
    assert [quote.offer.provider for quote in found.candidates] == ["b"]
    assert [(row.provider, row.reason) for row in found.out] == [("a", "it fails"), ("c", "it fails")]


def test_where_only_breakers_are_in_the_way_the_caller_is_told_when_to_come_again() -> None:
    with pytest.raises(ProvidersUnavailable, match=r"open circuits .*\(a: it fails; b: it fails\)") as refused:
        with_breakers(router(), "ab", shut("a", "b"))
    assert refused.value.retry_after == 13
    with pytest.raises(ProvidersUnavailable, match="open circuits") as refused:
        with_breakers(router(Says("b")), "ab", shut("a"))
    assert [row.provider for row in refused.value.out] == ["a", "b"]
    with pytest.raises(ProvidersUnavailable) as refused:
        with_breakers(router(), "a", shut("a", until_ms=0))
    assert refused.value.retry_after == 1


def test_what_closed_breakers_would_not_mend_is_not_put_down_to_them() -> None:
    with pytest.raises(PolicyRefused):
        with_breakers(router(Says("a", "b")), "ab", shut("a"))
    big = [listing("a", context_window=10), listing("b", context_window=10)]
    with pytest.raises(NothingQualifies):
        router().plan(a_call("x" * 1000), a_caller(), big, (), shut("a"))


def test_policies_narrow_and_the_first_strategy_named_wins() -> None:
    sold = [listing("a"), listing("b", MsatPrice(input=1, cached_input=1, output=1))]
    found = plan(router(Says("b", reasons=("why",)), Says(strategy="cheapest"), Says(strategy="broken")), sold)
    assert [quote.offer.provider for quote in found.candidates] == ["a"]
    assert (found.strategy, found.policy, found.reasons[0]) == ("cheapest", "says", "why")
    assert found.reasons[1].startswith("cheapest: a is expected to cost")
    assert found.reasons[1].endswith("nobody else qualifies")
    with pytest.raises(PolicyRefused, match="says refuses"):
        plan(router(Says("a", "b")), sold)


def test_a_dearer_first_has_a_reason() -> None:
    class Backwards(Strategy):
        name = "backwards"

        def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
            return (-quote.cost_msat,)

    price = MsatPrice(input=10**6, cached_input=10**6, output=10**6)
    sold = [listing("dear", price), listing("cheap")]
    known = Standing({sold[0].offer.key: Record(success=0.984, first_byte_ms=120.4)})
    made = Router([], {"backwards": Backwards()}, strategy="backwards", output_tokens=10, keep=3)
    found = made.plan(a_call(), a_caller(), sold, (), known)
    assert [quote.offer.provider for quote in found.candidates] == ["dear", "cheap"]
    assert found.reasons[1] == "dear begins after 120 ms, and succeeds 98%; cheap is not known yet"


def test_who_is_dearer_because_another_ones_word_has_not_held_has_a_reason() -> None:
    class Wary(Strategy):
        name = "wary"

        def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
            return (quote.cost_msat / quote.offer.reputation,)

    price = MsatPrice(input=10**6, cached_input=10**6, output=10**6)
    sold = [
        listing("liar", price, reputation=0.5),
        listing("honest", msgspec.structs.replace(price, request=10)),
    ]
    made = Router([], {"wary": Wary()}, strategy="wary", output_tokens=10, keep=3)
    found = made.plan(a_call(), a_caller(), sold, (), Standing())
    assert [quote.offer.provider for quote in found.candidates] == ["honest", "liar"]
    cost = found.candidates[1].cost_msat
    said = f"liar is not known yet, and is taken for {2 * cost} msat, for its word has held by 50%"
    assert found.reasons[1] == f"honest is not known yet; {said}"


@pytest.mark.parametrize("what", [ValueError("broken"), None, 7, (), "kept"])
def test_a_broken_policy_refuses_the_call(what: Any) -> None:
    with pytest.raises(PolicyRefused, match="returns failed"):
        plan(router(Returns(what)), [listing()])


def test_a_policy_cannot_add() -> None:
    foreign = Pricer(a_call()).quote(listing("elsewhere"))
    with pytest.raises(PolicyRefused, match="not given"):
        plan(router(Returns(Verdict(kept=(foreign,)))), [listing()])


@pytest.mark.parametrize("strategy", ["broken", "odd", "unknown"])
def test_a_broken_strategy_refuses_the_call(strategy: str) -> None:
    with pytest.raises(PolicyRefused, match=strategy):
        plan(router(strategy=strategy), [listing("a"), listing("b")])


def test_nodes_of_one_provider_are_told_apart() -> None:
    """A marketplace is one provider with many nodes: who is out, and who comes first, is said by node."""
    blind = listing("market", node="a", features=frozenset())
    shut, first, second = (listing("market", node=node) for node in "bcd")
    call = msgspec.structs.replace(a_call(), features=frozenset({Feature.TOOLS}))
    standing = Standing(shut={shut.offer.key: Shut(reason="it fails", until_ms=0)})
    made = router().plan(call, a_caller(), [blind, shut, first, second], (), standing)
    assert [row.node for row in made.out] == ["a", "b"]
    assert "market/c is expected to cost" in made.reasons[-1]
    assert "; market/d " in made.reasons[-1]
    with pytest.raises(NothingQualifies, match="market/a: lacks"):
        router().plan(call, a_caller(), [blind], (), standing)
