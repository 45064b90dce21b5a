"""Owns how long a whole ledger takes to be replayed: a database of many calls, made through the vault, then verified.

`python -m benchmarks.verify [URL] [TRANSFERS]` does it alone, on PostgreSQL too.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop

from arbstr_core.plugins import LoopClock
from arbstr_core.storage import Database
from arbstr_core.vault import Granted, Limits, NewAgent, Vault, schema
from benchmarks.ledger import new_id, request, settlement

TRANSFERS = 1_000_000
TASKS = 256
AGENTS = 8


class VerifyRun(msgspec.Struct, frozen=True, kw_only=True):
    """What replaying took. `cpu_seconds` are this process's."""

    transfers: int
    entries: int
    audit_rows: int
    seconds: float
    cpu_seconds: float


def measure(folder: Path, transfers: int = TRANSFERS, url: str = "sqlite:///verify.db", rounds: int = 3) -> VerifyRun:
    """The best of `rounds` verifications of a database that is made for it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(folder, transfers, url, rounds))


async def _measure(folder: Path, transfers: int, url: str, rounds: int) -> VerifyRun:
    database = Database.open(url, data_dir=folder, clock=LoopClock(), schemas=[schema()])
    try:
        vault = Vault(database, boot_id="bench")
        await _agents(vault)
        numbers = iter(range(transfers))
        await asyncio.gather(*(_calls(vault, numbers) for _ in range(TASKS)))
        await vault.seal()
    finally:
        await database.close()
    return await _again(folder, url, rounds)


def again(folder: Path, url: str, rounds: int = 3) -> VerifyRun:
    """The best of `rounds` verifications of a database that is there."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_again(folder, url, rounds))


async def _again(folder: Path, url: str, rounds: int) -> VerifyRun:
    database = Database.open(url, data_dir=folder, clock=LoopClock(), schemas=[schema()])
    try:
        vault = Vault(database, boot_id="bench")
        return min([await _verified(vault) for _ in range(rounds)], key=lambda run: run.seconds)
    finally:
        await database.close()


async def _agents(vault: Vault) -> None:
    limits = Limits(max_charge_msat=10**9, daily_msat=10**15)
    for n in range(AGENTS):
        await vault.create_agent(
            NewAgent(
                id=f"ag_{n}",
                name=f"agent {n}",
                realm="sim",
                token_hash=bytes([n]) * 32,
                limits=limits,
                fund_msat=10**13,
                rail="simulated",
            )
        )


async def _calls(vault: Vault, numbers: Iterator[int]) -> None:
    for n in numbers:
        id = new_id()
        held = await vault.hold(request(id, f"ag_{n % AGENTS}"))
        assert isinstance(held, Granted), held
        await vault.settle(settlement(id))


async def _verified(vault: Vault) -> VerifyRun:
    began, used = time.perf_counter(), time.process_time()
    found = await vault.verify()
    took, used = time.perf_counter() - began, time.process_time() - used
    assert found.ok, found
    return VerifyRun(
        transfers=found.transfers,
        entries=found.entries,
        audit_rows=found.audit_rows,
        seconds=took,
        cpu_seconds=used,
    )


def told(run: VerifyRun) -> str:
    """A line of the report."""
    return (
        f"verify, {run.transfers} transfers, {run.entries} entries, {run.audit_rows} audit rows:"
        f" {run.seconds:.1f} s, {run.cpu_seconds:.1f} s of CPU"
    )


def main(words: list[str]) -> int:
    """The exit code."""
    url = words[0] if words else "sqlite:///verify.db"
    with tempfile.TemporaryDirectory(prefix="arbstr-bench-") as folder:
        print(told(measure(Path(folder), int(words[1]) if len(words) > 1 else TRANSFERS, url)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
