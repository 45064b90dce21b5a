"""Server-sent events as bytes: framing, and looking at one event.

Source: WHATWG HTML, 9.2 "Server-sent events". Lines end in LF, CRLF or CR; a blank line ends an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from arbstr_core.wire._mended import mended

DONE = b"data: [DONE]\n\n"

_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")


MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """An event is larger than MAX_EVENT_BYTES."""


class SseFramer:
    """Cuts a stream of bytes after whole events, byte for byte, whatever the packets were."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._looked = 0
        """how much of the rest is known to hold no blank line"""

    def feed(self, chunk: bytes) -> bytes:
        """The events that are whole now, each with its blank line; empty where none is."""
        rest = self._rest
        if not rest:
            end = _last_blank(chunk, 0)
            if end < len(chunk):
                self._keep(chunk[end:])
            return chunk[:end]
        # What came of an event is not copied again for each packet of it.
        rest += chunk
        end = _last_blank(rest, self._looked)
        if not end:
            self._keep(b"")
            return b""
        batch = bytes(rest[:end])
        del rest[:end]
        self._keep(b"")
        return batch

    def _keep(self, more: bytes) -> None:
        self._rest += more
        self._looked = max(0, len(self._rest) - 3)
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event is larger than {MAX_EVENT_BYTES} bytes")

    def end(self) -> bytes:
        """What is left at the end of the stream, its blank line added; empty where nothing is."""
        rest, self._rest = bytes(self._rest.strip(b"\r\n")), bytearray()
        return rest + b"\n\n" if rest else b""


def _last_blank(data: bytes | bytearray, start: int) -> int:
    """Where the last blank line ends that does not begin before `start`; 0 where none does."""
    if data.find(b"\r", start) < 0:
        at = data.rfind(b"\n\n", start)
        return at + 2 if at >= 0 else 0
    # A CR at the very end may be the first half of CRLF: wait for the next chunk.
    limit = len(data) - 1 if data.endswith(b"\r") else len(data)
    end = 0
    for blank in _BLANK.finditer(data, start, limit):
        end = blank.end()
    return end


def events_in(batch: bytes) -> Iterator[bytes]:
    """The events of what a framer gave, one by one, each with its blank line."""
    start = 0
    for end in _blanks_in(batch):
        event = batch[start:end].lstrip(b"\r\n")
        if event:
            yield event
        start = end


def _blanks_in(batch: bytes) -> Iterator[int]:
    """Where each blank line ends."""
    if b"\r" in batch:
        for blank in _BLANK.finditer(batch):
            yield blank.end()
        return
    end = 0
    while (found := batch.find(b"\n\n", end)) >= 0:
        end = found + 2
        yield end


def event_data(event: bytes) -> bytes | None:
    """The data of an event: its `data:` lines joined by LF; None where it has none (a comment, an `event:` alone)."""
    if event.startswith(b"data:") and event.count(b"\n") == 2 and b"\r" not in event:
        return event[6:-2] if event[5:6] == b" " else event[5:-2]
    lines = []
    for line in _LINE.split(event):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
    return b"\n".join(lines) if lines else None


def sendable(event: bytes) -> bytes:
    """`event` as clients can take it: with its data and its type alone. Comments, `id:` and `retry:` inside it make
    some of them fail."""
    if event.startswith(b"data:") and event.count(b"\n") == 2 and b"\r" not in event:
        return event
    lines = [line for line in _LINE.split(event) if line]
    kept = [line for line in lines if line.startswith((b"data:", b"event:"))]
    return event if len(kept) == len(lines) else b"\n".join(kept) + b"\n\n"


def broke_off(event: bytes) -> bool:
    """True for what a stream ended in the middle of: its data is neither JSON nor `[DONE]`."""
    data = event_data(event)
    if data is None or data.startswith(b":") or data == b"[DONE]":
        return False
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return mended(data) is None
    return False
