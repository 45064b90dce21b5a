"""One connection that speaks HTTP/1.1 to a provider: a request out, its response in, one after the other.

Source: RFC 9112. httptools (llhttp) reads what comes; who connects, and when a connection is used again, is the pool's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

_PIECE_BYTES = 2**18
"""A large body goes out in pieces, so that other calls go on meanwhile."""
_MOST_HEAD_BYTES = 2**16
_MOST_WAITING_BYTES = 2**17
"""Beyond this the provider has to wait for whoever reads its reply."""


class Broken(Exception):
    """The connection broke, or what came is no HTTP."""


class Incoming:
    """One response, as it comes in."""

    __slots__ = ("_broken", "_connection", "_parts", "_size", "_waiter", "ended", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        """0 until the head is here"""
        self.headers: dict[str, str] = {}
        self.ended = False
        self._connection = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._broken = ""
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> None:
        """Wait for status and headers. Raises Broken."""
        while not self.status:
            await self._news()

    async def read(self) -> bytes:
        """What has come of the body and was not read yet; empty at its end. Raises Broken once all of it is read."""
        while not self._parts:
            if self.ended:
                return b""
            await self._news()
        parts, self._parts, self._size = self._parts, [], 0
        self._connection.read_on(self)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Want no more of it: what has not ended takes its connection along."""
        if not self.ended:
            self._connection.abort()

    @property
    def drained(self) -> bool:
        """True once all of it is here, and read."""
        return self.ended and not self._parts

    def _news(self) -> asyncio.Future[None]:
        if self._broken:
            raise Broken(self._broken)
        waiter = self._waiter = self._connection.loop.create_future()
        return waiter

    # -- what the connection says -----------------------------------------------------------------------------------

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """The head is here."""
        self.status, self.headers = status, headers
        self._wake()

    def add(self, part: bytes) -> bool:
        """More of the body; True where that is enough for now."""
        self._parts.append(part)
        self._size += len(part)
        self._wake()
        return self._size > _MOST_WAITING_BYTES

    def end(self) -> None:
        """All of it is here."""
        self.ended = True
        self._wake()

    def fail(self, why: str) -> None:
        """The rest will not come."""
        self._broken = why or "it broke"
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A connection that is used by one at a time. `free` is told when it can be used again, `lost` when it is gone."""

    def __init__(self, free: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self._free = free
        self._lost = lost
        self._parts: list[bytes] = []
        # A stream has a part for each event: what comes in one packet is gathered, and handed on together.
        self.on_body = self._parts.append
        self._parser = httptools.HttpResponseParser(self)
        self._incoming: Incoming | None = None
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._sent = False
        self._held_up = False
        self._full: asyncio.Future[None] | None = None
        self.usable = True

    async def exchange(self, head: bytes, body: bytes) -> Incoming:
        """Send a request and wait for the head of its response. Raises Broken; whatever ends it early ends this."""
        incoming = self._incoming = Incoming(self)
        self._head_bytes = 0
        begun = False
        try:
            if len(body) <= _PIECE_BYTES:
                self._sent = True
                self._transport.write(head + body)
            else:
                await self._send_large(incoming, head, body)
            await incoming.head()
            begun = True
        finally:
            if not begun:
                self.abort()
        return incoming

    async def _send_large(self, incoming: Incoming, head: bytes, body: bytes) -> None:
        self._sent = False
        self._transport.write(head)
        for start in range(0, len(body), _PIECE_BYTES):
            # Who answers before it has heard everything, or hangs up, does not want to hear the rest.
            if incoming.status or not self.usable:
                return
            self._transport.write(body[start : start + _PIECE_BYTES])
            if self._full is not None:
                await self._full
            else:
                await asyncio.sleep(0)
        self._sent = True

    def read_on(self, incoming: Incoming) -> None:
        """What had come was read: take more."""
        if self._held_up and self._incoming is incoming:
            self._held_up = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close it at once."""
        self.usable = False
        self._transport.abort()

    # -- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is connected."""
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        incoming = self._incoming
        if incoming is None:
            # Nobody has asked: the next one who does would take it for an answer.
            self.abort()
            return
        if not incoming.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as bad:
            self._hand_on()
            self._fail(f"what came is no HTTP: {bad or type(bad).__name__}")
        if self._parts:
            self._hand_on()
        if not incoming.status and self._head_bytes > _MOST_HEAD_BYTES:
            self._fail(f"the head is larger than {_MOST_HEAD_BYTES} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.usable = False
        self._lost(self)
        self.resume_writing()
        # It knows this connection, which would hold itself.
        del self._parser
        incoming = self._incoming
        if incoming is not None:
            if exc is None and incoming.status and _ends_with_its_connection(incoming):
                self._incoming = None
                incoming.end()
            else:
                self._fail(str(exc or "the server closed the connection"))

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._full = self.loop.create_future()

    def resume_writing(self) -> None:
        """It takes more, or will never."""
        full, self._full = self._full, None
        if full is not None and not full.done():
            full.set_result(None)

    def _hand_on(self) -> None:
        """What has come of the body, to whoever reads it; nobody does where there is no response."""
        parts, incoming = self._parts, self._incoming
        if parts and incoming is not None:
            full = incoming.add(parts[0] if len(parts) == 1 else b"".join(parts))
            if full and not self._held_up:
                self._held_up = True
                self._transport.pause_reading()
        parts.clear()

    def _fail(self, why: str) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.fail(why)
        self.abort()

    # -- httptools --------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins."""
        self._headers = {}
        if self._incoming is None:
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header is whole."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole; one of 1xx is no answer yet."""
        status = self._parser.get_status_code()
        if self._incoming is not None and status >= 200:
            self._incoming.begin(status, self._headers)
            self.resume_writing()

    def on_message_complete(self) -> None:
        """The response is whole."""
        incoming = self._incoming
        if incoming is None or not incoming.status:
            return
        self._hand_on()
        self.read_on(incoming)
        self._incoming = None
        incoming.end()
        if self._sent and self.usable and self._parser.should_keep_alive():
            self._free(self)
        else:
            self.abort()


def _ends_with_its_connection(incoming: Incoming) -> bool:
    """RFC 9112, 6.3: a response that says nothing of its length ends where its connection does."""
    return "content-length" not in incoming.headers and "transfer-encoding" not in incoming.headers
