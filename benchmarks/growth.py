"""Owns whether a pair costs the same whatever the ledger holds: pages written and instructions, early and late.

Pages are those in SQLite's log of writes, instructions those of SQLite's own machine (a callback every so many of
them), which is what grows when a tree gets deeper or a query reads more rows. Pairs go in batches of the same size, so
that the load of the machine changes nothing in either.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from arbstr_core.storage import Database, Operation, Transaction
from arbstr_core.vault import Vault
from benchmarks.ledger import TASKS, agent_id, new_id, opened, request, settlement

URL = "sqlite:///growth.db"
AGENTS = 1000
EARLY = 1000
_LOOKS = 25
_FILLING = 256
_EVERY = 50
_FRAME_HEAD = 24
_LOG_HEAD = 32


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a pair costs in a ledger of so many transfers; CPU in microseconds, of this process."""

    transfers: int
    pages: float
    instructions: float
    cpu_us: float


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """A young ledger and an old one."""

    early: Cost
    late: Cost

    @property
    def pages_ratio(self) -> float:
        """Late to early."""
        return self.late.pages / self.early.pages

    @property
    def instructions_ratio(self) -> float:
        """Late to early."""
        return self.late.instructions / self.early.instructions


def measure(folder: Path, transfers: int) -> Growth:
    """Fill a ledger up to so many transfers, and look twice on the way."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(folder, transfers))


async def _measure(folder: Path, transfers: int) -> Growth:
    async with opened(folder, AGENTS, url=URL) as (database, vault):
        names = [agent_id(number) for number in range(AGENTS)]
        # Every agent was funded, which is a transfer.
        await _fill(vault, names, EARLY)
        early = await _looked(database, vault, names, folder / "growth.db-wal", AGENTS + EARLY)
        done = AGENTS + EARLY + _LOOKS * TASKS
        await _fill(vault, names, max(0, transfers - done))
        late = await _looked(database, vault, names, folder / "growth.db-wal", max(transfers, done))
        return Growth(early=early, late=late)


async def _fill(vault: Vault, names: Sequence[str], pairs: int) -> None:
    for start in range(0, pairs, _FILLING):
        await _batch(vault, names, min(_FILLING, pairs - start))


async def _batch(vault: Vault, names: Sequence[str], size: int) -> None:
    ids = [new_id() for _ in range(size)]
    await asyncio.gather(*(vault.hold(request(id, random.choice(names))) for id in ids))
    await asyncio.gather(*(vault.settle(settlement(id)) for id in ids))


async def _looked(database: Database, vault: Vault, names: Sequence[str], log: Path, transfers: int) -> Cost:
    counted = _Counted()
    await database.submit(_Watch(counted))
    # An empty log, which then only grows: its size tells how many pages were written.
    with sqlite3.connect(log.with_name(log.name.removesuffix("-wal"))) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    counted.callbacks = 0
    used = time.process_time()
    for _ in range(_LOOKS):
        await _batch(vault, names, TASKS)
    used = time.process_time() - used
    callbacks, size = counted.callbacks, log.stat().st_size
    await database.submit(_Watch(None))
    pairs = _LOOKS * TASKS
    frames = (size - _LOG_HEAD) / (_FRAME_HEAD + counted.page_bytes)
    return Cost(
        transfers=transfers,
        pages=frames / pairs,
        instructions=callbacks * _EVERY / pairs,
        cpu_us=used * 1e6 / pairs,
    )


class _Counted:
    """How often SQLite called back."""

    callbacks = 0
    page_bytes = 0

    def __call__(self) -> int:
        self.callbacks += 1
        return 0


class _Watch(Operation[None]):
    """Has the writer's connection count, and never empty its log meanwhile; or, without a counter, as before."""

    def __init__(self, counted: _Counted | None) -> None:
        self._counted = counted

    def run(self, tx: Transaction) -> None:
        connection: Any = tx._cursor.connection  # type: ignore[attr-defined]  # nobody else wants to see it
        connection.set_progress_handler(self._counted, _EVERY if self._counted else 0)
        connection.execute(f"PRAGMA wal_autocheckpoint={0 if self._counted else 8000}")
        if self._counted:
            (self._counted.page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
