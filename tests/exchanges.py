"""A call's way through real rooms; its provider does what a test says, and its vault fails on demand."""

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

import msgspec
import psycopg
from selling import market

from arbstr_core.api import Clock, Offer, Outbound, Provider, Reply, Strategy
from arbstr_core.dispatch import BreakerRules, Dispatch, DispatchRules
from arbstr_core.flow import CallFlow, CallRooms, Exchange
from arbstr_core.journal import Journal
from arbstr_core.plugins import LoopClock
from arbstr_core.routing import Router
from arbstr_core.storage import Database
from arbstr_core.testing import a_call, an_offer
from arbstr_core.types import Caller, ChatCall, MsatPrice, Quote, Standing, StorageError
from arbstr_core.vault import (
    Beat,
    Closed,
    Granted,
    HoldRequest,
    Limits,
    LiveHolds,
    NewAgent,
    Refused,
    Settlement,
    Vault,
    schema,
)

PRICE = MsatPrice(input=1_000_000, cached_input=1_000_000, output=1_000_000)
CALLER = Caller(agent="ag_a", name="a", realm="sim")
CHUNK = b'data: {"choices":[{"delta":{"content":"four"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = (
    b'{"choices":[{"message":{"content":"four"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":1}}'
)


_NEVER = BreakerRules(failures=10**9, share=1.0, calls=10**9, most_open_seconds=0)
_PATIENT = DispatchRules(first_byte_seconds=60, idle_seconds=60, breaker=_NEVER)
"""One provider is made to fail again and again here, and asked all the same."""


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
    beats_fail = False
    breaks = False
    """its ends raise what no database raises"""
    tried = 0
    gate: asyncio.Event | None = None

    def settle(self, settlement: Settlement) -> asyncio.Future[Closed]:
        return self._fails() or super().settle(settlement)

    def release(self, hold_id: str, receipt: bytes) -> asyncio.Future[Closed]:
        return self._fails() or super().release(hold_id, receipt)

    async def heartbeat(self, live: LiveHolds) -> Beat:
        return await (self._failed() if self.beats_fail else super().heartbeat(live))

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
        if self.breaks:
            raise ValueError("a settlement that nobody understands")
        return self._failed() if self.tried <= self.failures else None

    def _failed(self) -> asyncio.Future[Any]:
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        failed.set_exception(StorageError("arbstr.db: the disk is full"))
        return failed


@dataclass
class Bench:
    flow: CallFlow
    vault: Faulty
    database: Database
    folder: Path
    rooms: CallRooms
    url: str

    def begin(self, *, stream: bool = True, id: str = "req_kit", **fields: Any) -> Exchange:
        call = a_call(stream=stream, output_limit=100, **fields)
        return self.flow.begin(msgspec.structs.replace(call, id=id), CALLER)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        shared = self.url.startswith("postgresql")
        made = psycopg.connect(self.url) if shared else sqlite3.connect(self.folder / "arbstr.db")
        with closing(made) as connection:
            return connection.execute(query).fetchall()

    def end(self) -> tuple[str, int, dict[str, Any]]:
        """How the one call ended: state, charge, receipt."""
        ((state, charged, body),) = self.rows(
            "SELECT h.state, t.amount_msat, r.body FROM hold h JOIN transfer t ON t.hold_seq = h.seq "
            "JOIN receipt r ON r.hold_seq = h.seq"
        )
        return state, charged, json.loads(body)


@asynccontextmanager
async def bench(
    folder: Path,
    does: Callable[[Outbound], Awaitable[Reply]],
    *,
    clock: Clock | None = None,
    url: str = "sqlite:///arbstr.db",
    plugin: type[Plugin] = Plugin,
    rules: DispatchRules = _PATIENT,
    **more: Any,
) -> AsyncIterator[Bench]:
    """All rooms of a call, and an agent with money; `more` is for CallRooms. At the end nothing may be open."""
    clock = clock or LoopClock()
    database = Database.open(url, data_dir=folder, clock=clock, schemas=[schema()])
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
        provider = plugin(does)
        sold = market(provider, clock=clock)
        await sold.refresh()
        rooms = CallRooms(
            market=sold,
            router=Router([], {"cheapest": Cheapest()}, strategy="cheapest", output_tokens=100, keep=3),
            dispatch=Dispatch({"acme": provider}, clock, rules),
            vault=vault,
            clock=clock,
            **{"retry_seconds": 0.01, **more},
        )
        made = Bench(CallFlow(rooms, None, Journal(None, clock)), vault, database, folder, rooms, url)
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
