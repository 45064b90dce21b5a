"""Owns the replay: arbstr's own market, router, dispatch and flow, past the book's sellers, in virtual time.

The vault is off: what a call costs is on the sellers' bills, failed attempts included.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec
from arbstr_policy_price import Cheapest

from arbstr_core.dispatch import Dispatch
from arbstr_core.flow import CallFlow, CallRooms
from arbstr_core.journal import Journal
from arbstr_core.market import FixedRate, Market, Pricing
from arbstr_core.routing import Router
from arbstr_core.testing import VirtualClock, in_virtual_time
from arbstr_core.types import Caller, CallRefused, Endpoint
from arbstr_core.wire import read_call
from benchmarks.savings.book import Model
from benchmarks.savings.mixes import Ask, Mix, asks, fault
from benchmarks.savings.rivals import Faults, Paid, paid
from benchmarks.savings.world import Bills, Seller, request, sellers

ARBSTR = "arbstr"
SINGLE = "deepinfra"
"""the provider that sells most of the book"""
WARM = 30
"""How many requests for each model come before those that count: from these it may learn how long answers are."""
_TRIES = 5
_USD_PER_BTC = Decimal(100_000)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One mix, one seed, one rate of faults: what each paid, by model."""

    mix: str
    seed: int
    rate: float
    models: dict[str, Paid]
    unserved: int
    """requests that arbstr did not serve at the first try; a client tries again"""


def replay(models: Sequence[Model], mix: Mix, seed: int, rate: float, count: int) -> Run:
    """`count` requests for each model, after those that warm up."""
    asked = {model.model: asks(mix, model.model, seed, WARM + count) for model in models}
    bills = Bills()
    unserved = in_virtual_time(_replayed(sellers(models, asked, seed, rate, bills), asked))
    found = {}
    for model in models:
        counted = asked[model.model][WARM:]
        others = paid(model, counted, _schedule(seed, rate, model.model), single=SINGLE, seed=seed)
        own = {ARBSTR: bills.of(model.model, counted)}
        found[model.model] = msgspec.structs.replace(others, by={**own, **others.by})
    return Run(mix=mix.name, seed=seed, rate=rate, models=found, unserved=unserved)


def _schedule(seed: int, rate: float, model: str) -> Faults:
    return lambda provider, number, attempt: fault(seed, rate, model, provider, number, attempt)


async def _replayed(selling: Sequence[Seller], asked: Mapping[str, Sequence[Ask]]) -> int:
    flow, market, dispatch = _house(selling)
    await market.refresh()
    keeping = asyncio.create_task(market.run())
    log = logging.getLogger("arbstr")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        found = await asyncio.gather(*(_client(flow, model, ask) for model, each in asked.items() for ask in each))
    finally:
        log.setLevel(level)
        keeping.cancel()
        await dispatch.aclose()
    return sum(tries > 1 for tries in found)


def _house(selling: Sequence[Seller]) -> tuple[CallFlow, Market, Dispatch]:
    clock = VirtualClock()
    market = Market(
        selling,
        lambda fx: Pricing(margin_ppm=0, fx=fx),
        FixedRate(_USD_PER_BTC, spread_ppm=0, as_of_ms=clock.now_ms()),
        clock,
        refresh_seconds=60,
        stale_seconds=900,
    )
    dispatch = Dispatch({each.name: each for each in selling}, clock)
    router = Router([], {"cheapest": Cheapest()}, strategy="cheapest", output_tokens=4096, keep=3)
    rooms = CallRooms(market=market, router=router, dispatch=dispatch, vault=None, clock=clock)
    return CallFlow(rooms, None, Journal(None, clock)), market, dispatch


async def _client(flow: CallFlow, model: str, ask: Ask) -> int:
    """Ask once, and again as SDKs do where that is refused; how often it was."""
    await asyncio.sleep(ask.at)
    for attempt in range(_TRIES):
        body = request(model, ask, attempt)
        name = f"req_{model}_{ask.number}_{attempt}"
        call = read_call(body, call_id=name, endpoint=Endpoint.CHAT, hints={}, arrived_ms=VirtualClock().now_ms())
        exchange = flow.begin(call, Caller(agent=ask.agent, name=ask.agent, realm="sim"))
        try:
            await exchange.open()
            await exchange.body()
            return attempt + 1
        except CallRefused:
            await asyncio.sleep(2**attempt)
        finally:
            await exchange.close()
    raise AssertionError(f"{model}: request {ask.number} was refused {_TRIES} times")
