"""What was written down of the node: who it is, since when it is ours, and how far its records have been seen."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from arbstr_core.api import BadRequest, Store

_KEY = "node"


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One node. `paid_index` is the highest number of a payment seen to have succeeded; a node that shows only lower
    ones has lost records. `trouble` says what else showed that it has. `epoch` counts how often an operator took a
    node: the indices of one epoch mean nothing in another, so a cursor of an earlier one begins again."""

    node: str
    since_ms: int
    epoch: int = 1
    paid_index: int = 0
    trouble: str = ""

    def cursor(self, index: int) -> str:
        """Where to resume after what the node numbers `index`."""
        return f"{self.epoch}.{index}"

    def index(self, cursor: str) -> int:
        """What `cursor` resumes after, 0 for the beginning. Raises BadRequest where it is none of this rail."""
        if not cursor:
            return 0
        epoch, dot, index = cursor.partition(".")
        if not (dot and epoch.isdecimal() and index.isdecimal()):
            raise BadRequest(f"{cursor!r} is no cursor of this rail")
        return int(index) if int(epoch) == self.epoch else 0


class Pins:
    """The pin, in the plugin's store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self) -> Pin | None:
        """The pin; None before the first node."""
        raw = await self._store.get(_KEY)
        return None if raw is None else msgspec.json.decode(raw, type=Pin)

    async def take(self, pin: Pin) -> Pin:
        """Write `pin`, if there is none; what is written down then."""
        await self._store.compare_and_set(_KEY, None, msgspec.json.encode(pin))
        written = await self.read()
        assert written is not None
        return written

    async def change(self, change: Callable[[Pin], Pin]) -> Pin:
        """Write what `change` makes of the pin; again, where another process changed it meanwhile."""
        while True:
            raw = await self._store.get(_KEY)
            assert raw is not None, "a pin is changed that was never taken"
            new = change(msgspec.json.decode(raw, type=Pin))
            encoded = msgspec.json.encode(new)
            if encoded == raw or await self._store.compare_and_set(_KEY, raw, encoded):
                return new

    async def replace(self, pin: Pin) -> None:
        """Write `pin`, whatever was there."""
        await self._store.put({_KEY: msgspec.json.encode(pin)})
