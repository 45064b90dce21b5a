"""Owns what the ledger costs by itself: holds and settles through the vault, without a call around them."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvloop

from arbstr_core.plugins import LoopClock
from arbstr_core.storage import Database
from arbstr_core.vault import Granted, HoldRequest, Limits, NewAgent, ProviderCost, Settlement, Vault, schema

TASKS = 64
_CEILINGS = (1836, 3672)
_CHARGE_MSAT = 900
_COST = ProviderCost(provider="providers_openai.cheap", cost_msat=_CHARGE_MSAT, served=True)
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


def measure(folder: Path, seconds: float, *, url: str = "sqlite:///ledger.db", agents: int = 1) -> LedgerRun:
    """As many pairs as 64 tasks get through, then a replay of the ledger, which must be well."""

    async def run() -> LedgerRun:
        async with opened(folder, agents, url=url) as (_, vault):
            names = [agent_id(number) for number in range(agents)]
            began, used = time.perf_counter(), time.process_time()
            done = await asyncio.gather(*(_pairs(vault, names, began + seconds) for _ in range(TASKS)))
            took, used = time.perf_counter() - began, time.process_time() - used
            await well(vault)
            return LedgerRun(pairs=sum(done), pairs_per_second=sum(done) / took, cpu_us=used * 1e6 / max(sum(done), 1))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


@asynccontextmanager
async def opened(
    folder: Path, agents: int, *, url: str = "sqlite:///ledger.db"
) -> AsyncIterator[tuple[Database, Vault]]:
    """A fresh ledger with so many agents, who have all they need."""
    database = Database.open(url, data_dir=folder, clock=LoopClock(), schemas=[schema()])
    try:
        vault = Vault(database, boot_id="bench")
        limits = Limits(max_charge_msat=10**9, daily_msat=10**15)
        for start in range(0, agents, TASKS):
            made = (_new_agent(number, limits) for number in range(start, min(start + TASKS, agents)))
            await asyncio.gather(*(vault.create_agent(agent) for agent in made))
        yield database, vault
    finally:
        await database.close()


def agent_id(number: int) -> str:
    """The agent with this number."""
    return f"ag_bench{number}"


def new_id() -> str:
    """As arbstr makes them: they sort by time, down to a millisecond."""
    return f"req_{time.time_ns() // 1_000_000:012x}{random.getrandbits(64):016x}"


def request(id: str, agent: str) -> HoldRequest:
    """A call with two candidates."""
    return HoldRequest(id=id, agent=agent, ceilings=_CEILINGS, candidates=_CANDIDATES, model="m")


def settlement(id: str) -> Settlement:
    """Its end."""
    return Settlement(id=id, charge_msat=_CHARGE_MSAT, costs=(_COST,), receipt=_RECEIPT)


async def well(vault: Vault) -> float:
    """Replay the ledger, which must be well; how long that took."""
    began = time.perf_counter()
    found = await vault.verify()
    assert found.ok, found
    assert found.open_holds == 0, found
    return time.perf_counter() - began


def _new_agent(number: int, limits: Limits) -> NewAgent:
    token = hashlib.sha256(str(number).encode()).digest()
    about = {"id": agent_id(number), "name": f"bench{number}", "realm": "sim", "rail": "simulated"}
    return NewAgent(**about, token_hash=token, limits=limits, fund_msat=10**12)


async def _pairs(vault: Vault, names: Sequence[str], until: float) -> int:
    done = 0
    while time.perf_counter() < until:
        id = new_id()
        held = await vault.hold(request(id, random.choice(names)))
        assert isinstance(held, Granted), held
        await vault.settle(settlement(id))
        done += 1
    return done
