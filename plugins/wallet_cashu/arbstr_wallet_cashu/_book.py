"""Owns the purse's book in the plugin's store: coins, counters, jobs and lines, changed together or not at all.

A change is drafted on what was read, and written only if that is still so; else it is drafted again. So two jobs never
take the same coin or the same counter, in one process or in several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from arbstr_core.api import RailUnavailable, Store
from arbstr_wallet_cashu._records import AnyJob, CostLine, DepositLine, Held, PaymentLine
from arbstr_wallet_cashu._seed import Space

T = TypeVar("T")
Line = DepositLine | PaymentLine | CostLine

DEPOSITS, PAYMENTS, COSTS = "deposit", "payment", "cost"
_TRIES = 200
_JOB = msgspec.json.Decoder(AnyJob)
_HELD = msgspec.json.Decoder(Held)


class Busy(RailUnavailable):
    """Others changed the same things again and again."""


class Again(Exception):
    """What a draft read is not so any more: draft it again."""


class Draft:
    """One change: what is read with `read` must still be so when it is written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.where: dict[str, bytes | None] = {}
        self.items: dict[str, bytes | None] = {}

    async def read(self, key: str) -> bytes | None:
        """The value now, and until the change is written."""
        if key in self.items:
            return self.items[key]
        if key not in self.where:
            self.where[key] = await self._store.get(key)
        return self.where[key]

    def write(self, key: str, value: object | None) -> None:
        """`value` (None: nothing) will be there."""
        self.items[key] = None if value is None else msgspec.json.encode(value)

    async def job(self, name: str) -> AnyJob | None:
        """A job, as it must still be."""
        raw = await self.read(f"job/{name}")
        return None if raw is None else _JOB.decode(raw)

    def keep(self, name: str, job: AnyJob) -> None:
        """Write a job down, and among the open ones as long as it has not ended."""
        self.write(f"job/{name}", job)
        self.write(f"open/{name}", None if job.state.ended else 1)

    async def count(self, space: Space, keyset: str, many: int) -> int:
        """Take `many` counters of a keyset; the first of them."""
        key = f"counter/{space}/{keyset}"
        first = int(await self.read(key) or b"0")
        self.write(key, first + many)
        return first

    async def add(self, log: str, line: Line) -> None:
        """Write the next line of a log."""
        number = int(await self.read(f"next/{log}") or b"0")
        self.write(f"next/{log}", number + 1)
        self.write(f"{log}/{number:012d}", line)
        if isinstance(line, DepositLine):
            self.write(f"came/{line.kind}/{line.key}", number)

    def put(self, mint: str, y: str, coin: Held) -> None:
        """A coin that is new, or that a job now has or has no more."""
        self.write(f"coin/{mint}/{y}", coin)

    def drop(self, mint: str, y: str) -> None:
        """A coin that is spent."""
        self.write(f"coin/{mint}/{y}", None)

    async def coin(self, mint: str, y: str) -> Held | None:
        """A coin, as it must still be."""
        raw = await self.read(f"coin/{mint}/{y}")
        return None if raw is None else _HELD.decode(raw)


class Book:
    """The purse's records. Several books on one store see each other's changes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._news = asyncio.Event()

    async def change(self, draft: Callable[[Draft], Awaitable[T]]) -> T:
        """Write what `draft` makes of what is; it is called again where somebody else was faster.

        What it raises goes through, and nothing is written. Durable when this returns.
        """
        for _ in range(_TRIES):
            made = Draft(self.store)
            try:
                result = await draft(made)
            except Again:
                continue
            if not made.items or await self.store.put(made.items, where=made.where):
                self._news.set()
                return result
        raise Busy(f"the purse is busy: {_TRIES} tries to change it failed; try again")

    async def heard(self) -> None:
        """Wait for the next change made here."""
        self._news.clear()
        await self._news.wait()

    async def job(self, name: str) -> AnyJob | None:
        """A job as it is now."""
        raw = await self.store.get(f"job/{name}")
        return None if raw is None else _JOB.decode(raw)

    async def open_jobs(self, prefix: str = "") -> list[str]:
        """The names of those that have not ended."""
        return [key.removeprefix("open/") for key in await self.store.scan(f"open/{prefix}")]

    async def coins(self, mint: str) -> dict[str, Held]:
        """All coins at a mint by Y, free or not."""
        prefix = f"coin/{mint}/"
        rows = await self.store.scan(prefix)
        return {key.removeprefix(prefix): _HELD.decode(raw) for key, raw in rows.items()}

    async def mints(self) -> list[str]:
        """The names of mints at which there are coins."""
        return sorted({key.split("/")[1] for key in await self.store.scan("coin/")})

    async def counter(self, space: Space, keyset: str) -> int:
        """The next counter of a keyset."""
        return int(await self.store.get(f"counter/{space}/{keyset}") or b"0")

    async def lines(self, log: str, kind: type[T], start: int) -> list[tuple[int, T]]:
        """The lines of a log from number `start` on, as far as there are any."""
        found = []
        while (raw := await self.store.get(f"{log}/{start:012d}")) is not None:
            found.append((start, msgspec.json.decode(raw, type=kind)))
            start += 1
        return found
