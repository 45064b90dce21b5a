"""Owns the durable journal: numbered lines in the plugin's store, each written before anyone is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from arbstr_core.api import Store
from arbstr_wallet_simulated._events import Book, Line

_PREFIX = "journal/"
_LINE = msgspec.json.Decoder(Line)


class Journal:
    """Lines and the book they make. Several journals on one store (a rail, a command, a reload) see each other's lines.

    A line is written by compare-and-set on its number: of two that decide at once, one writes, and the other decides
    again on the book that came of it.
    """

    def __init__(self, store: Store, balance_msat: int) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._book = Book(balance_msat)
        self._read = 0
        self._scanned = False
        self._news = asyncio.Event()

    @property
    def news(self) -> asyncio.Event:
        """Set once another line is known here than are known now."""
        return self._news

    async def book(self) -> Book:
        """The book as it is now."""
        async with self._lock:
            await self._catch_up()
            return self._book

    async def decide(self, decision: Callable[[Book], Line | None]) -> Book:
        """Write the line that `decision` makes of the book, none for None; the book after it.

        `decision` is called again where somebody else wrote first; what it raises goes through, and writes nothing.
        """
        async with self._lock:
            while True:
                await self._catch_up()
                line = decision(self._book)
                if line is None:
                    return self._book
                if await self._store.compare_and_set(_name(self._read + 1), None, msgspec.json.encode(line)):
                    self._apply(line)
                    return self._book

    async def _catch_up(self) -> None:
        if not self._scanned:
            for line in (await self._store.scan(_PREFIX)).values():
                self._apply(_LINE.decode(line))
            self._scanned = True
        while (raw := await self._store.get(_name(self._read + 1))) is not None:
            self._apply(_LINE.decode(raw))

    def _apply(self, line: Line) -> None:
        self._book.apply(line)
        self._read += 1
        told, self._news = self._news, asyncio.Event()
        told.set()


def _name(number: int) -> str:
    return f"{_PREFIX}{number:012d}"
