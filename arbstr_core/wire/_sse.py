"""Server-sent events as bytes: framing, and looking at one event.

Source: WHATWG HTML, 9.2 "Server-sent events". Lines end in LF, CRLF or CR; a blank line ends an event.
"""

from __future__ import annotations

import re

DONE = b"data: [DONE]\n\n"

_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")


MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """An event is larger than MAX_EVENT_BYTES."""


class SseFramer:
    """Cuts a stream of bytes into whole events, byte for byte, whatever the packets were."""

    def __init__(self) -> None:
        self._rest = b""
        self._looked = 0
        """how much of the rest is known to hold no blank line"""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that are whole now, each with its blank line."""
        data = self._rest + chunk if self._rest else chunk
        if b"\r" not in data:
            parts = data.split(b"\n\n")
            events = [part + b"\n\n" for part in parts[:-1] if part.strip(b"\n")]
            rest = parts[-1]
        else:
            events, rest = self._split(data)
        if len(rest) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        self._rest = rest
        self._looked = 0 if events else max(0, len(rest) - 3)
        return events

    def _split(self, data: bytes) -> tuple[list[bytes], bytes]:
        # A CR at the very end may be the first half of CRLF: wait for the next chunk.
        events, start = [], 0
        limit = len(data) - 1 if data.endswith(b"\r") else len(data)
        for blank in _BLANK.finditer(data, self._looked, limit):
            event = data[start : blank.end()]
            if event.strip(b"\r\n"):
                events.append(event)
            start = blank.end()
        return events, data[start:]

    def end(self) -> list[bytes]:
        """What is left at the end of the stream, its blank line added; nothing where nothing is."""
        rest, self._rest = self._rest.strip(b"\r\n"), b""
        return [rest + b"\n\n"] if rest else []


def event_data(event: bytes) -> bytes | None:
    """The data of an event: its `data:` lines joined by LF; None where it has none (a comment, an `event:` alone)."""
    if event.startswith(b"data:") and event.count(b"\n") == 2 and b"\r" not in event:
        return event[6:-2] if event[5:6] == b" " else event[5:-2]
    lines = []
    for line in _LINE.split(event):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
    return b"\n".join(lines) if lines else None
