"""Who asks again gets what the first call got, and one execution at a provider is charged once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from exchanges import CALLER, CHUNK, DONE, Bench, bench

from arbstr_core.api import Outbound, Reply
from arbstr_core.flow import Exchange, keep_forgetting
from arbstr_core.flow._retries import MOST_KEPT_BYTES, Retries
from arbstr_core.plugins import LoopClock
from arbstr_core.storage import Cipher
from arbstr_core.testing import FakeClock, a_call
from arbstr_core.types import (
    Caller,
    ChatCall,
    ConnectFailed,
    IdempotencyConflict,
    Overloaded,
    ShuttingDown,
    StillRunning,
    UpstreamFailed,
    VaultUnavailable,
)
from arbstr_core.vault import Claim, Claimed, Granted, HoldRequest, HoldState, Limits, NewAgent

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
CIPHER = Cipher(b"k" * 32)
BODY_KEY = CIPHER.derived("test")
BOB = Caller(agent="ag_b", name="b", realm="sim")
MINUTES = 60.0


class Source:
    """A provider whose replies differ, and wait for a gate that is open unless a test closes it."""

    def __init__(self) -> None:
        self.executions = 0
        self.closed = 0
        self.failing = False
        self.words = 1
        self.gate = asyncio.Event()
        self.gate.set()

    async def open(self, call: Outbound) -> Reply:
        self.executions += 1
        if self.failing:
            await self.gate.wait()
            raise ConnectFailed("down")
        if call.stream:
            return Reply.of_events(self._events(self.executions))
        await self.gate.wait()
        return Reply.of_json(self.whole(self.executions))

    def whole(self, number: int) -> bytes:
        message = {"content": f"answer {number}" + " word" * (self.words - 1)}
        usage = {"prompt_tokens": 3, "completion_tokens": 1}
        return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}).encode()

    def events(self, number: int) -> list[bytes]:
        said = [f"answer {number}", *[" word"] * self.words]
        return [CHUNK.replace(b"four", each.encode()) for each in said]

    async def _events(self, number: int) -> AsyncIterator[bytes]:
        try:
            first, *rest = self.events(number)
            yield first
            await self.gate.wait()
            for event in rest:
                yield event
            yield DONE
        finally:
            self.closed += 1

    def answer(self, stream: bool, number: int = 1) -> bytes:
        """What the caller of an execution gets."""
        return b"".join(self.events(number)) + DONE if stream else self.whole(number)


class Ahead(LoopClock):
    """A clock that jumps ahead when told to."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + int(self.ahead * 1000)


class Kit:
    """One provider, two agents, and requests that are served as the door serves them."""

    def __init__(self, made: Bench, source: Source, clock: Ahead) -> None:
        self.made = made
        self.source = source
        self.clock = clock
        self.asked = 0

    def begin(
        self,
        stream: bool,
        *,
        key: str | None = None,
        retry: bool = False,
        text: str = "hello",
        limit: int = 1000,
        caller: Caller = CALLER,
    ) -> Exchange:
        self.asked += 1
        call = a_call(text, stream=stream, output_limit=limit)
        more: dict[str, Any] = {"id": f"req_{self.asked}", "idempotency_key": key, "tries": int(retry)}
        return self.made.flow.begin(msgspec.structs.replace(call, **more), caller)

    async def ask(self, stream: bool, **more: Any) -> tuple[bytes, dict[str, str]]:
        return await serve(self.begin(stream, **more))

    def start(self, stream: bool, **more: Any) -> tuple[Exchange, asyncio.Task[tuple[bytes, dict[str, str]]]]:
        exchange = self.begin(stream, **more)
        return exchange, asyncio.create_task(serve(exchange))

    async def started(self, executions: int = 1) -> None:
        await until(lambda: self.source.executions == executions)

    @property
    def charges(self) -> int:
        ((count,),) = self.made.rows("SELECT count(*) FROM transfer WHERE kind = 'settle'")
        return int(count)


async def serve(exchange: Exchange) -> tuple[bytes, dict[str, str]]:
    try:
        found = await exchange.open()
        if found is not None:
            said = found.replayed()
            assert len(dict(said)) == len(said)
            return found.body, dict(said)
        if exchange.call.stream:
            body = b"".join([chunk async for chunk, _ in exchange.events()])
        else:
            body = await exchange.body()
        return body, dict(exchange.headers())
    finally:
        await exchange.close()


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not look():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def kit(folder: Path, **more: Any) -> AsyncIterator[Kit]:
    source, clock = Source(), Ahead()
    async with bench(folder, source.open, clock=clock, cipher=CIPHER, body_key=BODY_KEY, **more) as made:
        limits = Limits(max_charge_msat=10**9, daily_msat=10**9)
        token = hashlib.sha256(b"b").digest()
        bob = NewAgent(id="ag_b", name="b", realm="sim", token_hash=token, limits=limits, fund_msat=10**8, rail="sim")
        await made.vault.create_agent(bob)
        yield Kit(made, source, clock)


def told(folder: Path, story: Callable[[Kit], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with kit(folder, **more) as made:
            await story(made)

    asyncio.run(whole())


@BOTH
def test_the_same_key_again_gets_the_same_answer_for_nothing(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        body, said = await it.ask(stream, key="one")
        assert body == it.source.answer(stream)
        assert "x-arbstr-retry" not in said
        again, replayed = await it.ask(stream, key="one")
        assert again == body
        assert replayed.pop("x-arbstr-retry") == "replayed"
        assert replayed.pop("x-arbstr-original-request-id") == "req_1"
        ((cost,),) = it.made.rows("SELECT amount_msat FROM transfer WHERE kind = 'settle'")
        assert replayed == {**said, "x-arbstr-cost-msat": str(cost)}
        assert (it.source.executions, it.charges) == (1, 1)
        assert it.made.rows("SELECT count(*) FROM hold") == [(1,)]

    told(tmp_path, story)


@BOTH
def test_64_at_once_with_one_key_are_one_call(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        it.source.gate.clear()
        asked = [asyncio.create_task(it.ask(stream, key="one")) for _ in range(64)]
        await it.started()
        it.source.gate.set()
        answers = await asyncio.gather(*asked)
        assert {body for body, _ in answers} == {it.source.answer(stream)}
        assert sorted(said.get("x-arbstr-retry", "") for _, said in answers) == [""] + ["replayed"] * 63
        assert (it.source.executions, it.charges) == (1, 1)

    told(tmp_path, story)


def test_no_more_than_64_of_an_agent_wait(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        it.source.gate.clear()
        asked = [asyncio.create_task(it.ask(False, key="one")) for _ in range(66)]
        await until(lambda: any(task.done() for task in asked))
        (over,) = [task for task in asked if task.done()]
        assert isinstance(over.exception(), Overloaded)
        _, other = it.start(False, key="one", caller=BOB)
        await it.started(2)
        _, waits = it.start(False, key="one", caller=BOB)
        it.source.gate.set()
        await asyncio.gather(other, waits, *(task for task in asked if task is not over))
        assert (it.source.executions, it.charges) == (2, 2)
        # Nobody waits any more, so there is room again.
        assert (await it.ask(False, key="one"))[1]["x-arbstr-retry"] == "replayed"

    told(tmp_path, story)


def test_a_key_with_another_body_is_refused(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        await it.ask(False, key="one")
        with pytest.raises(IdempotencyConflict, match="use a new key"):
            await it.ask(False, key="one", text="something else")
        assert (it.source.executions, it.charges) == (1, 1)

    told(tmp_path, story)


@BOTH
def test_a_retry_of_what_was_answered_and_not_kept_is_charged_and_says_so(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        await it.ask(stream)
        body, said = await it.ask(stream, retry=True)
        assert body == it.source.answer(stream, 2)
        assert (said["x-arbstr-retry"], said["x-arbstr-original-request-id"]) == ("recharged", "req_1")
        assert (it.source.executions, it.charges) == (2, 2)
        _, third = await it.ask(stream, retry=True)
        assert third["x-arbstr-original-request-id"] == "req_2"

    told(tmp_path, story)


def test_asking_the_same_twice_on_purpose_is_two_calls(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        for _ in range(2):
            assert "x-arbstr-retry" not in (await it.ask(False))[1]
        assert (it.source.executions, it.charges) == (2, 2)

    told(tmp_path, story)


@BOTH
def test_what_was_drained_for_a_caller_that_left_is_there_when_it_asks_again(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        it.source.gate.clear()
        exchange, first = it.start(stream)
        await it.started()
        assert exchange.leave(first)
        it.source.gate.set()
        await first
        body, said = await it.ask(stream, retry=True)
        assert body == it.source.answer(stream)
        assert said["x-arbstr-retry"] == "replayed"
        assert (it.source.executions, it.charges) == (1, 1)

    told(tmp_path, story, drain_seconds=60)


def test_what_comes_after_all_that_can_be_charged_is_read_for_who_has_a_key(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        it.source.words = 2_000
        it.source.gate.clear()
        exchange, first = it.start(True, key="one", limit=10)
        await it.started()
        assert exchange.leave(first)
        it.source.gate.set()
        await first
        body, said = await it.ask(True, key="one", limit=10)
        assert (body, said["x-arbstr-retry"]) == (it.source.answer(True), "replayed")

    told(tmp_path, story, drain_seconds=60)


def test_a_caller_that_left_while_it_took_something_gets_all_of_it_again(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        exchange = it.begin(True)
        stuck = asyncio.Event()

        async def takes_one() -> None:
            try:
                await exchange.open()
                async for _ in exchange.events():
                    stuck.set()
                    await asyncio.Event().wait()
            finally:
                await exchange.close()

        first = asyncio.create_task(takes_one())
        await stuck.wait()
        assert exchange.leave(first)
        first.cancel()
        await asyncio.wait([first])
        body, said = await it.ask(True, retry=True)
        assert (body, said["x-arbstr-retry"]) == (it.source.answer(True), "replayed")
        assert (it.source.executions, it.charges) == (1, 1)

    told(tmp_path, story, drain_seconds=60)


@BOTH
def test_the_first_may_be_there_yet_when_it_is_asked_for_again(tmp_path: Path, stream: bool) -> None:
    """Where the network lost it, and nobody has noticed."""

    async def story(it: Kit) -> None:
        it.source.gate.clear()
        exchange, first = it.start(stream)
        await it.started()
        _, again = it.start(stream, retry=True)
        await until(lambda: exchange._again is not None and exchange._again.waiting == 1)
        it.source.gate.set()
        assert (await first)[0] == (await again)[0] == it.source.answer(stream)
        assert (await again)[1]["x-arbstr-retry"] == "replayed"
        assert (it.source.executions, it.charges) == (1, 1)

    told(tmp_path, story)


@BOTH
def test_a_call_that_was_left_goes_on_for_who_comes_in_time(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        it.source.gate.clear()
        exchange, first = it.start(stream)
        await it.started()
        assert exchange.leave(first)
        _, again = it.start(stream, retry=True)
        await until(lambda: exchange._again is not None and exchange._again.waiting == 1)
        await asyncio.wait([first, again], timeout=2.3)
        assert not first.done()
        it.source.gate.set()
        body, said = await again
        assert (body, said["x-arbstr-retry"]) == (it.source.answer(stream), "replayed")
        assert (it.source.executions, it.charges) == (1, 1)

    told(tmp_path, story, drain_seconds=2)


@BOTH
def test_a_call_that_somebody_waits_for_goes_on_beyond_the_time_for_draining(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        it.source.gate.clear()
        exchange, first = it.start(stream)
        await it.started()
        _, again = it.start(stream, retry=True)
        await until(lambda: exchange._again is not None and exchange._again.waiting == 1)
        assert exchange.leave(first)
        await asyncio.wait([first, again], timeout=0.1)
        assert not first.done()
        it.source.gate.set()
        body, said = await again
        assert (body, said["x-arbstr-retry"]) == (it.source.answer(stream), "replayed")
        assert (it.source.executions, it.charges) == (1, 1)

    told(tmp_path, story, drain_seconds=0.02)


@BOTH
def test_who_waits_and_goes_away_cancels_nothing(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        it.source.gate.clear()
        exchange, first = it.start(stream)
        await it.started()
        waiter, again = it.start(stream, retry=True)
        await until(lambda: exchange._again is not None and exchange._again.waiting == 1)
        assert not waiter.leave(again)
        again.cancel()
        await asyncio.wait([again])
        it.source.gate.set()
        assert (await first)[0] == it.source.answer(stream)
        assert (it.source.executions, it.charges) == (1, 1)

    told(tmp_path, story)


@BOTH
def test_once_nobody_waits_a_call_that_was_left_ends_in_time(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        it.source.gate.clear()
        exchange, first = it.start(stream)
        await it.started()
        assert exchange.leave(first)
        _, again = it.start(stream, retry=True)
        await until(lambda: exchange._again is not None and exchange._again.waiting == 1)
        again.cancel()
        # Sooner than its provider would be given up.
        await asyncio.wait([first, again], timeout=30)
        assert first.done()
        assert it.charges == int(stream)

    told(tmp_path, story, drain_seconds=2)


@BOTH
def test_when_the_first_fails_one_of_those_that_wait_takes_its_place(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        it.source.gate.clear()
        it.source.failing = True
        asked = [asyncio.create_task(it.ask(stream, key="one")) for _ in range(8)]
        await it.started()
        await until(lambda: it.made.flow._retries._waiting["ag_a"] == 7)
        it.source.failing = False
        it.source.gate.set()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        (failed,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert isinstance(failed, UpstreamFailed)
        answers = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert {body for body, _ in answers} == {it.source.answer(stream, 2)}
        assert sorted(said.get("x-arbstr-retry", "") for _, said in answers) == [""] + ["replayed"] * 6
        assert (it.source.executions, it.charges) == (2, 1)

    told(tmp_path, story)


def test_of_many_that_find_no_answer_kept_one_is_charged_again(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        it.source.words = MOST_KEPT_BYTES // 5 + 1
        body, _ = await it.ask(False, key="one")
        assert len(body) > MOST_KEPT_BYTES
        it.source.words = 1
        answers = await asyncio.gather(*(it.ask(False, key="one") for _ in range(8)))
        assert {body for body, _ in answers} == {it.source.answer(False, 2)}
        assert sorted(said["x-arbstr-retry"] for _, said in answers) == ["recharged"] + ["replayed"] * 7
        originals = {said["x-arbstr-retry"]: said["x-arbstr-original-request-id"] for _, said in answers}
        assert originals["recharged"] == "req_1"
        assert originals["replayed"] != "req_1"
        assert (it.source.executions, it.charges) == (2, 2)
        with pytest.raises(IdempotencyConflict):
            await it.ask(False, key="one", text="something else")

    told(tmp_path, story)


@BOTH
def test_an_answer_of_almost_a_megabyte_is_kept(tmp_path: Path, stream: bool) -> None:
    async def story(it: Kit) -> None:
        it.source.words = MOST_KEPT_BYTES // 60 if stream else MOST_KEPT_BYTES // 6
        body, _ = await it.ask(stream, key="one")
        assert MOST_KEPT_BYTES * 0.7 < len(body) <= MOST_KEPT_BYTES
        assert (await it.ask(stream, key="one"))[0] == body

    told(tmp_path, story)


def test_after_ten_minutes_it_is_a_new_call(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        await it.ask(False, key="one")
        it.clock.ahead += 10 * MINUTES - 5
        assert (await it.ask(False, key="one"))[1]["x-arbstr-retry"] == "replayed"
        it.clock.ahead += 5
        assert "x-arbstr-retry" not in (await it.ask(False, key="one", text="something else"))[1]
        assert (it.source.executions, it.charges) == (2, 2)

    told(tmp_path, story)


def test_t11_nobody_reads_an_answer_of_another_agent(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        await it.ask(False, key="one")
        body, said = await it.ask(False, key="one", retry=True, caller=BOB)
        assert body == it.source.answer(False, 2)
        assert "x-arbstr-retry" not in said
        ((hold,),) = it.made.rows("SELECT agent_id FROM hold WHERE id = 'req_2'")
        assert hold == "ag_b"

    told(tmp_path, story)


def test_t11_an_answer_put_in_the_place_of_another_is_not_shown(tmp_path: Path) -> None:
    """And what is kept says nothing to whoever reads the database."""

    async def story(it: Kit) -> None:
        await it.ask(False, key="one")
        await it.ask(False, key="one", caller=BOB)
        ((sealed,), _) = it.made.rows("SELECT sealed FROM replay ORDER BY hold_seq")
        assert b"answer" not in sealed
        with closing(sqlite3.connect(it.made.folder / "arbstr.db")) as connection:
            connection.execute("UPDATE replay SET sealed = ?", (sealed,))
            connection.commit()
        assert (await it.ask(False, key="one"))[0] == it.source.answer(False)
        with pytest.raises(VaultUnavailable):
            await it.ask(False, key="one", caller=BOB)
        assert it.source.executions == 2

    told(tmp_path, story)


def claimed(call: ChatCall, retries: Retries) -> tuple[HoldRequest, Claim]:
    """A hold of another process for `call`."""
    claim = retries.claim(call)
    ceilings = {"ceilings": (100,), "candidates": b"[]", "model": "m"}
    return HoldRequest(id="req_other", agent="ag_a", claim=claim, **ceilings), claim  # type: ignore[arg-type]


def test_what_runs_in_another_process_is_looked_after_until_it_ends(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        clock = FakeClock()
        retries = Retries(it.made.vault, CIPHER, clock, BODY_KEY, lambda _: None, wait_seconds=60)
        request, _ = claimed(a_call(), retries)
        assert isinstance(await it.made.vault.hold(request), Granted)
        first = Claimed(id="req_other", state=HoldState.HELD)
        with pytest.raises(StillRunning, match="req_other"):
            await retries.ended(first, "ag_a")
        assert clock.monotonic() >= 60
        waits = asyncio.create_task(retries.ended(first, "ag_a"))
        await it.made.vault.release("req_other", b"{}")
        assert await waits is HoldState.RELEASED
        assert await retries.ended(first, "ag_a") is HoldState.RELEASED

    told(tmp_path, story)


def test_nobody_waits_for_another_process_while_this_one_stops(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        retries = Retries(it.made.vault, CIPHER, FakeClock(), BODY_KEY, lambda _: None)
        request, _ = claimed(a_call(), retries)
        await it.made.vault.hold(request)
        retries.stop()
        with pytest.raises(ShuttingDown):
            await retries.ended(Claimed(id="req_other", state=HoldState.HELD), "ag_a")
        await it.made.vault.release("req_other", b"{}")

    told(tmp_path, story)


def test_old_answers_are_dropped_once_a_minute(tmp_path: Path) -> None:
    async def story(it: Kit) -> None:
        await it.ask(False, key="one")
        it.clock.ahead += 21 * MINUTES
        forgetting = asyncio.create_task(keep_forgetting(it.made.vault, FakeClock()))
        await until(lambda: it.made.rows("SELECT count(*) FROM replay") == [(0,)])
        await until(lambda: it.made.rows("SELECT count(*) FROM claim") == [(0,)])
        forgetting.cancel()
        await asyncio.wait([forgetting])

    told(tmp_path, story)


@pytest.mark.parametrize("seed", range(6))
def test_each_execution_is_charged_once_whoever_asks_leaves_and_asks_again(tmp_path: Path, seed: int) -> None:
    """Requests at random: with a few keys or none, retries or not, some of which leave. Whoever stays is served, each
    key is executed once, and each execution that was seen is charged once."""

    async def story(it: Kit) -> None:
        chance = random.Random(seed)
        told_keys: dict[str, set[bytes]] = {}

        async def one(number: int) -> None:
            key = chance.choice([None, None, "a", "b"])
            stream, leaves, turns = chance.random() < 0.5, chance.random() < 0.4, chance.randrange(40)
            text = f"{key} {stream} {chance.randrange(2)}" if key is None else f"{key}"
            key = None if key is None else f"{key} {stream}"
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            exchange, task = it.start(stream, key=key, retry=chance.random() < 0.6, text=text)
            if leaves:
                for _ in range(turns):
                    await asyncio.sleep(0)
                if not task.done() and not exchange.leave(task):
                    task.cancel()
                await asyncio.wait([task])
            else:
                body, _ = await task
                assert body in {it.source.answer(stream, number + 1) for number in range(it.source.executions)}
                if key is not None:
                    told_keys.setdefault(key, set()).add(body)

        await asyncio.gather(*(one(number) for number in range(60)))
        assert all(len(bodies) == 1 for bodies in told_keys.values())
        charged = it.made.rows("SELECT hold_seq, count(*) FROM transfer WHERE kind = 'settle' GROUP BY hold_seq")
        assert {count for _, count in charged} == {1}
        ended = dict(it.made.rows("SELECT state, count(*) FROM hold GROUP BY state"))
        assert ended["settled"] + ended.get("released", 0) >= it.source.executions >= ended["settled"]
        assert ended["settled"] == it.charges

    told(tmp_path, story, drain_seconds=60)
