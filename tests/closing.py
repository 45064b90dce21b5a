"""How a server of the tests ends, so that no connection outlives its loop."""

from __future__ import annotations

import asyncio

_ROUNDS = 10


async def take_no_more(server: asyncio.Server) -> None:
    """Close it once every connection that it accepted has begun.

    The transport of an accepted connection is made a round of the loop later. Until Python 3.12 a server that is closed
    by then refuses to have it, and the socket is left open for the collector to find.
    """
    for listening in server.sockets:
        server.get_loop().remove_reader(listening.fileno())
    await let_them_end()
    server.close()


async def let_them_end() -> None:
    """Let those that were accepted a moment ago begin, and those that were closed go.

    A connection takes a few rounds of the loop to its first step, and after `close()` to its end. A transport that is
    left on the way is found by the collector in whatever test runs by then.
    """
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
