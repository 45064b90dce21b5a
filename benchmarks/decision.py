"""Owns what a routing decision costs: the market's row, what was learned, priced offers, policies, strategy, the plan.

CPU of this thread, by itself and in a market with thousands of offers of other models.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Sequence

import msgspec
from arbstr_policy_complexity import arbstr_policies as complexity
from arbstr_policy_complexity._config import Config as ComplexityConfig
from arbstr_policy_keywords import Config, arbstr_policies
from arbstr_policy_price import Cheapest

from arbstr_core.api import Outbound, Provider, Reply
from arbstr_core.journal import Experience
from arbstr_core.market import FixedRate, Market, Pricing
from arbstr_core.plugins import LoopClock
from arbstr_core.routing import Router
from arbstr_core.types import Caller, ChatCall, Endpoint, Msat, MsatPrice, Offer, Plan, Standing, Usage
from arbstr_core.wire import read_call
from benchmarks.load import Case
from benchmarks.processes import MODEL

_RULES = {"rules": [{"name": "code", "keywords": ["function", "implement"]}]}
_PARTS = 20
_OTHERS = 10_000
_CALLER = Caller(agent="ag_bench", name="bench", realm="sim")
GOALS_US = {24: 100, 1000: 3000}
CROWD_GOAL = 1.2


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one decision over so many `offers` costs, in microseconds of CPU; `crowd_ratio` is by how much more beside
    10,000 offers of other models."""

    offers: int
    cpu_us: float
    crowd_ratio: float

    def told(self) -> str:
        """For people."""
        goal = GOALS_US.get(self.offers)
        words = [f"routing decision over {self.offers} offers: {self.cpu_us:.1f} us of CPU"]
        if goal is not None:
            words.append(_judged(self.cpu_us <= goal, f"{goal} us"))
        words.append(f"beside {_OTHERS} offers of other models {self.crowd_ratio:.2f} x as much")
        words.append(_judged(self.crowd_ratio <= CROWD_GOAL, str(CROWD_GOAL)))
        return " ".join(words)


def measure(offers: Sequence[int], seconds: float) -> list[Decision]:
    """For each of these counts, over parts of `seconds`: with the crowd and without, in turns."""
    return [_measured(count, seconds) for count in offers]


def _measured(offers: int, seconds: float) -> Decision:
    alone, crowded = _House(offers), _House(offers, _OTHERS)
    # As `arbstr serve` does: what is there stays.
    gc.collect()
    gc.freeze()
    try:
        rounds = [(alone.cpu_us(seconds / _PARTS / 2), crowded.cpu_us(seconds / _PARTS / 2)) for _ in range(_PARTS)]
    finally:
        gc.unfreeze()
    return Decision(
        offers=offers,
        cpu_us=statistics.median(first for first, _ in rounds),
        crowd_ratio=statistics.median(second / first for first, second in rounds),
    )


class _House:
    """A market with so many offers of the model asked for and of others, and a router with all policies."""

    def __init__(self, offers: int, others: int = 0) -> None:
        self._market = Market(
            [_Sells(offers, others)],
            lambda fx: Pricing(margin_ppm=0, fx=fx),
            FixedRate(None, spread_ppm=0, as_of_ms=0),
            LoopClock(),
            refresh_seconds=60,
            stale_seconds=900,
        )
        asyncio.run(self._market.refresh())
        self._router = Router(
            [*arbstr_policies(config=msgspec.convert(_RULES, Config)), *complexity(config=ComplexityConfig())],
            {"cheapest": Cheapest()},
            strategy="cheapest",
            output_tokens=4096,
            keep=3,
        )
        self._call = _call()
        self._learned = Experience()
        for _ in range(3):
            first = self.decide().candidates[0]
            self._learned.note("ag_bench", self._call, first, Usage(output_tokens=300), whole=True, now_ms=0)
        assert first.offer.upstream == "node-0", first

    def decide(self) -> Plan:
        """One decision, as a call has it made."""
        row = self._market.find(self._call.model)
        assert row is not None, "the model is sold"
        known = self._learned.habits(_CALLER.agent)
        standing = msgspec.structs.replace(Standing(), habits=known, tiers=row.tiers)
        return self._router.plan(self._call, _CALLER, row.listings, row.out, standing)

    def cpu_us(self, seconds: float) -> float:
        """What a decision costs, by as many as there are in `seconds`."""
        made, began, end = 0, time.thread_time(), time.perf_counter() + seconds
        while time.perf_counter() < end or not made:
            for _ in range(10):
                self.decide()
            made += 10
        return (time.thread_time() - began) / made * 1e6


class _Sells(Provider):
    name = "bench"

    def __init__(self, offers: int, others: int) -> None:
        self._offers = [_offer(number, MODEL) for number in range(offers)]
        self._offers += [_offer(number, f"other-{number % 300}") for number in range(others)]

    async def offers(self) -> list[Offer]:
        return self._offers

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        raise NotImplementedError("nothing is sent")


def _offer(number: int, model: str) -> Offer:
    each = Msat(100_000 + 1000 * number)
    price = MsatPrice(input=each, cached_input=Msat(each // 2), output=Msat(4 * each))
    node = f"node-{number}"
    return Offer(provider="bench", node=node, model=model, upstream=node, price=price, context_window=131_072)


def _call() -> ChatCall:
    body = Case(name="", connections=1).body()
    return read_call(body, call_id="req_bench", endpoint=Endpoint.CHAT, hints={}, arrived_ms=0)


def _judged(reached: bool, goal: str) -> str:
    return f"(goal <= {goal}: {'reached' if reached else 'MISSED'})"
