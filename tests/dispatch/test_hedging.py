"""Two asked at one time: only where that costs nothing, counted where it may, and never more than one is charged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from dispatch.scene import Mood, Node, Scene

from arbstr_core.api import MsatPrice
from arbstr_core.testing import in_virtual_time
from arbstr_core.types import Outcome, Quote, UpstreamRefused

FREE = MsatPrice(input=0, cached_input=0, output=0)


class Purse:
    """Counts as flow's Spare does, without prices."""

    def __init__(self, allowed: bool = True) -> None:
        self.allowed = allowed
        self.counted: list[tuple[str, Outcome]] = []

    def goes_on(self, quote: Quote, outcome: Outcome) -> bool:
        self.counted.append((quote.offer.provider, outcome))
        return True

    def allows(self, quote: Quote) -> bool:
        return self.allowed


def play(story: Callable[[Scene], Awaitable[None]], *nodes: Node, hedge: float = 2) -> None:
    async def whole() -> None:
        scene = Scene(*nodes, hedge_seconds=hedge)
        await story(scene)
        await scene.leaves_nothing()

    in_virtual_time(whole())


def outcomes(told: Any) -> list[tuple[str, str]]:
    return [(each.provider, each.outcome.value) for each in told.attempts]


@pytest.mark.parametrize("facts", [{"cancel_free": True}, {"price": FREE}])
@pytest.mark.parametrize("stream", [True, False])
def test_after_a_while_one_that_costs_nothing_is_asked_too_and_the_first_answer_counts(
    facts: dict[str, Any], stream: bool
) -> None:
    async def story(scene: Scene) -> None:
        purse = Purse()
        told = await scene.call(stream=stream, budget=purse)
        assert (told.served_by, round(told.waited), told.whole) == ("quick", 3, True)
        assert outcomes(told) == [("slow", "outrun"), ("quick", "served")]
        assert purse.counted == [("slow", Outcome.OUTRUN)]
        assert scene.node("dear").asked == 0
        scene.node("slow").takes = 2.5
        told = await scene.call(stream=stream, budget=purse)
        assert outcomes(told) == [("quick", "outrun"), ("slow", "served")]
        assert scene.dispatch.state(scene.node("quick").offer).success == 1, "who was outrun has not failed"

    play(story, Node("slow", takes=30), Node("dear"), Node("quick", takes=1, **facts))


def test_nobody_is_asked_too_where_that_may_cost_something() -> None:
    async def story(scene: Scene) -> None:
        told = await scene.call()
        assert (told.served_by, round(told.waited)) == ("slow", 30)
        assert scene.node("dear").asked == 0
        scene.node("dear").offer = Node("dear", cancel_free=True).offer
        told = await scene.call(budget=Purse(allowed=False))
        assert (told.served_by, scene.node("dear").asked) == ("slow", 0)

    play(story, Node("slow", takes=30), Node("dear", takes=1))


def test_without_hedging_nobody_is_asked_too() -> None:
    async def story(scene: Scene) -> None:
        assert (await scene.call()).served_by == "slow"

    play(story, Node("slow", takes=30), Node("quick", cancel_free=True), hedge=0)


def test_one_that_fails_while_another_is_asked_leaves_it_to_that() -> None:
    async def story(scene: Scene) -> None:
        told = await scene.call()
        assert outcomes(told) == [("bad", "refused"), ("good", "served")]
        assert round(told.waited) == 6
        scene.node("good").mood = Mood.BROKEN
        told = await scene.call()
        assert outcomes(told) == [("bad", "refused"), ("good", "refused"), ("last", "served")]

    play(
        story,
        Node("bad", Mood.BROKEN, takes=3),
        Node("good", takes=4, cancel_free=True),
        Node("last"),
    )


def test_a_request_that_is_wrong_ends_both() -> None:
    async def story(scene: Scene) -> None:
        told = await scene.call()
        assert isinstance(told.refused, UpstreamRefused)
        assert outcomes(told) == [("bad", "client_error"), ("slow", "abandoned")]

    play(story, Node("bad", Mood.INVALID, takes=3), Node("slow", takes=40, cancel_free=True))


def test_a_caller_that_leaves_both_leaves_neither_behind() -> None:
    async def story(scene: Scene) -> None:
        for seconds in (1, 2.5, 4, 5):
            call = asyncio.create_task(scene.call())
            await asyncio.sleep(seconds)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert scene.node("a").asked == 4
        assert scene.node("b").asked == 3

    play(story, Node("a", takes=5), Node("b", takes=3, cancel_free=True, max_concurrent=1))
