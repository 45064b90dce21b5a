"""What a serving process says of its calls, and when it may not serve any more. Clocks are told; nobody sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from exchanges import CHUNK, DONE, Bench, Faulty, bench, good

from arbstr_core.api import Outbound, Reply
from arbstr_core.flow import CallFlow, Heartbeat, Lease
from arbstr_core.journal import Journal
from arbstr_core.storage import Database
from arbstr_core.types import VaultUnavailable
from arbstr_core.vault import schema

INPUT = -(-len(b'[{"role":"user","content":"Say hello"}]') // 4)
"""what the input of a call costs as arbstr counts it, at 1 msat a token; and so does each CHUNK"""
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9}}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DAY = 86_400.0
CLOCK = """CREATE TABLE told_time (ms bigint NOT NULL);
INSERT INTO told_time VALUES (0);
CREATE OR REPLACE FUNCTION arbstr_now() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT ms FROM told_time'"""


class Told:
    """Time that moves when told to; who sleeps in it is noted, and goes on at once, `turns` times."""

    def __init__(self) -> None:
        self.seconds = 1_750_000_000.0
        self.waits: list[float] = []
        self.turns = 0

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) > self.turns:
            await asyncio.Event().wait()
        self.seconds += seconds


class Source:
    """A provider's stream that says what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[bytes] = asyncio.Queue()
        self.opened = 0

    async def open(self, call: Outbound) -> Reply:
        self.opened += 1
        return Reply.of_events(self._events())

    async def _events(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.said.get()


async def streaming(made: Bench, source: Source, id: str = "req_1") -> AsyncIterator[tuple[bytes, bool]]:
    """A call whose first chunk was passed on; what comes after it."""
    exchange = made.begin(id=id)
    source.said.put_nowait(CHUNK)
    await exchange.open()
    events = exchange.events()
    assert await anext(events) == (CHUNK, False)
    return events


async def rest(events: AsyncIterator[tuple[bytes, bool]]) -> bytes:
    return b"".join([chunk async for chunk, _ in events])


def seen(made: Bench) -> list[tuple[str, int, bool]]:
    return made.rows("SELECT state, seen_msat, seen_ms IS NOT NULL FROM hold ORDER BY seq")


def test_a_hold_says_at_once_what_its_input_costs(tmp_path: Path) -> None:
    async def story() -> None:
        source = Source()
        async with bench(tmp_path, source.open) as made:
            await streaming(made, source)
            ((amount, least, dispatched),) = made.rows("SELECT amount_msat, seen_msat, dispatched_ms FROM hold")
            assert least == INPUT <= amount
            assert dispatched is not None

    asyncio.run(story())


def test_calls_that_last_are_named_with_what_they_used(tmp_path: Path) -> None:
    async def story() -> None:
        source, clock = Source(), Told()
        async with bench(tmp_path, source.open, clock=clock) as made:
            beats = Heartbeat(made.flow, made.vault, clock, seconds=10)
            events = await streaming(made, source)
            clock.seconds += 4
            await beats.beat()
            assert seen(made) == [("held", INPUT, False)]
            clock.seconds += 2
            await beats.beat()
            assert seen(made) == [("held", INPUT + 1, True)]
            for _ in range(3):
                source.said.put_nowait(CHUNK)
                await anext(events)
            await beats.beat()
            assert seen(made) == [("held", INPUT + 4, True)]
            source.said.put_nowait(STOP)
            source.said.put_nowait(USAGE)
            source.said.put_nowait(DONE)
            await rest(events)
            await beats.beat()
            assert made.end()[:2] == ("settled", 7 + 9)

    asyncio.run(story())


def test_a_call_that_waits_for_its_first_byte_is_named(tmp_path: Path) -> None:
    async def story() -> None:
        gate, clock = asyncio.Event(), Told()

        async def slow(call: Outbound) -> Reply:
            await gate.wait()
            return await good(call)

        async with bench(tmp_path, slow, clock=clock) as made:
            beats = Heartbeat(made.flow, made.vault, clock, seconds=10)
            exchange = made.begin(stream=False)
            opening = asyncio.create_task(exchange.open())
            while exchange.used() is None:
                await asyncio.sleep(0.001)
            for _ in range(20):
                clock.seconds += 59
                await beats.beat()
            assert seen(made) == [("held", INPUT, True)]
            gate.set()
            await opening
            await exchange.body()
            assert made.end()[:2] == ("settled", 4)

    asyncio.run(story())


def test_t14_a_stream_outlives_every_time_out_and_is_charged_exactly(tmp_path: Path) -> None:
    """T14: no sweep takes a live stream for a stale one, whatever the clock does."""

    async def story() -> None:
        source, clock = Source(), Told()
        async with bench(tmp_path, source.open, clock=clock) as made:
            beats = Heartbeat(made.flow, made.vault, clock, seconds=10)
            assert await beats.begin() == 0
            events = await streaming(made, source)
            for jump in (0, 59, 61, 600, 3_600, DAY, -DAY, 30 * DAY, 1):
                clock.seconds += jump
                await beats.beat()
                assert await made.vault.sweep_orphans() == 0
                source.said.put_nowait(CHUNK)
                assert await anext(events) == (CHUNK, False)
            source.said.put_nowait(STOP)
            source.said.put_nowait(DONE)
            assert (await rest(events)).endswith(DONE)
            assert made.end()[:2] == ("settled", INPUT + 10)

    asyncio.run(story())


def test_a_hold_that_its_exchange_could_not_end_is_ended_by_the_heartbeat(tmp_path: Path) -> None:
    async def story() -> None:
        source, clock = Source(), Told()
        async with bench(tmp_path, source.open, clock=clock) as made:
            beats = Heartbeat(made.flow, made.vault, clock, seconds=10)
            events = await streaming(made, source)
            clock.seconds += 10
            await beats.beat()
            made.vault.breaks = True
            source.said.put_nowait(DONE)
            with pytest.raises(ValueError, match="nobody understands"):
                await rest(events)
            made.vault.breaks = False
            for _ in range(5):
                clock.seconds += 11
                await beats.beat()
                assert seen(made)[0][0] == "held"
            clock.seconds += 11
            await beats.beat()
            state, charged, receipt = made.end()
            assert (state, charged, receipt["ending"]) == ("settled", INPUT + 1, "orphaned")

    asyncio.run(story())


def test_it_beats_on_and_sooner_after_a_failure(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Told()
        async with bench(tmp_path, good, clock=clock) as made:
            beats = Heartbeat(made.flow, made.vault, clock, seconds=10)
            clock.turns = 2
            task = asyncio.create_task(beats.run())
            await _until(lambda: len(clock.waits) == 3)
            made.vault.beats_fail = True
            task.cancel()
            clock.turns += 4
            task = asyncio.create_task(beats.run())
            await _until(lambda: len(clock.waits) == 7)
            task.cancel()
            assert clock.waits == [10, 10, 10, 10, 1, 1, 1]

    asyncio.run(story())


# -- the lease -------------------------------------------------------------------------------------------------------


def test_nothing_is_served_without_a_lease(tmp_path: Path) -> None:
    async def story() -> None:
        source, clock = Source(), Told()
        lease = Lease(clock, seconds=30)
        async with bench(tmp_path, source.open, clock=clock, lease=lease) as made:
            beats = Heartbeat(made.flow, made.vault, clock, seconds=10, lease=lease)
            with pytest.raises(VaultUnavailable):
                made.begin()
            await beats.beat()
            running = await streaming(made, source)
            clock.seconds += 29
            await (await streaming(made, source, "req_2")).aclose()
            made.flow.require_serving()
            clock.seconds += 1
            with pytest.raises(VaultUnavailable):
                made.flow.require_serving()
            with pytest.raises(VaultUnavailable):
                made.begin()
            # Even a renewal does not bring back what began before: its hold may be gone.
            await beats.beat()
            source.said.put_nowait(CHUNK)
            assert b'"code":"vault_unavailable"' in await rest(running)
            await (await streaming(made, source, "req_3")).aclose()

    asyncio.run(story())


def test_a_lease_that_ran_out_while_the_hold_was_made_sends_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        source, clock = Source(), Told()
        lease = Lease(clock, seconds=30)
        async with bench(tmp_path, source.open, clock=clock, lease=lease) as made:
            await Heartbeat(made.flow, made.vault, clock, seconds=10, lease=lease).beat()
            made.vault.gate = asyncio.Event()
            exchange = made.begin()
            opening = asyncio.create_task(exchange.open())
            await asyncio.sleep(0)
            clock.seconds += 30
            made.vault.gate.set()
            with pytest.raises(VaultUnavailable):
                await opening
            await exchange.close()
            assert source.opened == 0
            assert made.end()[:2] == ("released", 0)

    asyncio.run(story())


def test_a_lease_counts_from_when_it_was_asked_for() -> None:
    clock = Told()
    lease = Lease(clock, seconds=30)
    assert not lease.serves(lease.term)
    asked_at = clock.seconds
    clock.seconds += 20
    lease.renewed(asked_at, lapsed=False)
    term = lease.term
    clock.seconds += 9.9
    assert lease.serves(term)
    clock.seconds += 0.1
    assert not lease.serves(term)
    lease.renewed(clock.seconds, lapsed=False)
    assert not lease.serves(term)
    assert lease.serves(lease.term)
    # The database says that it had run out, whatever this clock says: a machine that was suspended.
    term = lease.term
    lease.renewed(clock.seconds, lapsed=True)
    assert not lease.serves(term)


def test_two_processes_share_a_database_and_one_is_cut_off(tmp_path: Path, postgres_url: str) -> None:
    """The first cannot reach it any more and stops; the second ends its holds; what it knows later corrects that."""

    async def story() -> None:
        source, clock = Source(), Told()
        lease = Lease(clock, seconds=30)
        first = tmp_path / "first"
        first.mkdir()
        async with bench(first, source.open, clock=clock, url=postgres_url, lease=lease) as made:
            with psycopg.connect(postgres_url, autocommit=True) as told:
                told.execute(CLOCK)

                def later(seconds: float) -> None:
                    clock.seconds += seconds
                    told.execute("UPDATE told_time SET ms = %s", (clock.now_ms(),))

                later(0)
                beats = Heartbeat(made.flow, made.vault, clock, seconds=10, lease=lease)
                await beats.begin()
                second = Database.open(postgres_url, data_dir=tmp_path, clock=clock, schemas=[schema()])
                other = Faulty(second, boot_id="other")
                others = CallFlow(made.rooms, None, Journal(None, clock))
                events = await streaming(made, source)
                later(10)
                await beats.beat()
                made.vault.beats_fail = True
                later(20)
                source.said.put_nowait(CHUNK)
                assert await anext(events) == (CHUNK, False)
                later(10)
                source.said.put_nowait(CHUNK)
                assert await other.sweep_orphans() == 0
                made.vault.failures = 10**9
                cut = asyncio.create_task(rest(events))
                await _until(lambda: made.vault.tried > 1)
                later(30.001)
                # It takes the job: nobody has it.
                clock.turns = len(clock.waits) + 1
                beating = asyncio.create_task(Heartbeat(others, other, clock, seconds=0.001).sweep())
                await _until(lambda: len(clock.waits) > clock.turns)
                beating.cancel()
                assert made.rows("SELECT boot_id FROM job WHERE name = 'sweeper'") == [("other",)]
                # Seen by the last heartbeat: the input and one chunk. In truth there were three of them.
                assert made.end()[:2] == ("settled", INPUT + 1)
                made.vault.failures = 0
                assert b'"code":"vault_unavailable"' in await cut
                assert await made.flow.drain(5) == 0
                assert made.rows("SELECT kind, amount_msat FROM transfer WHERE refers_to IS NOT NULL") == [
                    ("correction", 2)
                ]
                assert 10**8 - (await other.agent("a")).posted_msat == INPUT + 3
                await second.close()

    asyncio.run(story())


async def _until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)
