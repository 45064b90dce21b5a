"""One call, one end: settled or released once, whatever the plugin, the caller or the database does meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arbstr_core.api import Offer, Outbound, Provider, Reply, Strategy
from arbstr_core.dispatch import Dispatch
from arbstr_core.flow import CallFlow, CallRooms, Exchange
from arbstr_core.journal import Journal
from arbstr_core.market import Market, Pricing
from arbstr_core.plugins import LoopClock
from arbstr_core.routing import Router
from arbstr_core.storage import Database
from arbstr_core.testing import a_call, an_offer
from arbstr_core.types import (
    Caller,
    CallFacts,
    ChatCall,
    ConnectFailed,
    Msat,
    MsatPrice,
    Quote,
    ShuttingDown,
    Standing,
    StorageError,
    UpstreamFailed,
    Usage,
    VaultUnavailable,
)
from arbstr_core.vault import Closed, Granted, HoldRequest, Limits, NewAgent, Refused, Settlement, Vault, schema

PRICE = MsatPrice(input=1_000_000, cached_input=1_000_000, output=1_000_000)
CALLER = Caller(agent="ag_a", name="a", realm="sim")
CHUNK = b'data: {"choices":[{"delta":{"content":"four"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = (
    b'{"choices":[{"message":{"content":"four"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":1}}'
)


class Cheapest(Strategy):
    name = "cheapest"

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        return (quote.cost_msat,)


class Plugin(Provider):
    name = "acme"

    def __init__(self, does: Callable[[Outbound], Awaitable[Reply]]) -> None:
        self._does = does

    async def offers(self) -> Sequence[Offer]:
        return [an_offer(price=PRICE)]

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        return await self._does(call)


class Faulty(Vault):
    """A vault whose ends fail as often as it is told to, and whose holds wait for a gate."""

    failures = 0
    hold_fails = False
    tried = 0
    gate: asyncio.Event | None = None

    def settle(self, settlement: Settlement) -> asyncio.Future[Closed]:
        return self._fails() or super().settle(settlement)

    def release(self, hold_id: str, receipt: bytes) -> asyncio.Future[Closed]:
        return self._fails() or super().release(hold_id, receipt)

    def hold(self, request: HoldRequest) -> asyncio.Future[Granted | Refused]:
        if self.hold_fails:
            return self._failed()
        if self.gate is None:
            return super().hold(request)
        return asyncio.ensure_future(self._waits(self.gate, request))

    async def _waits(self, gate: asyncio.Event, request: HoldRequest) -> Granted | Refused:
        await gate.wait()
        return await super().hold(request)

    def _fails(self) -> asyncio.Future[Closed] | None:
        self.tried += 1
        return self._failed() if self.tried <= self.failures else None

    def _failed(self) -> asyncio.Future[Any]:
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        failed.set_exception(StorageError("arbstr.db: the disk is full"))
        return failed


@dataclass
class Bench:
    flow: CallFlow
    vault: Faulty
    folder: Path

    def begin(self, *, stream: bool = True, **fields: Any) -> Exchange:
        return self.flow.begin(a_call(stream=stream, output_limit=100, **fields), CALLER)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "arbstr.db")) as connection:
            return connection.execute(query).fetchall()

    def end(self) -> tuple[str, int, dict[str, Any]]:
        """How the one call ended: state, charge, receipt."""
        ((state, charged, body),) = self.rows(
            "SELECT h.state, t.amount_msat, r.body FROM hold h JOIN transfer t ON t.hold_seq = h.seq "
            "JOIN receipt r ON r.hold_seq = h.seq"
        )
        return state, charged, json.loads(body)


@asynccontextmanager
async def bench(folder: Path, does: Callable[[Outbound], Awaitable[Reply]]) -> AsyncIterator[Bench]:
    clock = LoopClock()
    database = Database.open("sqlite:///arbstr.db", data_dir=folder, clock=clock, schemas=[schema()])
    try:
        vault = Faulty(database, boot_id="boot")
        limits = Limits(max_charge_msat=10**9, daily_msat=10**9)
        await vault.create_agent(
            NewAgent(
                id="ag_a",
                name="a",
                realm="sim",
                token_hash=hashlib.sha256(b"a").digest(),
                limits=limits,
                fund_msat=10**8,
                rail="sim",
            )
        )
        plugin = Plugin(does)
        pricing = Pricing(margin_ppm=0, fx=None)
        market = Market([plugin], lambda: pricing, clock, refresh_seconds=60, stale_seconds=900)
        await market.refresh()
        rooms = CallRooms(
            market=market,
            router=Router([], {"cheapest": Cheapest()}, strategy="cheapest", output_tokens=100, keep=3),
            dispatch=Dispatch({"acme": plugin}, clock, first_byte_seconds=5, idle_seconds=5),
            vault=vault,
            clock=clock,
            retry_seconds=0.01,
        )
        made = Bench(CallFlow(rooms, None, Journal(None, clock)), vault, folder)
        yield made
        assert await made.flow.drain(5) == 0
        verified = await vault.verify()
        assert (verified.ok, verified.open_holds, verified.sum_msat) == (True, 0, 0)
    finally:
        await database.close()


async def chunks(*parts: bytes | BaseException) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, BaseException):
            raise part
        yield part


async def good(call: Outbound) -> Reply:
    return Reply.of_events(chunks(CHUNK, CHUNK, DONE)) if call.stream else Reply.of_json(WHOLE)


async def everything(exchange: Exchange) -> bytes:
    return b"".join([chunk async for chunk, _ in exchange.events()])


@pytest.mark.parametrize("stream", [False, True])
def test_closing_again_and_from_many_places_ends_it_once(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        async with bench(tmp_path, good) as made:
            exchange = made.begin(stream=stream)
            await exchange.open()
            await (everything(exchange) if stream else exchange.body())
            await asyncio.gather(*(exchange.close() for _ in range(5)), exchange.finish())
            await exchange.close()
            assert made.vault.tried == 1
            state, charged, receipt = made.end()
            assert (state, receipt["ending"]) == ("settled", "complete")
            assert charged > 0

    asyncio.run(story())


@pytest.mark.parametrize(
    "facts",
    [
        KeyError("facts"),
        CallFacts(usage=Usage(input_tokens=-5, output_tokens=-5)),
        CallFacts(usage=Usage(input_tokens=10**30, cached_input_tokens=10**31, output_tokens=10**30)),
        CallFacts(cost_msat=Msat(-(10**30))),
        CallFacts(cost_msat=Msat(10**30)),
    ],
)
def test_facts_of_a_broken_plugin(tmp_path: Path, facts: CallFacts | Exception) -> None:
    class Odd(Reply):
        def facts(self) -> CallFacts:
            if isinstance(facts, Exception):
                raise facts
            return facts

        async def aclose(self) -> None:
            raise KeyError("close")

    async def does(call: Outbound) -> Reply:
        return Odd(200, {"content-type": "text/event-stream"}, chunks(CHUNK, CHUNK, DONE))

    async def story() -> None:
        async with bench(tmp_path, does) as made:
            exchange = made.begin()
            await exchange.open()
            assert (await everything(exchange)).endswith(DONE)
            await exchange.close()
            state, charged, _ = made.end()
            assert state == "settled"
            assert 0 <= charged <= 10**6
            if isinstance(facts, Exception):
                assert charged == 2 + -(-len(b'[{"role":"user","content":"Say hello"}]') // 4)

    asyncio.run(story())


@pytest.mark.parametrize("fails", [False, True])
def test_a_database_that_fails_for_a_while_gets_the_end_all_the_same(tmp_path: Path, fails: bool) -> None:
    async def refuses(call: Outbound) -> Reply:
        raise ConnectFailed("down")

    async def story() -> None:
        async with bench(tmp_path, refuses if fails else good) as made:
            made.vault.failures = 3
            exchange = made.begin(stream=False)
            if fails:
                with pytest.raises(UpstreamFailed):
                    await exchange.open()
            else:
                await exchange.open()
                await exchange.body()
            await exchange.close()
            assert made.vault.tried == 4
            assert made.end()[0] == ("released" if fails else "settled")

    asyncio.run(story())


def test_a_hold_that_fails_sends_nothing(tmp_path: Path) -> None:
    asked = []

    async def does(call: Outbound) -> Reply:
        asked.append(call)
        return await good(call)

    async def story() -> None:
        async with bench(tmp_path, does) as made:
            made.vault.hold_fails = True
            exchange = made.begin()
            with pytest.raises(VaultUnavailable) as refused:
                await exchange.open()
            assert "disk" not in str(refused.value)
            await exchange.close()
            assert asked == []
            assert made.rows("SELECT * FROM hold") == []

    asyncio.run(story())


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_at_any_moment(tmp_path: Path, turns: int, stream: bool) -> None:
    """A caller that leaves after so many turns of the loop; its end comes all the same, and once."""

    async def slow() -> AsyncIterator[bytes]:
        for part in (CHUNK, CHUNK, CHUNK, DONE):
            await asyncio.sleep(0)
            yield part

    async def does(call: Outbound) -> Reply:
        await asyncio.sleep(0)
        return Reply.of_events(slow()) if call.stream else await good(call)

    async def serve(exchange: Exchange) -> None:
        try:
            await exchange.open()
            await (everything(exchange) if stream else exchange.body())
        finally:
            await exchange.close()

    async def story() -> None:
        async with bench(tmp_path, does) as made:
            if turns % 3 == 2:
                made.vault.gate = asyncio.Event()
            exchange = made.begin(stream=stream)
            task = asyncio.create_task(serve(exchange))
            for _ in range(turns):
                await asyncio.sleep(0)
            if turns % 2 and not made.vault.gate:
                await asyncio.sleep(0.002 * turns)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            if made.vault.gate:
                made.vault.gate.set()
            await asyncio.gather(task, return_exceptions=True)
            if turns:
                await exchange.finish()
                assert made.rows("SELECT count(*) FROM hold WHERE state = 'held'") == [(0,)]
            assert made.rows("SELECT count(*) FROM transfer WHERE hold_seq IS NOT NULL")[0][0] <= 1

    asyncio.run(story())


def test_draining_ends_what_is_open_and_begins_no_more(tmp_path: Path) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield CHUNK
        await asyncio.Event().wait()

    async def does(call: Outbound) -> Reply:
        return Reply.of_events(silent())

    async def story() -> None:
        async with bench(tmp_path, does) as made:
            exchange = made.begin()
            await exchange.open()
            events = exchange.events()
            assert await anext(events) == (CHUNK, False)
            assert await made.flow.drain(5) == 0
            state, charged, receipt = made.end()
            assert (state, receipt["ending"]) == ("settled", "client_gone")
            assert charged > 0
            with pytest.raises(ShuttingDown):
                made.begin()
            await exchange.close()
            await events.aclose()

    asyncio.run(story())


def test_the_headers_of_a_reply(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, good) as made:
            exchange = made.begin(stream=False)
            await exchange.open()
            assert "x-arbstr-cost-msat" not in dict(exchange.headers())
            await exchange.body()
            said = dict(exchange.headers())
            assert said["x-arbstr-provider"] == "acme"
            assert said["x-arbstr-cost-msat"] == "4"
            assert int(said["x-arbstr-reserved-msat"]) >= 4
            await exchange.close()

    asyncio.run(story())
