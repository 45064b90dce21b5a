"""Nodes that die and come back at random: whoever holds one that is up gets an answer. In virtual time; with real
sockets it is tests/e2e/test_dying.py."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

import pytest
from dispatch.scene import Mood, Node, Scene, Told
from hypothesis import given, settings
from hypothesis import strategies as st

from arbstr_core.dispatch import BreakerRules
from arbstr_core.testing import in_virtual_time
from arbstr_core.types import Quote

DEATHS = [Mood.REFUSES, Mood.HANGS, Mood.BROKEN, Mood.CUT_EARLY]
KEEP = 3
SECONDS = 60
A_SECOND = 200


class Life:
    """When a node was up."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.ends: list[tuple[float, bool]] = [(0.0, True)]

    async def lead(self, chance: random.Random, until: float) -> None:
        """Die and come back, for 2 to 15 seconds each."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(chance.uniform(2, 15))
            up = self.node.mood is not Mood.GOOD
            self.node.mood = Mood.GOOD if up else chance.choice(DEATHS)
            self.ends.append((loop.time(), up))

    def up_all_of(self, began: float, ended: float) -> bool:
        """Whether it was up from `began` to `ended`."""
        before = [up for at, up in self.ends if at <= began]
        return before[-1] and not any(began < at <= ended for at, _ in self.ends)


async def outage(seed: int) -> tuple[int, int, Scene]:
    """(calls, those that got no answer though they could have, the scene afterwards)"""
    chance = random.Random(seed)
    nodes = [Node(f"n{number}", takes=0.1 + number / 20) for number in range(6)]
    scene = Scene(*nodes, first_byte_seconds=10, deadline_seconds=30)
    lives = {node.name: Life(node) for node in nodes}
    # The three that are asked first are those that die.
    dying = [asyncio.create_task(lives[node.name].lead(chance, SECONDS)) for node in nodes[:3]]
    wronged: list[Told] = []

    async def one(at: float) -> None:
        await asyncio.sleep(at)
        # Some ask for what only those sell that die.
        plan: list[Quote] = scene.plan(*(["n0", "n1", "n2"] if chance.random() < 0.3 else []))[:KEEP]
        began = scene.clock.monotonic()
        told = await scene.call(plan=plan, stream=chance.random() < 0.5)
        ended = scene.clock.monotonic()
        if told.served_by is None and any(lives[quote.offer.provider].up_all_of(began, ended) for quote in plan):
            wronged.append(told)

    calls = SECONDS * A_SECOND
    await asyncio.gather(*(one(number / A_SECOND) for number in range(calls)))
    for task in dying:
        task.cancel()
    await asyncio.gather(*dying, return_exceptions=True)
    return calls, len(wronged), scene


@pytest.mark.parametrize("seed", [1, 2])
def test_whoever_holds_one_that_is_up_gets_an_answer(seed: int) -> None:
    async def story() -> None:
        calls, wronged, scene = await outage(seed)
        assert (calls, wronged) == (12_000, 0)
        await scene.leaves_nothing()

    in_virtual_time(story())


MOODS = st.sampled_from(list(Mood))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mood"), st.integers(0, 2), MOODS),
        st.tuples(st.just("calls"), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("leave"), st.integers(0, 30), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([0.05, 0.3, 1.0, 3.5, 9.0, 31.0, 65.0]), st.none()),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.sampled_from([0.0, 0.1]))
def test_nothing_is_left_behind_and_nobody_starves_whatever_happens(steps: list[tuple], hedge: float) -> None:
    """Nodes in any mood, one with two places, one half of the callers leaving: in the end all is as at first."""

    async def story() -> None:
        nodes = [Node("a", takes=0.2, cancel_free=True), Node("b", takes=0.7, max_concurrent=2), Node("c", takes=5)]
        rules = BreakerRules(wait_seconds=2, probe_seconds=1, waiting=3, most_open_seconds=120)
        scene = Scene(*nodes, first_byte_seconds=8, deadline_seconds=20, hedge_seconds=hedge, queue=4, breaker=rules)
        calls: list[asyncio.Task[Told]] = []
        for what, one, other in steps:
            if what == "mood":
                nodes[one].mood = other
            elif what == "calls":
                calls += [asyncio.create_task(scene.call(stream=other)) for _ in range(one)]
            elif what == "leave" and calls:
                calls[one % len(calls)].cancel()
            elif what == "wait":
                await asyncio.sleep(one)
            assert nodes[1].most_here <= 2
        ended: Awaitable[list[Told | BaseException]] = asyncio.gather(*calls, return_exceptions=True)
        for told in await ended:
            assert isinstance(told, Told | asyncio.CancelledError), told
        for node in nodes:
            node.mood = Mood.GOOD
        await asyncio.sleep(rules.most_open_seconds + 61)
        for node in nodes:
            # Who has hung, and never answered, is not waited for; but it is seen to answer.
            told = await scene.call(node.name)
            await asyncio.sleep(9)
            assert node.name in (told.served_by, (await scene.call(node.name)).served_by)
        await scene.leaves_nothing()

    in_virtual_time(story())
