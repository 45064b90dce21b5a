"""HTTP as uvicorn speaks it, but for what clients and operators would notice.

- A response's head goes out with what follows it at once. By itself uvicorn writes the head alone and then the body:
  two calls into the kernel, and two packets, for each answer.
- What is no HTTP is answered in OpenAI's shape, as everything else is.
- A client that offers another protocol in each request, as Java's does, stays with HTTP/1.1 (RFC 9110, 7.8).
  By itself uvicorn loses the body of such a request.
- A client that falls silent before its request is whole is not waited for, nor is a head of any size taken.
- Who serves a request can hang up: what a client does not take would be kept for it for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from arbstr_core.web._asgi import HANG_UP
from arbstr_core.web._cycle import Cycle
from arbstr_core.web._errors import error_body

_MOST_JOINED = 64 * 1024
"""A larger body is not copied to save a call."""
_MOST_OF_A_HEAD = 64 * 1024


class HttpProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    silent_seconds = 30.0
    """how long a client may send nothing before its request is whole, the first one after it has connected"""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(_HeadWaits(transport))
        self._extensions = {HANG_UP: transport.abort}
        self._in_head = self._in_body = False
        self._again = self._idle = False
        self._idle_since = 0.0
        self._head_bytes = 0
        self._heard = self.loop.time()
        self._patience: asyncio.TimerHandle | None = None
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._idle = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._stay(data[offered.args[0] :])
            return
        except httptools.HttpParserError:
            self._end(400, "What came is no HTTP/1.1 request", None)
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_OF_A_HEAD:
                self._end(431, f"The head of the request is larger than {_MOST_OF_A_HEAD} bytes", "head_too_large")
                return
        if self._in_head or self._in_body:
            self._heard = self.loop.time()
            if self._patience is None:
                self._wait()

    def on_message_begin(self) -> None:
        """The first byte of a request is here."""
        if not self._again:
            super().on_message_begin()
            self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]
            self._in_head = True
            self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The head of a request is whole."""
        if not self._again:
            self._in_head, self._in_body = False, True
            super().on_headers_complete()
            if self.cycle is not None:
                # It has not begun to run: its task does that in the loop's next turn.
                self.cycle.__class__ = Cycle

    def on_message_complete(self) -> None:
        """The request is whole; one that offers another protocol is not, whatever its parser says."""
        if self._again or not self.parser.should_upgrade():
            self._in_body = False
            self._stop_waiting()
            super().on_message_complete()

    def _stay(self, rest: bytes) -> None:
        """Go on with HTTP/1.1 after a head that offers another protocol, at which its parser stops: `rest` is what came
        after that head. Another parser is told how long the body is, and goes on from there."""
        framing = [b"%s: %s\r\n" % row for row in self.headers if row[0] in (b"content-length", b"transfer-encoding")]
        self.headers = []
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._again = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(framing))
        self._again = False
        self.data_received(rest)

    def on_response_complete(self) -> None:
        """A response is whole: the next request may begin, or is waited for."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        # One timer looks after all pauses of a connection: each of its own would cost more than the response.
        self._idle, self._idle_since = True, self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def timeout_keep_alive_handler(self) -> None:
        """Nothing may have come since the last response. What of that was not taken by now never will be."""
        self.timeout_keep_alive_task = None
        if not self._idle:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def _wait(self) -> None:
        self._patience = self.loop.call_at(self._heard + self.silent_seconds, self._waited)

    def _waited(self) -> None:
        """It may be over; a timer for each part that comes would cost more."""
        self._patience = None
        if self.flow.read_paused:
            self._heard = self.loop.time()
        if self._heard + self.silent_seconds > self.loop.time():
            self._wait()
        elif self._served() is None and not self._in_head:
            self.transport.close()
        else:
            self._end(408, f"Nothing came for {self.silent_seconds:g} s in the middle of a request", "request_timeout")

    def _end(self, status: int, message: str, code: str | None) -> None:
        """Say what is wrong, where that would not stand in the middle of another answer, and close."""
        self._stop_waiting()
        cycle = self._served()
        over = cycle is None or (cycle.response_complete and not self._in_body)
        if not over and not (self._in_body and cycle is not None and not cycle.response_started):
            self.transport.abort()
            return
        body = error_body(message, "invalid_request_error", code=code)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._in_head = self._in_body = False
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _served(self) -> RequestResponseCycle | None:
        """The newest request of this connection."""
        return self.cycle

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _HeadWaits(asyncio.Transport):
    """A transport on which the head of a response waits for the next write, or for the loop's next turn."""

    __slots__ = ("_head", "_inner", "_loop")

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def begin(self, head: bytes) -> None:
        """Keep a head for the next write, which is sure to come."""
        self._head = head

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send `data`, after the head that waits for it."""
        head, self._head = self._head, b""
        if head:
            if len(data) > _MOST_JOINED:
                self._inner.write(head)
            else:
                data = head + data
        elif data[:9] == b"HTTP/1.1 ":
            self._head = bytes(data)
            self._loop.call_soon(self._flush)
            return
        self._inner.write(data)

    def _flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Close once all is sent."""
        self._flush()
        self._inner.close()

    def abort(self) -> None:
        """Close now."""
        self._inner.abort()

    def is_closing(self) -> bool:
        """True once it is closed, or about to be."""
        return self._inner.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the real transport knows."""
        return self._inner.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """How much of what was written the client has not taken."""
        return self._inner.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Take no more from the client."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Take from the client again."""
        self._inner.resume_reading()
