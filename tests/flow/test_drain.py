"""A caller that leaves: the reply is read on, bounded by time and money, and charged what it used. And a database that
refuses the end of a call: it is asked again, less and less often, and a whole answer does not wait for ever."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from exchanges import CHUNK, DONE, Bench, bench, good

from arbstr_core.api import Outbound, Reply
from arbstr_core.flow import Alarm, Exchange
from arbstr_core.flow._closing import Closing
from arbstr_core.types import VaultUnavailable

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9}}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
COUNTED_INPUT = -(-len(b'[{"role":"user","content":"Say hello"}]') // 4)


class Source:
    """A provider's stream that says what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = False

    async def open(self, call: Outbound) -> Reply:
        return Reply.of_events(self._events())

    async def _events(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield await self.said.get()
        finally:
            self.closed = True

    def say(self, *events: bytes) -> None:
        for event in events:
            self.said.put_nowait(event)


class Caller:
    """Serves an exchange as the door does, and counts what was passed on."""

    def __init__(self, exchange: Exchange, *, takes: int | None = None) -> None:
        self.exchange = exchange
        self.got: list[bytes] = []
        self.stuck = asyncio.Event()
        self._takes = takes
        self.task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            await self.exchange.open()
            async for chunk, _ in self.exchange.events():
                self.got.append(chunk)
                if len(self.got) == self._takes:
                    self.stuck.set()
                    await asyncio.Event().wait()
        finally:
            await self.exchange.close()

    async def has(self, number: int) -> None:
        while len(self.got) < number:
            await asyncio.sleep(0)

    async def over(self) -> None:
        await asyncio.wait([self.task])


async def begun(made: Bench, source: Source, *, takes: int | None = None) -> Caller:
    """A caller that has got the first of a stream."""
    source.say(CHUNK)
    caller = Caller(made.begin(), takes=takes)
    await caller.has(1)
    return caller


@pytest.mark.parametrize("stuck", [False, True])
def test_what_comes_after_the_caller_left_is_charged_and_not_passed_on(tmp_path: Path, stuck: bool) -> None:
    async def story() -> None:
        source = Source()
        async with bench(tmp_path, source.open, drain_seconds=60) as made:
            caller = await begun(made, source, takes=1 if stuck else None)
            assert caller.exchange.leave(caller.task)
            if stuck:
                # It waits for the caller to take something: that is given up, the reply is not.
                await caller.stuck.wait()
                caller.task.cancel()
            source.say(CHUNK, STOP, USAGE, DONE)
            await caller.over()
            state, charged, receipt = made.end()
            assert (state, charged, receipt["ending"]) == ("settled", 7 + 9, "client_gone")
            assert receipt["usage"]["source"] == "provider"
            assert [chunk for chunk in caller.got if chunk not in (CHUNK, DONE)] == []
            assert caller.got.count(CHUNK) == 1
            assert source.closed

    asyncio.run(story())


@pytest.mark.parametrize("stuck", [False, True])
def test_a_reply_that_goes_on_for_too_long_is_charged_for_what_was_seen(tmp_path: Path, stuck: bool) -> None:
    async def story() -> None:
        source = Source()
        async with bench(tmp_path, source.open, drain_seconds=0.02) as made:
            caller = await begun(made, source, takes=1 if stuck else None)
            source.say(CHUNK)
            assert caller.exchange.leave(caller.task)
            if stuck:
                await caller.stuck.wait()
                caller.task.cancel()
            await caller.over()
            state, charged, receipt = made.end()
            assert (state, charged, receipt["ending"]) == ("settled", COUNTED_INPUT + 2, "client_gone")
            assert source.closed

    asyncio.run(story())


@pytest.mark.parametrize("stuck", [False, True])
def test_a_reply_is_not_read_on_when_nothing_more_of_it_can_be_charged(tmp_path: Path, stuck: bool) -> None:
    async def story() -> None:
        source = Source()
        async with bench(tmp_path, source.open, drain_seconds=600) as made:
            caller = await begun(made, source, takes=1 if stuck else None)
            assert caller.exchange.leave(caller.task)
            if stuck:
                await caller.stuck.wait()
                caller.task.cancel()
            # A hundred tokens are the most that this call may cost, however long they are.
            source.say(*[CHUNK] * 4000)
            await caller.over()
            state, charged, _ = made.end()
            assert (state, charged) == ("settled", COUNTED_INPUT + 100)
            assert source.said.qsize() == 4001 - 100 * 128 // 4

    asyncio.run(story())


def test_a_whole_answer_is_waited_for(tmp_path: Path) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def slow(call: Outbound) -> Reply:
            await gate.wait()
            return await good(call)

        async def serve(exchange: Exchange) -> None:
            try:
                await exchange.open()
                await exchange.body()
            finally:
                await exchange.close()

        async with bench(tmp_path, slow, drain_seconds=60) as made:
            exchange = made.begin(stream=False)
            task = asyncio.create_task(serve(exchange))
            while exchange.used() is None:
                await asyncio.sleep(0.001)
            assert exchange.leave(task)
            gate.set()
            await task
            state, charged, receipt = made.end()
            assert (state, charged, receipt["ending"]) == ("settled", 3 + 1, "client_gone")

    asyncio.run(story())


def test_nothing_is_read_on_where_there_is_nothing_to_find_out(tmp_path: Path) -> None:
    async def story() -> None:
        source = Source()
        async with bench(tmp_path, source.open, drain_seconds=0) as made:
            caller = await begun(made, source)
            assert not caller.exchange.leave(caller.task)
            caller.task.cancel()
            await caller.over()
            assert made.end()[1] == COUNTED_INPUT + 1
            before_its_hold = made.begin()
            assert not before_its_hold.leave(caller.task)
            await before_its_hold.close()

    asyncio.run(story())


def test_the_end_of_the_process_does_not_wait_for_it(tmp_path: Path) -> None:
    async def story() -> None:
        source = Source()
        async with bench(tmp_path, source.open, drain_seconds=600) as made:
            caller = await begun(made, source)
            assert caller.exchange.leave(caller.task)
            assert await made.flow.drain(5) == 0
            assert made.end()[:2] == ("settled", COUNTED_INPUT + 1)
            caller.task.cancel()
            await caller.over()

    asyncio.run(story())


# -- a database that refuses -----------------------------------------------------------------------------------------


def test_a_refused_end_is_tried_again_less_and_less_often(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, good, retry_seconds=0.25, jitter=lambda: 0.0) as made:
            closing = Closing(made.rooms, "req", made.vault._failed, lambda: None)
            assert [closing._wait() for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 5, 5]
            rooms = made.rooms
            early = Closing(dataclasses.replace(rooms, jitter=lambda: 1.0), "req", made.vault._failed, lambda: None)
            assert [early._wait() for _ in range(3)] == [0.125, 0.25, 0.5]
            for _ in range(2000):
                assert closing._wait() == 5

    asyncio.run(story())


def test_a_whole_answer_is_withheld_while_its_charge_cannot_be_written(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, good, settle_alarm=Alarm(0.01)) as made:
            made.vault.failures = 1_000_000
            exchange = made.begin(stream=False)
            await exchange.open()
            with pytest.raises(VaultUnavailable, match="withheld"):
                await exchange.body()
            await exchange.refused(503, "VaultUnavailable")
            assert made.rows("SELECT state FROM hold") == [("held",)]
            made.vault.failures = 0
            await exchange.close()
            assert made.end()[:2] == ("settled", 3 + 1)

    asyncio.run(story())
