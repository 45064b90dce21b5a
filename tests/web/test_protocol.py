"""An answer's head and body reach the kernel in one call, and a head that nothing follows is not kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from arbstr_core.web import HttpProtocol

_ASK = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


class _Wire(asyncio.Transport):
    """Remembers each write, and that it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def _answered(app: Callable[..., Awaitable[None]], ask: bytes = _ASK) -> _Wire:
    async def run() -> _Wire:
        config = uvicorn.Config(app, http=HttpProtocol, ws="none", lifespan="off", interface="asgi3", log_config=None)
        config.load()
        state = ServerState()
        protocol = HttpProtocol(config=config, server_state=state, app_state={})
        wire = _Wire()
        protocol.connection_made(wire)
        protocol.data_received(ask)
        while state.tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        protocol.connection_lost(None)
        return wire

    return asyncio.run(run())


def _start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def _body(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def test_the_head_goes_out_with_the_body() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start((b"content-length", b"2")))
        await send(_body(b"hi"))

    wire = _answered(app)
    assert len(wire.writes) == 1
    assert wire.writes[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.writes[0].endswith(b"\r\n\r\nhi")


def test_a_large_body_is_not_copied() -> None:
    large = b"x" * 100_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start((b"content-length", b"100000")))
        await send(_body(large))

    assert _answered(app).writes[1:] == [large]


def test_a_head_that_nothing_follows_goes_out_by_itself() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await send(_body(b"late"))

    wire = _answered(app)
    assert wire.writes[0].endswith(b"\r\n\r\n")
    assert wire.writes[1] == b"4\r\nlate\r\n0\r\n\r\n"


def test_nothing_is_lost_where_the_connection_closes_at_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start((b"content-length", b"0"), (b"connection", b"close")))
        await send(_body(b""))

    wire = _answered(app)
    assert wire.closed
    assert b"".join(wire.writes).endswith(b"connection: close\r\n\r\n")
