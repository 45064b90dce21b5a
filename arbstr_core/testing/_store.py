"""Owns the double of a plugin's store: the same promises, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping


class MemoryStore:
    """A `Store` in memory. It outlives the objects made with it, so a restart is: make a new object, same store.

    Each operation gives other tasks a turn first, as a real one does.
    """

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        await asyncio.sleep(0)
        return self._values.get(key)

    async def put(self, items: Mapping[str, bytes | None], *, where: Mapping[str, bytes | None] | None = None) -> bool:
        """Write all of `items` (None deletes) at once, if every key of `where` has that value. True where it did."""
        await asyncio.sleep(0)
        if any(self._values.get(key) != old for key, old in (where or {}).items()):
            return False
        for key, value in items.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value
        return True

    async def compare_and_set(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """`put` for one key."""
        return await self.put({key: new}, where={key: old})

    async def scan(self, prefix: str) -> dict[str, bytes]:
        """All pairs whose key starts with `prefix`, in key order."""
        await asyncio.sleep(0)
        return {key: self._values[key] for key in sorted(self._values) if key.startswith(prefix)}
