"""Waiting that can be cancelled without cancelling what is waited for; and reading on what nobody takes any more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from arbstr_core.dispatch import OpenReply

_TRAILER_SECONDS = 0.5
"""How long a finished reply may take to end its body, so that its connection can be used again."""


class Leash:
    """How long a task goes on alone: it is cancelled once that has taken `seconds`, unless the leash is loose."""

    __slots__ = ("_loop", "_seconds", "_task", "_timer", "until")

    def __init__(self, task: asyncio.Task[Any], seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = task
        self._seconds = seconds
        self.until: float | None = None
        """on the loop's clock"""
        self._timer: asyncio.TimerHandle | None = None
        self.tighten()

    def tighten(self) -> None:
        """From now on it has as long as at first."""
        self.loosen()
        self.until = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self.until, self._task.cancel)

    def loosen(self) -> None:
        """It may take as long as it takes."""
        self.until = None
        if self._timer is not None:
            self._timer.cancel()


class Alarm:
    """Wakes whoever still waits after `seconds`.

    Most waits are over long before: one timer looks after all of them, for one of its own costs each more than it."""

    __slots__ = ("_armed", "_due", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._armed = False

    def watch(self, waiter: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        """From now on it has so long."""
        due, at = self._due, loop.time() + self._seconds
        while due and due[0][1].done():
            due.popleft()
        due.append((at, waiter))
        if not self._armed:
            self._armed = True
            loop.call_at(at, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        due, now = self._due, loop.time()
        while due and (due[0][1].done() or due[0][0] <= now):
            wake(due.popleft()[1])
        self._armed = bool(due)
        if due:
            loop.call_at(due[0][0], self._ring, loop)


def over(future: asyncio.Future[Any]) -> asyncio.Future[None]:
    """Is done once `future` is, whatever came of it; a cancellation leaves that alone, as `asyncio.shield` does."""
    # A future knows its loop; to ask for the running one is a call into the kernel, on Python 3.11.
    waiter: asyncio.Future[None] = future.get_loop().create_future()
    future.add_done_callback(lambda _: wake(waiter))
    return waiter


def woken(
    waiters: list[asyncio.Future[None]], loop: asyncio.AbstractEventLoop, alarm: Alarm | None = None
) -> asyncio.Future[None]:
    """Is done once `wake` is called for what is in `waiters`, or `alarm` rings. Each that waits has its own: whoever is
    cancelled cancels that, and not what all wait for."""
    waiter: asyncio.Future[None] = loop.create_future()
    waiters.append(waiter)
    if alarm is not None:
        alarm.watch(waiter, loop)
    return waiter


def wake(waiter: asyncio.Future[None]) -> None:
    """Let whoever waits go on."""
    if not waiter.done():
        waiter.set_result(None)


async def read_out(opened: OpenReply) -> None:
    """Read a finished reply to its end; where that is here already, nobody has to be waited for."""
    assert opened.rest is not None, "a stream has a rest"
    if opened.reply.ended:
        async for _ in opened.rest:
            pass
        return
    async with asyncio.timeout(_TRAILER_SECONDS):
        async for _ in opened.rest:
            pass


async def drain(opened: OpenReply, take: Callable[[bytes], bool], *, until: float | None) -> None:
    """Read a reply on while `take` says so, till `until` on the loop's clock. Raises ProviderError or TimeoutError."""
    if opened.rest is not None:
        async with asyncio.timeout_at(until):
            async for batch in opened.rest:
                if not take(batch):
                    return
