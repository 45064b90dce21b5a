"""Owns what a routing decision costs: priced offers, policies, strategy, and the plan with its reasons."""

from __future__ import annotations

import statistics
import time

import msgspec
from arbstr_policy_keywords import Config, arbstr_policies
from arbstr_policy_price import Cheapest

from arbstr_core.routing import Router
from arbstr_core.types import Caller, ChatCall, Endpoint, Listing, Msat, MsatPrice, Offer, Standing
from arbstr_core.wire import read_call
from benchmarks.load import Case
from benchmarks.processes import MODEL

_RULES = {"rules": [{"name": "code", "keywords": ["function", "implement"]}]}
_PARTS = 20


def measure(offers: int, seconds: float) -> float:
    """Microseconds for one plan over so many offers: the median over parts of `seconds`."""
    router = Router(
        arbstr_policies(config=msgspec.convert(_RULES, Config)),
        {"cheapest": Cheapest()},
        strategy="cheapest",
        output_tokens=4096,
        keep=3,
    )
    call, listings = _call(), [_listing(number) for number in range(offers)]
    caller, standing = Caller(agent="ag_bench", name="bench", realm="sim"), Standing()
    plan = router.plan(call, caller, listings, (), standing)
    assert plan.candidates[0].offer.provider == "node-0", plan
    took = []
    for _ in range(_PARTS):
        made, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds / _PARTS or not made:
            for _ in range(20):
                router.plan(call, caller, listings, (), standing)
            made += 20
        took.append((time.perf_counter() - began) / made)
    return statistics.median(took) * 1e6


def _call() -> ChatCall:
    body = Case(name="", connections=1).body()
    return read_call(body, call_id="req_bench", endpoint=Endpoint.CHAT, hints={}, arrived_ms=0)


def _listing(number: int) -> Listing:
    each = Msat(100_000 + 1000 * number)
    price = MsatPrice(input=each, cached_input=each, output=Msat(4 * each))
    offer = Offer(provider=f"node-{number}", model=MODEL, upstream=MODEL, price=price)
    return Listing(offer=offer, price=price, cost_price=price)
