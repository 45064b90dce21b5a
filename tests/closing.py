"""How a server of the tests ends, so that no connection outlives its loop."""

from __future__ import annotations

import asyncio

_ROUNDS = 10


async def let_them_end() -> None:
    """Let those that were accepted a moment ago begin, and those that were closed go.

    A connection takes a few rounds of the loop to its first step, and after `close()` to its end. A transport that is
    left on the way is found by the collector in whatever test runs by then.
    """
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
