"""What a call is expected to cost: outputs as they were learned, and what a provider still has in its cache."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from arbstr_policy_price import Cheapest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.routing import Pricer, Router
from arbstr_core.testing import a_call, a_caller, an_offer
from arbstr_core.types import ChatCall, Habit, Habits, Listing, MsatPrice, Plan, Quote, Standing, Warm
from arbstr_core.wire import marks

LONG = "You are a careful engineer. " * 1000
SAID = [{"role": "system", "content": LONG}, {"role": "user", "content": "Begin."}]
NEXT = [*SAID, {"role": "assistant", "content": "Begun."}, {"role": "user", "content": "Go on."}]
NOW = 1_750_000_000_000


def listing(provider: str, rates: int, *, cached: int | None = None, **offer: Any) -> Listing:
    price = MsatPrice(input=rates, cached_input=rates if cached is None else cached, output=rates)
    return Listing(offer=an_offer(provider=provider, price=price, **offer), price=price, cost_price=price)


def plan(listings: list[Listing], call: ChatCall, habits: Habits, **more: Any) -> Plan:
    router = Router((), {"cheapest": Cheapest()}, strategy="cheapest", output_tokens=4096, keep=3, **more)
    return router.plan(call, a_caller(), listings, (), Standing(habits=habits))


def quote(call: ChatCall, habits: Habits, sold: Listing) -> Quote:
    return Pricer(call, Standing(habits=habits)).quote(sold)


def names(made: Plan) -> list[str]:
    return [each.offer.provider for each in made.candidates]


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_nothing_known_means_the_limit() -> None:
    sold = listing("a", 1_000_000)
    assert quote(a_call(), Habits(), sold).expected.output == 4096
    assert quote(a_call(output_limit=100), Habits(), sold).expected.output == 100
    twice = msgspec.structs.replace(a_call(output_limit=100), choices=2)
    assert quote(twice, Habits(), sold).expected.output == 200


def test_what_was_learned_counts_within_the_limit() -> None:
    habits = Habits(everybodys={"model-a": Habit(50, 299.5)})
    sold = listing("a", 1_000_000)
    found = quote(a_call(), habits, sold)
    assert found.expected.output == 300
    assert found.cost_msat == found.expected.input + 300
    assert found.ceiling_msat >= 4096
    assert quote(a_call(output_limit=10), habits, sold).expected.output == 10
    assert quote(msgspec.structs.replace(a_call(), choices=3), habits, sold).expected.output == 900


def test_the_callers_own_habit_counts_once_it_is_one() -> None:
    usual = {"model-a": Habit(500, 1000.0)}
    assert Habits(mine={"model-a": Habit(2, 10.0)}, everybodys=usual).output("model-a") == 1000
    assert Habits(mine={"model-a": Habit(3, 10.0)}, everybodys=usual).output("model-a") == 10
    assert Habits(mine={"model-a": Habit(1, 10.0)}).output("model-a") == 10
    assert Habits(mine={"model-a": Habit(9, 10.0)}).output("model-b") is None


def test_the_usual_output_decides_who_is_the_cheapest() -> None:
    talks = Listing(
        offer=an_offer(provider="dear-output"),
        price=MsatPrice(input=100_000, cached_input=100_000, output=9_000_000),
        cost_price=MsatPrice(input=100_000, cached_input=100_000, output=9_000_000),
    )
    reads = listing("dear-input", 2_000_000)
    call = a_call("x" * 40_000)
    assert names(plan([talks, reads], call, Habits())) == ["dear-input", "dear-output"]
    brief = Habits(everybodys={"model-a": Habit(9, 20.0)})
    assert names(plan([talks, reads], call, brief)) == ["dear-output", "dear-input"]


# -- caches ------------------------------------------------------------------------------------------------------------


def warm(sold: Listing, messages: list[dict[str, Any]] = SAID, *, seconds: int = 10, **more: Any) -> Habits:
    sent = Warm(NOW - seconds * 1000, marks(a_call(messages=messages).prompt()))
    return Habits(warm={sold.offer.key: sent}, everybodys={"model-a": Habit(9, 20.0)}, **more)


DEAR = listing("dear", 1_050_000, cached=100_000)
CHEAP = listing("cheap", 1_000_000, cached=1_000_000)
TURN = a_call(messages=NEXT)


def test_a_caller_stays_where_its_prompt_is_cached_while_that_saves_more_than_the_price_gap() -> None:
    assert names(plan([DEAR, CHEAP], TURN, Habits())) == ["cheap", "dear"]
    made = plan([DEAR, CHEAP], TURN, warm(DEAR))
    assert names(made) == ["dear", "cheap"]
    first = made.candidates[0]
    saved = first.expected.cached * 950_000 // 1_000_000
    assert first.expected.cached > 6000
    (reason,) = [each for each in made.reasons if "cache" in each]
    assert reason.startswith(f"dear was asked last, and has about {first.expected.cached} tokens in its cache")
    assert f"saves {saved} msat: more than the" in reason
    assert reason.endswith("msat that cheap is cheaper by")
    cost = first.price.cost(
        input_tokens=first.expected.input, cached_input_tokens=first.expected.cached, output_tokens=20
    )
    assert first.cost_msat == cost


def test_it_leaves_where_the_gap_is_wider_than_the_saving() -> None:
    dearer = listing("dear", 2_500_000, cached=2_300_000)
    assert names(plan([dearer, CHEAP], TURN, warm(dearer))) == ["cheap", "dear"]


@pytest.mark.parametrize(
    ("habits", "why"),
    [
        (warm(DEAR, seconds=301), "long ago"),
        (warm(DEAR, [{"role": "system", "content": "Something else. " * 2000}]), "another prompt"),
        (warm(DEAR, [{"role": "user", "content": "short"}]), "nothing to cache"),
        (warm(listing("elsewhere", 1)), "another offer"),
        (warm(DEAR, hits={DEAR.offer.key: 0.01}), "its cache never has it"),
    ],
)
def test_nothing_is_expected_of_a_cache_that_cannot_have_it(habits: Habits, why: str) -> None:
    assert names(plan([DEAR, CHEAP], TURN, habits)) == ["cheap", "dear"], why


def test_where_who_was_asked_last_is_to_make_no_difference() -> None:
    assert names(plan([DEAR, CHEAP], TURN, warm(DEAR), cache_seconds=0.0)) == ["cheap", "dear"]


def test_cached_input_at_the_price_of_other_input_saves_nothing() -> None:
    assert quote(TURN, warm(CHEAP), CHEAP).expected.cached == 0


def test_the_cheaper_one_that_has_it_cached_needs_no_excuse() -> None:
    both = [listing("cheap", 1_000_000, cached=100_000), CHEAP]
    made = plan(both, TURN, warm(both[0]))
    (reason,) = [each for each in made.reasons if "cache" in each]
    assert reason.endswith("msat")


@given(
    rates=st.tuples(*[st.integers(0, 10**7)] * 3),
    turns=st.integers(0, 6),
    hits=st.floats(0, 1),
    usual=st.none() | st.floats(0, 10_000),
    limit=st.none() | st.integers(1, 5000),
)
def test_what_is_expected_is_within_the_limits(
    rates: tuple[int, int, int], turns: int, hits: float, usual: float | None, limit: int | None
) -> None:
    price = MsatPrice(input=rates[0], cached_input=rates[1], output=rates[2])
    sold = Listing(offer=an_offer(price=price), price=price, cost_price=price)
    said = [{"role": "user", "content": "tell me more of it " * 300}] * (turns + 1)
    sent = Warm(NOW, marks(a_call(messages=said[:turns]).prompt()))
    habits = Habits(
        everybodys={} if usual is None else {"model-a": Habit(9, usual)},
        warm={sold.offer.key: sent},
        hits={sold.offer.key: hits},
    )
    found = quote(a_call(messages=said, output_limit=limit), habits, sold)
    assert 0 <= found.expected.cached <= found.expected.input <= found.input_limit
    assert 0 <= found.expected.output <= found.output_limit
    assert found.cost_msat <= found.ceiling_msat
    assert found.cost_msat == price.cost(
        input_tokens=found.expected.input,
        cached_input_tokens=found.expected.cached,
        output_tokens=found.expected.output,
    )
