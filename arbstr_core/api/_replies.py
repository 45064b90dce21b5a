"""What goes to a provider and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import msgspec

from arbstr_core.types import CallFacts, Endpoint, KeyHeader, ReplyCut, Secret
from arbstr_core.wire import EventTooLarge, SseFramer, broke_off, events_in


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a provider. The kernel writes `headers` and `body`; the provider adds `url` and `key`.

    `others` says that there are other candidates: then it is not worth waiting for what only this provider lacks.
    """

    endpoint: Endpoint
    headers: Mapping[str, str]
    body: bytes
    stream: bool = False
    url: str | None = None
    key: Secret | None = None
    key_header: KeyHeader = KeyHeader.AUTHORIZATION
    others: bool = False

    def to(self, url: str, key: Secret | None = None, *, key_header: KeyHeader = KeyHeader.AUTHORIZATION) -> Outbound:
        """A copy addressed to `url`; `key` goes out as a bearer token, or as it is in a header of its own."""
        return msgspec.structs.replace(self, url=url, key=key, key_header=key_header)


Chunks = AsyncIterator[bytes]


class Reply:
    """A provider's reply: status and headers are in, the rest comes as it comes.

    `chunks` are the body's bytes however they arrive. `headers` have lower-case names. A reply is closed exactly
    once by the kernel, whether or not it was read; `close` is awaited then.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        chunks: Chunks,
        *,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self._chunks = chunks
        self._close = close
        self._closed = False

    @classmethod
    def of_json(cls, body: bytes, *, status: int = 200) -> Reply:
        """A reply that is all there: one JSON body."""
        return cls(status, {"content-type": "application/json"}, _one(body))

    @classmethod
    def of_events(cls, chunks: Chunks) -> Reply:
        """A stream of server-sent events, in pieces of any size."""
        return cls(200, {"content-type": "text/event-stream"}, chunks)

    @property
    def streaming(self) -> bool:
        """True where the body is server-sent events, or nothing says what it is: clients of models never ask."""
        kind = self.headers.get("content-type", "").partition(";")[0]
        return kind.strip().lower() in _EVENTS

    @property
    def ended(self) -> bool:
        """True once the whole body is here, read or not, and its connection can serve the next call."""
        return False

    async def batches(self) -> AsyncIterator[bytes]:
        """The whole events that arrived together, as they came; this is what the kernel reads a stream with.

        A last event that lacks its blank line gets one; half an event is none. Raises ReplyCut or ReplyTimedOut when
        the reply breaks off.
        """
        framer = SseFramer()
        async for chunk in self._chunks:
            try:
                batch = framer.feed(chunk)
            except EventTooLarge as large:
                raise ReplyCut(str(large)) from large
            if batch:
                yield batch
        rest = framer.end()
        if rest and not broke_off(rest):
            yield rest

    async def events(self) -> AsyncIterator[Sequence[bytes]]:
        """As `batches`, with each event by itself, byte for byte, and its blank line."""
        async for batch in self.batches():
            events = list(events_in(batch))
            if events:
                yield events

    async def read(self, limit: int) -> bytes:
        """The whole body of a reply that does not stream, at most `limit` bytes; raises ReplyCut beyond that."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self._chunks:
            size += len(chunk)
            if size > limit:
                raise ReplyCut(f"the reply is larger than {limit} bytes")
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def facts(self) -> CallFacts:
        """What the provider knows of the call after its end, beyond what its bytes say: nothing, unless overridden."""
        return CallFacts()

    async def aclose(self) -> None:
        """Let go of the connection; calling it again does nothing."""
        if not self._closed:
            self._closed = True
            if self._close is not None:
                await self._close()


_EVENTS = ("text/event-stream", "text/plain", "")


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body
