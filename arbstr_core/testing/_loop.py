"""Owns an event loop of virtual time: waiting costs nothing, and whatever has time-outs can be tested for hours."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_STUCK_SECONDS = 30.0
"""How long threads and sockets may take, where nothing else can happen."""


class Stuck(Exception):
    """Everything waits for something that nothing will bring about."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time passes only when no task can run: then it is at once the time of the next timer."""

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self.now = 0.0

    def time(self) -> float:
        """Seconds since the loop was made, virtual."""
        return self.now


class VirtualClock:
    """A `Clock` that goes by the running loop, which is a VirtualLoop. `now` is Unix time in seconds at its start."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._start = now

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return round((self._start + self.monotonic()) * 1000)

    def monotonic(self) -> float:
        """Seconds since the loop was made."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await asyncio.sleep(seconds)


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a VirtualLoop, as `asyncio.run` would. Raises Stuck where it waits for what cannot come."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing but sockets and threads, and for those only where there is no timer."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(_STUCK_SECONDS)
            if not ready:
                raise Stuck("every task waits, and no timer is set")
            return ready
        self._loop.now += max(timeout, 0.0)
        return ready
