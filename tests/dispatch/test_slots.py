"""Nodes that serve no more than so many at one time, and who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from dispatch.scene import Mood, Node, Scene

from arbstr_core.testing import in_virtual_time
from arbstr_core.types import ProvidersUnavailable


def play(story: Callable[[Scene], Awaitable[None]], *nodes: Node, **rules: Any) -> None:
    async def whole() -> None:
        scene = Scene(*nodes, **rules)
        await story(scene)
        await scene.leaves_nothing()

    in_virtual_time(whole())


def test_more_calls_than_it_serves_wait_their_turn() -> None:
    async def story(scene: Scene) -> None:
        calls = [asyncio.create_task(scene.call()) for _ in range(10)]
        await asyncio.sleep(0.5)
        standing = scene.dispatch.standing()
        assert (standing.queue(scene.nodes[0].offer), scene.dispatch.state(scene.nodes[0].offer).open_calls) == (8, 2)
        told = await asyncio.gather(*calls)
        assert {each.served_by for each in told} == {"only"}
        assert [round(each.waited) for each in told] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        assert scene.nodes[0].most_here == 2
        assert scene.dispatch.standing().waiting == {}

    play(story, Node("only", takes=1, max_concurrent=2))


def test_a_place_is_taken_until_the_reply_has_ended() -> None:
    async def story(scene: Scene) -> None:
        stalled = asyncio.create_task(scene.call())
        await asyncio.sleep(1)
        scene.nodes[0].mood = Mood.GOOD
        told = await scene.call()
        assert (told.served_by, round(told.waited)) == ("only", 59)
        assert not (await stalled).whole

    play(story, Node("only", Mood.STALLS, max_concurrent=1))


def test_where_others_can_be_asked_nobody_waits_for_long() -> None:
    async def story(scene: Scene) -> None:
        told = await asyncio.gather(*(scene.call() for _ in range(4)))
        assert [(each.served_by, round(each.waited)) for each in told] == [
            ("cheap", 30), ("dear", 5), ("dear", 5), ("dear", 5)
        ]  # fmt: skip
        scene.nodes[0].takes = 2
        told = await asyncio.gather(*(scene.call() for _ in range(3)))
        assert [(each.served_by, round(each.waited)) for each in told] == [("cheap", 2), ("cheap", 4), ("dear", 5)]

    play(story, Node("cheap", takes=30, max_concurrent=1), Node("dear", takes=1), queue_seconds=4)


def test_only_so_many_wait() -> None:
    async def story(scene: Scene) -> None:
        told = await asyncio.gather(*(scene.call() for _ in range(6)))
        refused = [each.refused for each in told if each.served_by is None]
        assert len(refused) == 3
        assert all(isinstance(each, ProvidersUnavailable) for each in refused)
        assert "serves as many calls as it takes" in str(refused[0])

    play(story, Node("only", takes=1, max_concurrent=1), queue=2)


def test_who_waits_in_vain_leaves_at_the_deadline() -> None:
    async def story(scene: Scene) -> None:
        held = asyncio.create_task(scene.call(stream=False))
        await asyncio.sleep(0.1)
        told = await scene.call()
        assert isinstance(told.refused, ProvidersUnavailable)
        assert round(told.waited) == 20
        await held

    play(story, Node("only", takes=40, max_concurrent=1), first_byte_seconds=10, deadline_seconds=20)


def test_who_leaves_the_queue_leaves_its_turn_to_the_next() -> None:
    async def story(scene: Scene) -> None:
        calls = [asyncio.create_task(scene.call()) for _ in range(6)]
        await asyncio.sleep(0.5)
        calls[1].cancel()
        await asyncio.sleep(0.5)
        # The place of the first has just come to the third, which has not run since.
        calls[2].cancel()
        await asyncio.gather(*calls[:3], return_exceptions=True)
        told = await asyncio.gather(*calls[3:])
        assert [each.served_by for each in told] == ["only"] * 3
        assert scene.nodes[0].most_here == 1

    play(story, Node("only", takes=1, max_concurrent=1))


def test_a_limit_that_is_raised_lets_in_who_waits() -> None:
    async def story(scene: Scene) -> None:
        calls = [asyncio.create_task(scene.call()) for _ in range(5)]
        await asyncio.sleep(0.1)
        scene.nodes[0].offer = Node("only", max_concurrent=4).offer
        calls.append(asyncio.create_task(scene.call()))
        await asyncio.sleep(0.1)
        assert scene.nodes[0].here == 4
        await asyncio.gather(*calls)

    play(story, Node("only", takes=1, max_concurrent=1))


def test_what_waited_for_a_node_that_died_meanwhile_is_told_so() -> None:
    async def story(scene: Scene) -> None:
        told = await asyncio.gather(*(scene.call() for _ in range(10)))
        assert [each.served_by for each in told] == ["spare"] * 10
        assert scene.nodes[0].asked == 5
        assert scene.state("dead") == "open"

    play(story, Node("dead", Mood.BROKEN, max_concurrent=1), Node("spare"), queue_seconds=100)
