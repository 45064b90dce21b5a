"""HTTP as uvicorn speaks it, but for one thing: a response's head goes out with what follows it at once.

By itself it writes the head alone and then the body: two calls into the kernel, and two packets, for each answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_JOINED = 64 * 1024
"""A larger body is not copied to save a call."""


class HttpProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(_HeadWaits(transport))


class _HeadWaits(asyncio.Transport):
    """A transport on which the head of a response waits for the next write, or for the loop's next turn."""

    __slots__ = ("_head", "_inner", "_loop")

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._head = b""

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

    def pause_reading(self) -> None:
        """Take no more from the client."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Take from the client again."""
        self._inner.resume_reading()
