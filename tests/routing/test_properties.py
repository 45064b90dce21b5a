"""What every plan promises, whatever is on offer and asked for: held against an oracle that is not the router."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import arbstr_policy_complexity
import arbstr_policy_keywords
import arbstr_policy_price
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from arbstr_core.routing import Router
from arbstr_core.testing import a_call, a_caller, an_offer, configure
from arbstr_core.types import (
    ChatCall,
    Excluded,
    Feature,
    Habit,
    Habits,
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
    Warm,
)
from arbstr_core.wire import marks

MOST_OUTPUT_RATE = 5_000_000
RULE = {"rules": [{"name": "cheap", "max_output": f"{MOST_OUTPUT_RATE} msat", "keywords": ["thrifty"]}]}
POLICIES = [
    *arbstr_policy_keywords.arbstr_policies(configure(arbstr_policy_keywords, RULE)),
    *arbstr_policy_complexity.arbstr_policies(configure(arbstr_policy_complexity, {})),
]
PINNED = configure(arbstr_policy_price, {"pinned": ["c", "a"]})
STRATEGIES = {each.name: each for each in arbstr_policy_price.arbstr_policies(PINNED)}
TEXTS = ("Hi!", "Be thrifty: write a short poem about rain.", "Prove it, and analyse the worst case in depth. " * 60)
RATES = st.integers(0, 10**7)


def _listing(facts: Mapping[str, Any]) -> Listing:
    price = MsatPrice(input=facts["input"], cached_input=facts["cached"], output=facts["output"], request=facts["fee"])
    offer = an_offer(price=price, **{name: facts[name] for name in FACTS})
    return Listing(offer=offer, price=price, cost_price=price)


FACTS = ("provider", "node", "model", "tier", "features", "context_window", "max_output_tokens", "max_choices")
LISTINGS = st.lists(
    st.fixed_dictionaries(
        {
            "provider": st.sampled_from("abcd"),
            "node": st.sampled_from(["", "n"]),
            "model": st.sampled_from(["m", "n"]),
            "tier": st.sampled_from(Tier),
            "features": st.just(frozenset(Feature)) | st.frozensets(st.sampled_from(Feature)),
            "context_window": st.none() | st.integers(1, 2000) | st.just(131_072),
            "max_output_tokens": st.none() | st.integers(1, 500),
            "max_choices": st.none() | st.integers(1, 4),
            "input": RATES,
            "cached": RATES,
            "output": RATES,
            "fee": st.integers(0, 10**4),
        }
    ),
    min_size=1,
    max_size=10,
    unique_by=lambda facts: (facts["provider"], facts["node"], facts["model"]),
).map(lambda many: [_listing(facts) for facts in many])
CALLS = st.builds(
    lambda text, limit, features, choices, hints: msgspec.structs.replace(
        a_call(text, model="auto", output_limit=limit, hints=hints), features=features, choices=choices
    ),
    st.sampled_from(TEXTS),
    st.none() | st.integers(1, 1000),
    st.frozensets(st.sampled_from(Feature), max_size=1),
    st.integers(1, 4),
    st.sampled_from([{}, {"x-arbstr-policy": "cheap"}, {"x-arbstr-complexity": "low"}]),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Listing], ChatCall, Standing]:
    listings, call = draw(LISTINGS), draw(CALLS)
    keys = [each.offer.key for each in listings]
    some = st.sampled_from(keys)
    warm = {key: Warm(call.arrived_ms, marks(call.prompt())) for key in draw(st.frozensets(some))}
    standing = Standing(
        records={key: Record(success=0.7, first_byte_ms=99.0) for key in draw(st.frozensets(some))},
        shut={key: Shut(reason="it fails", until_ms=0) for key in sorted(draw(st.frozensets(some)))[:2]},
        habits=Habits(everybodys={"m": Habit(9, draw(st.floats(0, 2000)))}, warm=warm),
        tiers=frozenset(each.offer.tier for each in listings),
    )
    return listings, call, standing


def qualifies(listing: Listing, call: ChatCall, standing: Standing) -> bool:
    """By the words of docs/routing.md."""
    offer = listing.offer
    thrifty = "thrifty" in call.last_user_message() or call.hints.get("x-arbstr-policy") == "cheap"
    return (
        call.features <= offer.features
        and (offer.max_choices is None or call.choices <= offer.max_choices)
        and (offer.context_window is None or len(call.body) <= 16 * offer.context_window)
        and offer.key not in standing.shut
        and not (thrifty and listing.price.output > MOST_OUTPUT_RATE)
    )


def decide(
    listings: list[Listing], call: ChatCall, standing: Standing, strategy: str, keep: int
) -> Plan | tuple[Excluded, ...]:
    """The plan, or who is out where there is none."""
    router = Router(POLICIES, STRATEGIES, strategy=strategy, output_tokens=200, keep=keep)
    try:
        return router.plan(call, a_caller(), listings, (), standing)
    except (NothingQualifies, PolicyRefused, ProvidersUnavailable) as refused:
        return refused.out


def within(quote: Quote, share: tuple[float, float, float]) -> int:
    """What some usage within the limits of a quote costs."""
    used = int(quote.input_limit * share[0])
    return quote.price.cost(
        input_tokens=used,
        cached_input_tokens=int(used * share[1]),
        output_tokens=int(quote.output_limit * quote.choices * share[2]),
    )


@settings(max_examples=250)
@given(
    world=worlds(),
    strategy=st.sampled_from(sorted(STRATEGIES)),
    keep=st.integers(1, 4),
    share=st.tuples(*[st.floats(0, 1)] * 3),
    seed=st.integers(),
)
def test_a_plan_keeps_its_promises(
    world: tuple[list[Listing], ChatCall, Standing],
    strategy: str,
    keep: int,
    share: tuple[float, float, float],
    seed: int,
) -> None:
    listings, call, standing = world
    made = decide(listings, call, standing, strategy, keep)
    assert made == decide(listings, call, standing, strategy, keep)
    fit = {each.offer.key for each in listings if qualifies(each, call, standing)}
    if not isinstance(made, Plan):
        assert len(made) == len(listings)
        return
    everyone = [*made.candidates, *made.beaten]
    keys = [quote.offer.key for quote in everyone]
    assert len(set(keys)) == len(keys)
    assert set(keys) <= fit
    assert len(everyone) + len(made.out) == len(listings)
    assert len(made.candidates) == min(keep, len(everyone))
    for quote in everyone:
        assert 0 <= quote.cost_msat <= quote.ceiling_msat
        assert within(quote, share) <= quote.ceiling_msat
        assert quote.output_limit <= (call.output_limit or 200)
    first = made.candidates[0]
    assert first.offer.tier.rank == min(quote.offer.tier.rank for quote in everyone)
    if strategy == "cheapest":
        serving = [quote for quote in everyone if quote.offer.tier is first.offer.tier]
        assert first.cost_msat == min(quote.cost_msat for quote in serving)
    shuffled = random.Random(seed).sample(listings, len(listings))
    again = decide(shuffled, call, standing, strategy, keep)
    assert isinstance(again, Plan)
    assert (again.candidates, again.beaten, again.reasons) == (made.candidates, made.beaten, made.reasons)
