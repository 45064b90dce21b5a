"""What is learned of calls that ended: outputs, prompts in caches, and never more of it than there is room for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arbstr_core.journal import Experience
from arbstr_core.routing import Pricer
from arbstr_core.testing import a_call, a_quote, an_offer
from arbstr_core.types import ChatCall, Listing, MsatPrice, Quote, Standing, Usage, UsageSource
from arbstr_core.wire import marks

NOW = 1_750_000_000_000
CACHES = MsatPrice(input=1_000_000, cached_input=100_000, output=1_000_000)
FLAT = MsatPrice(input=1_000_000, cached_input=1_000_000, output=1_000_000)
SAID = [{"role": "system", "content": "You are a careful engineer. " * 1000}, {"role": "user", "content": "Begin."}]
TURN = a_call(messages=SAID)
NEXT = a_call(messages=[*SAID, {"role": "assistant", "content": "Begun."}, {"role": "user", "content": "Go on."}])


def quote(model: str = "model-a", price: MsatPrice = FLAT, *, limit: int = 4096, provider: str = "acme") -> Quote:
    return a_quote(an_offer(provider=provider, model=model, price=price), price=price, output_limit=limit)


def note(
    experience: Experience,
    output: int,
    *,
    agent: str = "ag",
    at: Quote | None = None,
    call: ChatCall = TURN,
    cached: int = 0,
    whole: bool = True,
    now_ms: int = NOW,
    **usage: Any,
) -> None:
    used = Usage(input_tokens=20_000, cached_input_tokens=cached, output_tokens=output, **usage)
    experience.note(agent, call, at or quote(), used, whole=whole, now_ms=now_ms)


def test_the_usual_output_is_a_mean_that_forgets_slowly() -> None:
    learned = Experience()
    assert learned.habits("ag").output("model-a") is None
    for output in (100, 300, 200):
        note(learned, output)
    assert learned.habits("ag").output("model-a") == 200
    for _ in range(200):
        note(learned, 1000)
    assert learned.habits("ag").output("model-a") == pytest.approx(1000, abs=5)
    note(learned, 0)
    assert learned.habits("ag").output("model-a") == pytest.approx(950, abs=5)


def test_each_agent_has_its_own_and_a_stranger_everybodys() -> None:
    learned = Experience()
    for _ in range(4):
        note(learned, 10, agent="brief")
        note(learned, 1000, agent="long")
    assert learned.habits("brief").output("model-a") == 10
    assert learned.habits("long").output("model-a") == 1000
    assert learned.habits("new").output("model-a") == 505
    assert learned.habits("new").output("model-b") is None


def test_choices_are_counted_one_by_one() -> None:
    learned = Experience()
    note(learned, 90, at=msgspec.structs.replace(quote(), choices=3))
    assert learned.habits("ag").output("model-a") == 30


def test_a_reply_that_was_cut_off_makes_no_habit_and_none_shorter() -> None:
    learned = Experience()
    note(learned, 10, at=quote(limit=10))
    assert learned.habits("ag").output("model-a") is None
    for _ in range(3):
        note(learned, 500)
    note(learned, 10, at=quote(limit=10))
    note(learned, 3, whole=False)
    assert learned.habits("ag").output("model-a") == 500
    note(learned, 900, at=quote(limit=900))
    assert learned.habits("ag").output("model-a") == 600


def test_a_prompt_is_remembered_where_a_cache_makes_it_cheaper() -> None:
    learned = Experience()
    note(learned, 1)
    assert learned.habits("ag").warm == {}
    at = quote(price=CACHES)
    note(learned, 1, at=at, whole=False)
    warm = learned.habits("ag").warm[at.offer.key]
    assert (warm.at_ms, warm.marks) == (NOW, marks(TURN.prompt()))
    assert learned.habits("ag").served_ms == {quote().offer.key: NOW}
    assert learned.habits("other").warm == {}


def test_a_cache_that_gives_nothing_is_believed_less_and_less() -> None:
    learned, at = Experience(), quote(price=CACHES)
    sold = Listing(offer=at.offer, price=CACHES, cost_price=CACHES)
    later = msgspec.structs.replace(NEXT, arrived_ms=NOW)

    def expected() -> int:
        found = Pricer(later, Standing(habits=learned.habits("ag"))).quote(sold)
        return found.expected.cached

    note(learned, 1, at=at)
    first = expected()
    assert first == len(TURN.prompt()) // 4
    note(learned, 1, at=at)
    assert learned.habits("ag").hits[at.offer.key] == pytest.approx(0.8)
    assert expected() == pytest.approx(first * 0.8, abs=1)
    for _ in range(30):
        note(learned, 1, at=at)
    assert expected() < first / 100
    for _ in range(30):
        note(learned, 1, at=at, cached=first)
    assert expected() > first * 0.98


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"source": UsageSource.COUNTED}, "the provider did not say"),
        ({"now_ms": NOW + 300_001}, "it was long ago"),
        ({"call": a_call("Something else. " * 1000)}, "it was another prompt"),
    ],
)
def test_what_says_nothing_of_a_cache_teaches_nothing(more: dict[str, Any], why: str) -> None:
    learned, at = Experience(), quote(price=CACHES)
    note(learned, 1, at=at)
    note(learned, 1, at=at, **more)
    assert learned.habits("ag").hits == {}, why


def test_memory_is_bounded_and_the_oldest_goes() -> None:
    learned = Experience(agents=3, models=4, offers=5)
    for at in range(50):
        for model in range(50):
            sold = quote(f"m{model}", CACHES, provider=f"p{model}")
            note(learned, 1, agent=f"ag{at}", at=sold)
            note(learned, 1, agent=f"ag{at}", at=sold, cached=1)
    assert learned.habits("ag46").mine == {}
    newest = learned.habits("ag49")
    assert (len(newest.mine), len(newest.served_ms)) == (32, 16)
    assert [key[0] for key in newest.warm] == ["p46", "p47", "p48", "p49"]
    assert list(newest.everybodys) == ["m46", "m47", "m48", "m49"]
    assert len(newest.hits) == 5
