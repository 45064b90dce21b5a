"""Waiting that can be cancelled without cancelling what is waited for; and reading on what nobody takes any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from arbstr_core.dispatch import OpenReply

_TRAILER_SECONDS = 0.5
"""How long a finished reply may take to end its body, so that its connection can be used again."""


async def over(future: asyncio.Future[Any]) -> None:
    """Wait until `future` is done, whatever came of it; a cancellation leaves it alone, as `asyncio.shield` does."""
    if not future.done():
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: wake(waiter))
        await waiter


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


async def drain(opened: OpenReply, take: Callable[[bytes], bool], *, until: float) -> None:
    """Read a reply on while `take` says so, till `until` on the loop's clock. Raises ProviderError or TimeoutError."""
    if opened.rest is not None:
        async with asyncio.timeout_at(until):
            async for batch in opened.rest:
                if not take(batch):
                    return
