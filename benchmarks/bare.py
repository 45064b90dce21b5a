"""Owns the bare pass-through: the same libraries, set up like arbstr's, and nothing but bytes from here to there.

python -m benchmarks.bare PORT URL
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MEMORY = runpy.run_path(str(Path(__file__).parents[1] / "arbstr_core" / "cli" / "_memory.py"))
"""How `arbstr serve` has its memory: the file alone, since with all of arbstr around it this would not be bare."""
_HEADERS = {"content-type": "application/json"}


class Bare:
    """A raw ASGI application: a POST to `url`, whatever was asked, and back what came."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._memory: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        session = self._session or self._open()
        body = await _read(receive)
        async with session.post(self._url, data=body, headers=_HEADERS, allow_redirects=False) as answer:
            kind = answer.headers["content-type"].encode()
            await send({"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", kind)]})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    def _open(self) -> aiohttp.ClientSession:
        """On the first call: a session belongs to a running loop. Set up like the pools behind `tools.upstream`."""
        self._memory = asyncio.create_task(_MEMORY["keep_large"]())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60),
            auto_decompress=False,
            headers={"accept-encoding": "identity", "user-agent": "bare"},
        )
        return self._session


async def _read(receive: Receive) -> bytes:
    message = await receive()
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


def main(port: int, url: str) -> None:
    """Serve until a signal says stop."""
    # As `arbstr serve` does: a goal that only such settings reach would not be one.
    _MEMORY["one_heap"]()
    _MEMORY["settle_in"]()
    uvicorn.run(
        Bare(url),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
