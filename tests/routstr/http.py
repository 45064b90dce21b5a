"""A small HTTP server over real sockets that can lose its answers: one for each double."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from closing import let_them_end, take_no_more


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body; an empty object where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def bearer(self) -> str:
        """The key, or a token in its place."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Answer:
    """What is answered: a body, or events one after the other. `lost`: the connection breaks in its place."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    events: AsyncGenerator[bytes, None] | None = None
    lost: bool = False


class Cut(Exception):
    """The connection breaks here."""


def said(what: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""
    return Answer(status, json.dumps(what).encode(), {"content-type": "application/json", **headers})


Handler = Callable[[Request], Awaitable[Answer]]


class Server:
    """Serves `handler` on a port of its own, in the running loop."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; after `stop` on the same port again."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Break every connection, and take no more."""
        if self._server is not None:
            server, self._server = self._server, None
            await take_no_more(server)
        for link in tuple(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await let_them_end()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.ensure_future(self._serve(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, Cut):
                while request := await _request(reader):
                    await self._answer(await self._handler(request), writer)
        finally:
            writer.transport.abort()

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        if answer.lost:
            raise Cut
        head = f"HTTP/1.1 {answer.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in answer.headers.items())
        if answer.events is None:
            writer.write(f"{head}content-length: {len(answer.body)}\r\n\r\n".encode() + answer.body)
        else:
            writer.write(f"{head}content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".encode())
            async with contextlib.aclosing(answer.events) as events:
                async for event in events:
                    writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                    await writer.drain()
            writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)
