"""Waiting that can be cancelled without cancelling what is waited for; and reading on what nobody takes any more."""

from __future__ import annotations

import asyncio
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


async def over(future: asyncio.Future[Any]) -> None:
    """Wait until `future` is done, whatever came of it; a cancellation leaves it alone, as `asyncio.shield` does."""
    if not future.done():
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: wake(waiter))
        await waiter


async def woken(waiters: list[asyncio.Future[None]], *, at_most: float | None = None) -> None:
    """Wait until `wake` is called for what is in `waiters`, or `at_most` seconds. Each that waits has its own: whoever
    is cancelled cancels that, and not what all wait for."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    waiters.append(waiter)
    timer = None if at_most is None else loop.call_later(at_most, wake, waiter)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()


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
