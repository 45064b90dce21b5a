"""Breakers around real attempts, in virtual time: what opens them, who waits, and that nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from dispatch.scene import Mood, Node, Scene

from arbstr_core.dispatch import BreakerRules
from arbstr_core.testing import a_call, in_virtual_time
from arbstr_core.types import Outcome, ProvidersUnavailable, UpstreamFailed, UpstreamRefused, UpstreamTimedOut


def play(story: Callable[[Scene], Awaitable[None]], *nodes: Node, **rules: Any) -> None:
    """Tell a story of these nodes; nothing may be left when it ends."""

    async def whole() -> None:
        scene = Scene(*nodes, **rules)
        await story(scene)
        await scene.leaves_nothing()

    in_virtual_time(whole())


async def in_turn(scene: Scene, count: int, *names: str, **more: Any) -> list[Any]:
    return [await scene.call(*names, **more) for _ in range(count)]


FAILING = [Mood.REFUSES, Mood.BROKEN, Mood.LIMITED, Mood.CUT_EARLY, Mood.CUT_LATE, Mood.STALLS]


@pytest.mark.parametrize("mood", FAILING)
def test_five_failures_in_a_row_open_it_and_a_good_answer_closes_it(mood: Mood) -> None:
    async def story(scene: Scene) -> None:
        bad = scene.node("bad")
        await in_turn(scene, 4)
        assert (scene.state("bad"), bad.asked) == ("closed", 4)
        await scene.call()
        await in_turn(scene, 10)
        assert (scene.state("bad"), bad.asked) == ("open", 5)
        shut = scene.dispatch.standing().shut[bad.offer.key]
        assert shut.reason.startswith("its circuit is open until 1")
        bad.mood = Mood.GOOD
        await asyncio.sleep((shut.until_ms - scene.clock.now_ms()) / 1000 - 1)
        assert (await scene.call()).served_by == "good"
        await asyncio.sleep(1)
        assert scene.state("bad") == "half_open"
        assert (await scene.call()).served_by == "bad"
        assert scene.state("bad") == "closed"

    play(story, Node("bad", mood), Node("good"))


@pytest.mark.parametrize("mood", [Mood.INVALID, Mood.FORBIDS, Mood.BLAMES])
def test_what_may_be_the_callers_own_mistake_does_not_count(mood: Mood) -> None:
    async def story(scene: Scene) -> None:
        for told in await in_turn(scene, 20):
            assert told.served_by is None
            assert isinstance(told.refused, UpstreamRefused if mood is Mood.INVALID else UpstreamFailed)
        assert scene.state("only") == "closed"
        assert scene.dispatch.state(scene.nodes[0].offer).failures == 0

    play(story, Node("only", mood))


def test_what_hangs_for_ever_costs_one_caller_the_first_byte_time_out_and_then_nobody() -> None:
    async def story(scene: Scene) -> None:
        waited = []
        for _ in range(2000):
            told = await scene.call()
            assert told.served_by == "good"
            waited.append(told.waited)
            await asyncio.sleep(1)
        assert [round(each) for each in waited if each > 3.3] == [60]
        probes = [each for each in waited if 0.3 < each <= 3.3]
        assert 0 < len(probes) < 8, "tried again after 30 s, 60, 120, ... at most 600"
        assert scene.node("bad").asked == 1 + len(probes)

    play(story, Node("bad", Mood.HANGS), Node("good"))


def test_what_cannot_be_connected_to_costs_one_caller_too_and_a_slow_failure() -> None:
    async def story(scene: Scene) -> None:
        assert [round(told.waited) for told in await in_turn(scene, 10, "black", "good")] == [5, *[0] * 9]
        assert [round(told.waited) for told in await in_turn(scene, 10, "late", "good")] == [21, *[0] * 9]
        assert [round(told.waited) for told in await in_turn(scene, 6, "soon", "good")] == [19] * 5 + [0]

    soon, late = (Node(name, Mood.BROKEN, takes=seconds) for name, seconds in (("soon", 19), ("late", 21)))
    play(story, Node("black", Mood.UNREACHABLE), soon, late, Node("good"))


def test_of_many_who_wait_for_what_hangs_nobody_waits_longer_than_the_first() -> None:
    async def story(scene: Scene) -> None:
        async def late(seconds: float) -> Any:
            await asyncio.sleep(seconds)
            return await scene.call(), scene.clock.monotonic()

        told = await asyncio.gather(*(late(each / 10) for each in range(900)))
        assert {each.served_by for each, _ in told} == {"good"}
        assert max(ended for (each, ended) in told[:600]) < 60 + 5.3
        assert max(each.waited for each, _ in told[601:]) < 0.3
        assert told[300][0].attempts[0].detail == "given up: it hangs for others, too"

    play(story, Node("bad", Mood.HANGS), Node("good"))


def test_who_has_nobody_else_is_told_soon_and_the_one_who_tries_is_not_kept() -> None:
    async def story(scene: Scene) -> None:
        first = await scene.call()
        assert isinstance(first.refused, UpstreamTimedOut)
        assert round(first.waited) == 60
        assert scene.plan() == []
        for _ in range(3):
            until_ms = scene.dispatch.state(scene.nodes[0].offer).until_ms or 0
            await asyncio.sleep((until_ms - scene.clock.now_ms()) / 1000 + 0.01)
            told = await asyncio.gather(*(scene.call() for _ in range(20)))
            assert max(each.waited for each in told) < 5 + 3.1
            assert sum(len(each.attempts) for each in told) <= 4
        assert scene.nodes[0].asked <= 1 + 3 * 3

    play(story, Node("only", Mood.HANGS))


def test_a_slow_one_is_given_the_time_that_it_used_to_take() -> None:
    async def story(scene: Scene) -> None:
        await scene.call()
        scene.nodes[0].mood = Mood.HANGS
        await scene.call()
        scene.nodes[0].mood = Mood.GOOD
        await asyncio.sleep(31)
        told = await scene.call()
        assert (told.served_by, round(told.waited)) == ("only", 20)

    play(story, Node("only", takes=20))


def test_whole_answers_say_nothing_of_the_first_byte_where_streams_do() -> None:
    """They come at their end: whoever was asked for a long one would look slow beside who was not."""

    async def story(scene: Scene) -> None:
        (node,) = scene.nodes

        async def first_byte_ms(takes: float, *, stream: bool) -> int:
            node.takes = takes
            await scene.call(stream=stream)
            return round(scene.dispatch.standing().of(node.offer).first_byte_ms)

        assert await first_byte_ms(20, stream=False) == 20_000
        assert await first_byte_ms(0.5, stream=True) == 500
        assert await first_byte_ms(30, stream=False) == 500
        assert await first_byte_ms(1, stream=True) == 600

    play(story, Node("only"))


def test_whoever_tries_what_did_not_hang_may_wait_for_as_long_as_ever() -> None:
    async def story(scene: Scene) -> None:
        await half_opened(scene, Mood.GOOD)
        assert (await scene.call()).served_by == "only"

    play(story, Node("only", takes=50))


def test_a_probe_that_answers_late_closes_it_after_all() -> None:
    async def story(scene: Scene) -> None:
        slow = scene.node("slow")
        slow.mood = Mood.HANGS
        await scene.call()
        slow.mood = Mood.GOOD
        await asyncio.sleep(31)
        told = await scene.call()
        assert (told.served_by, round(told.waited, 1)) == ("good", 3.2)
        assert (scene.state("slow"), slow.here) == ("open", 1)
        await asyncio.sleep(10)
        assert (scene.state("slow"), slow.here) == ("closed", 0)

    play(story, Node("slow", takes=8), Node("good"))


def test_two_that_are_half_open_together_are_tried_by_one_each_and_nobody_hangs() -> None:
    async def story(scene: Scene) -> None:
        for node in scene.nodes:
            node.mood = Mood.REFUSES
        await in_turn(scene, 5)
        assert scene.plan() == []
        for node in scene.nodes:
            node.mood, node.asked = Mood.GOOD, 0
        await asyncio.sleep(31)
        told = await asyncio.gather(*(scene.call() for _ in range(50)))
        assert {each.served_by for each in told} == {"a", "b"}
        assert max(each.waited for each in told) < 1
        assert scene.state("a") == scene.state("b") == "closed"

    play(story, Node("a"), Node("b"))


def test_two_that_are_half_open_together_and_one_stays_dead() -> None:
    async def story(scene: Scene) -> None:
        for node in scene.nodes:
            node.mood = Mood.REFUSES
        await in_turn(scene, 5)
        scene.node("b").mood = Mood.GOOD
        scene.node("a").mood = Mood.HANGS
        await asyncio.sleep(31)
        told = await asyncio.gather(*(scene.call() for _ in range(50)))
        assert {each.served_by for each in told} == {"b"}
        assert max(each.waited for each in told) < 4
        assert (scene.state("a"), scene.state("b")) == ("open", "closed")

    play(story, Node("a"), Node("b"))


async def half_opened(scene: Scene, mood: Mood) -> None:
    """The only node has failed, and may be tried again."""
    scene.nodes[0].mood = Mood.REFUSES
    await in_turn(scene, 5)
    scene.nodes[0].mood = mood
    await asyncio.sleep(31)


def test_a_probe_whose_caller_leaves_is_taken_over_by_one_who_waits() -> None:
    async def story(scene: Scene) -> None:
        await half_opened(scene, Mood.GOOD)
        prober = asyncio.create_task(scene.call())
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(scene.call()) for _ in range(10)]
        await asyncio.sleep(0.3)
        assert (scene.nodes[0].asked, scene.state("only")) == (6, "half_open")
        prober.cancel()
        await asyncio.sleep(0)
        assert all(each.served_by == "only" for each in await asyncio.gather(*waiting))
        assert scene.state("only") == "closed"
        with pytest.raises(asyncio.CancelledError):
            await prober

    play(story, Node("only", takes=1))


def test_whoever_waits_for_a_probe_may_leave() -> None:
    async def story(scene: Scene) -> None:
        await half_opened(scene, Mood.GOOD)
        prober = asyncio.create_task(scene.call())
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(scene.call()) for _ in range(10)]
        await asyncio.sleep(0.1)
        for each in waiting[:9]:
            each.cancel()
        await asyncio.gather(*waiting[:9], return_exceptions=True)
        assert (await waiting[9]).served_by == (await prober).served_by == "only"

    play(story, Node("only", takes=1))


def test_only_so_many_wait_for_a_probe_and_only_so_long() -> None:
    async def story(scene: Scene) -> None:
        scene.nodes[0].mood = Mood.HANGS
        await scene.call()
        await asyncio.sleep(31)
        told = await asyncio.gather(*(scene.call() for _ in range(10)))
        at_once = [each for each in told if each.waited == 0]
        assert len(at_once) == 7
        assert isinstance(at_once[0].refused, ProvidersUnavailable)
        assert "only was not asked: its circuit is open" in str(at_once[0].refused)
        assert max(each.waited for each in told) <= 4 + 2

    rules = BreakerRules(waiting=2, wait_seconds=2, probe_seconds=4)
    play(story, Node("only"), breaker=rules)


@pytest.mark.parametrize("mood", [*FAILING, Mood.HANGS, Mood.INVALID, Mood.FORBIDS, Mood.BLAMES])
def test_a_probe_that_ends_in_any_way_leaves_the_way_free_for_the_next(mood: Mood) -> None:
    async def story(scene: Scene) -> None:
        await half_opened(scene, mood)
        for _ in range(4):
            await scene.call()
            await asyncio.sleep(700)
        scene.nodes[0].mood = Mood.GOOD
        assert (await scene.call()).served_by == "only"
        assert scene.state("only") == "closed"

    play(story, Node("only"))


def test_a_bug_of_a_plugin_leaves_the_way_free() -> None:
    class Buggy(Node):
        async def _reply(self, call: Any) -> Any:
            if self.mood is Mood.BROKEN:
                raise ZeroDivisionError
            return await super()._reply(call)

    async def story(scene: Scene) -> None:
        await half_opened(scene, Mood.BROKEN)
        await scene.call()
        await asyncio.sleep(61)
        scene.nodes[0].mood = Mood.GOOD
        assert (await scene.call()).served_by == "only"

    play(story, Buggy("only"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500"}, 2),
        ({"retry-after": "Mon, 16 Jun 2025 10:00:09 GMT", "date": "Mon, 16 Jun 2025 10:00:00 GMT"}, 9),
        ({"retry-after": "99999"}, 600),
    ],
)
def test_retry_after_is_honoured_from_the_first_time_on(headers: dict[str, str], seconds: int) -> None:
    async def story(scene: Scene) -> None:
        limited = scene.node("limited")
        limited.headers = headers
        began = scene.clock.monotonic()
        await in_turn(scene, 3)
        assert (scene.state("limited"), limited.asked) == ("open", 1)
        limited.mood = Mood.GOOD
        await asyncio.sleep(began + seconds - scene.clock.monotonic() - 0.1)
        assert (await scene.call()).served_by == "good"
        await asyncio.sleep(0.4)
        assert (await scene.call()).served_by == "limited"

    play(story, Node("limited", Mood.LIMITED), Node("good"))


@pytest.mark.parametrize(
    "headers",
    [{"retry-after": "soon"}, {"retry-after": "-1"}, {"retry-after": "Mon, 16 Jun 2025 10:00:09 GMT"},
     {"retry-after": "9" * 5000}, {"retry-after-ms": "\u0669"},
     {"retry-after": f"Mon, 16 Jun 2025 10:00:09 +{'9' * 30}", "date": "Mon, 16 Jun 2025 10:00:00 GMT"}],
)  # fmt: skip
def test_a_retry_after_that_says_nothing_counts_as_a_failure(headers: dict[str, str]) -> None:
    async def story(scene: Scene) -> None:
        scene.nodes[0].headers = headers
        await in_turn(scene, 4)
        assert scene.state("limited") == "closed"
        told = await scene.call()
        assert told.refused is not None
        assert [each.outcome for each in told.attempts] == [Outcome.RATE_LIMITED]
        assert scene.state("limited") == "open"

    play(story, Node("limited", Mood.LIMITED))


def test_candidates_that_were_held_before_they_opened_are_tried_all_the_same_where_nobody_else_is_left() -> None:
    async def story(scene: Scene) -> None:
        plan = scene.plan()
        scene.node("a").mood = scene.node("b").mood = Mood.REFUSES
        await in_turn(scene, 5)
        assert scene.plan() == []
        scene.node("b").mood = Mood.GOOD
        told = await scene.call(plan=plan)
        assert told.served_by == "b"
        scene.node("b").mood = Mood.LIMITED
        scene.node("b").headers = {"retry-after": "20"}
        told = await scene.call(plan=plan)
        assert isinstance(told.refused, UpstreamFailed)
        told = await scene.call(plan=scene.plan("b", every=True))
        assert isinstance(told.refused, ProvidersUnavailable)
        assert told.attempts == []

    play(story, Node("a"), Node("b"))


def test_all_of_it_happens_within_one_deadline_and_each_gets_its_share() -> None:
    async def story(scene: Scene) -> None:
        told = await scene.call()
        assert (told.served_by, round(told.waited)) == ("d", 91)
        assert [round(each.ms / 1000) for each in told.attempts] == [30, 30, 30, 1]
        late = await scene.call("a", "b", every=True)
        assert late.waited < 121

    nodes = [Node(name, Mood.HANGS) for name in "abc"]
    play(story, *nodes, Node("d", takes=1), deadline_seconds=120)


def test_a_whole_answer_may_take_longer_than_a_first_byte() -> None:
    async def story(scene: Scene) -> None:
        told = await scene.call(stream=False)
        assert (told.served_by, round(told.waited)) == ("only", 150)
        told = await scene.call()
        assert isinstance(told.refused, UpstreamTimedOut)

    play(story, Node("only", takes=150))


def test_what_it_bills_too_much_is_put_down_to_the_call_until_a_plain_one_or_another_agent_shows_it() -> None:
    async def story(scene: Scene) -> None:
        quote, dispatch = scene.nodes[0].quote, scene.dispatch
        for _ in range(10):
            dispatch.overcharged(quote, "ag_one", plain=False)
        assert scene.state("dear") == "closed"
        dispatch.overcharged(quote, "ag_two", plain=False)
        assert scene.state("dear") == "open"
        assert "bills more" in dispatch.standing().shut[quote.offer.key].reason
        dispatch.forgive(quote.offer)
        assert scene.state("dear") == "closed"
        assert dispatch.standing().shut == {}
        dispatch.overcharged(quote, "ag_one", plain=True)
        assert scene.state("dear") == "closed", "once may be chance"
        await asyncio.sleep(86_401)
        dispatch.overcharged(quote, "ag_one", plain=True)
        assert scene.state("dear") == "closed", "and so may be what was yesterday"
        dispatch.overcharged(quote, "ag_one", plain=True)
        assert scene.state("dear") == "open"
        await asyncio.sleep(599)
        assert scene.state("dear") == "open"
        await asyncio.sleep(2)
        assert scene.state("dear") == "half_open"

    play(story, Node("dear"))


def test_what_is_abandoned_says_nothing() -> None:
    async def story(scene: Scene) -> None:
        for _ in range(10):
            call = asyncio.create_task(scene.call())
            await asyncio.sleep(0.1)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert scene.state("slow") == "closed"
        attempts: list[Any] = []
        opening = asyncio.create_task(scene.dispatch.open(a_call(stream=True), scene.plan(), attempts))
        await asyncio.sleep(0.1)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert [each.outcome for each in attempts] == [Outcome.ABANDONED]

    play(story, Node("slow", takes=50))
