"""Owns what the ledger costs by itself: holds and settles through the vault, without a call around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import uvloop

from arbstr_core.plugins import LoopClock
from arbstr_core.storage import Database
from arbstr_core.vault import Granted, HoldRequest, Limits, NewAgent, ProviderCost, Settlement, Vault, schema

TASKS = 64
_CEILINGS = (1836, 3672)
_CHARGE_MSAT = 900
_CANDIDATES = msgspec.json.encode(
    [
        {"provider": f"providers_openai.{name}", "node": "", "upstream": "m", "ceiling_msat": most, "input_limit": 1972}
        | {"output_limit": 4096, "price": {"input": 100_000, "cached_input": 100_000, "output": 400_000, "request": 0}}
        for name, most in zip(("cheap", "dear"), _CEILINGS, strict=True)
    ]
)
_RECEIPT = msgspec.json.encode(
    {
        "model": "m",
        "provider": "providers_openai.cheap",
        "usage": {"input_tokens": 412, "cached_input_tokens": 0, "output_tokens": 128, "source": "provider"},
        "attempts": [{"provider": "providers_openai.cheap", "outcome": "served", "ms": 2, "detail": ""}],
        "reasons": ["cheapest: providers_openai.cheap is expected to cost 1690 msat"],
        "alternatives": [{"provider": "providers_openai.dear", "cost_msat": 3380}],
        "ending": "complete",
        "first_byte_ms": 2,
        "total_ms": 3,
    }
)


class LedgerRun(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs of one hold and its settle, each awaited; CPU of this process, loop and writer together."""

    pairs: int
    pairs_per_second: float
    cpu_us: float


def measure(folder: Path, seconds: float) -> LedgerRun:
    """As many pairs as 64 tasks get through, then a replay of the ledger, which must be well."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(folder, seconds))


async def _measure(folder: Path, seconds: float) -> LedgerRun:
    database = Database.open("sqlite:///ledger.db", data_dir=folder, clock=LoopClock(), schemas=[schema()])
    try:
        vault = Vault(database, boot_id="bench")
        limits = Limits(max_charge_msat=10**9, daily_msat=10**15)
        await vault.create_agent(
            NewAgent(
                id="ag_bench",
                name="bench",
                realm="sim",
                token_hash=bytes(32),
                limits=limits,
                fund_msat=10**13,
                rail="simulated",
            )
        )
        began, used = time.perf_counter(), time.process_time()
        numbers = count()
        await asyncio.gather(*(_pairs(vault, numbers, began + seconds) for _ in range(TASKS)))
        took, used = time.perf_counter() - began, time.process_time() - used
        pairs = next(numbers)
        found = await vault.verify()
        assert found.ok, found
        assert found.open_holds == 0, found
        return LedgerRun(pairs=pairs, pairs_per_second=pairs / took, cpu_us=used * 1e6 / pairs)
    finally:
        await database.close()


async def _pairs(vault: Vault, numbers: Iterator[int], until: float) -> None:
    cost = ProviderCost(provider="providers_openai.cheap", cost_msat=_CHARGE_MSAT, served=True)
    while time.perf_counter() < until:
        id = f"req_{next(numbers):028x}"
        request = HoldRequest(id=id, agent="ag_bench", ceilings=_CEILINGS, candidates=_CANDIDATES, model="m")
        held = await vault.hold(request)
        assert isinstance(held, Granted), held
        await vault.settle(Settlement(id=id, charge_msat=_CHARGE_MSAT, costs=(cost,), receipt=_RECEIPT))
