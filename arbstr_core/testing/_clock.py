"""Owns virtual time: a clock whose sleepers wake in order, and at once."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class FakeClock:
    """A `Clock` of virtual time. Sleeping moves time on instead of waiting; sleepers wake in the order of their time.

    `now` is Unix time in seconds at the start.
    """

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._start = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int]] = []
        self._tickets = itertools.count()

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return round((self._start + self._elapsed) * 1000)

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, after every sleeper that wakes earlier, and after the tasks that can run now."""
        ticket = (self._elapsed + max(seconds, 0.0), next(self._tickets))
        heapq.heappush(self._sleepers, ticket)
        try:
            await asyncio.sleep(0)
            while self._sleepers[0] != ticket:  # noqa: ASYNC110 - virtual time has no event to wait for
                await asyncio.sleep(0)
            self._elapsed = max(self._elapsed, ticket[0])
        finally:
            self._sleepers.remove(ticket)
            heapq.heapify(self._sleepers)
