"""Server-sent events as the standard reads them, and what a client of OpenAI's API makes of them; not by our framer."""

from __future__ import annotations

import json
from typing import Any


def data_of(stream: bytes) -> list[bytes]:
    """The data of each event, as WHATWG HTML 9.2.6 reads a stream; one that the end cuts is no event."""
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    found: list[bytes] = []
    data: list[bytes] = []
    for line in lines[:-1]:
        if not line:
            if data:
                found.append(b"\n".join(data))
            data = []
        elif line.partition(b":")[0] == b"data":
            data.append(line.partition(b":")[2].removeprefix(b" "))
    return found


def view(stream: bytes) -> list[Any]:
    """What a client shows: each document, up to `[DONE]`, or up to an error, which is the last then.

    As strict as the strictest: an `id` or `retry`, an event without data, data that is no JSON, or bytes after
    `[DONE]` break it.
    """
    assert not stream or stream.endswith((b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\n\r", b"\r\n\r"))
    for line in stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        assert line.partition(b":")[0] in (b"data", b"event", b""), line
        assert not line.startswith(b":"), line
    found = data_of(stream)
    shown: list[Any] = []
    for number, data in enumerate(found):
        if data == b"[DONE]":
            assert number == len(found) - 1, "something came after [DONE]"
            return [*shown, "[DONE]"]
        shown.append(json.loads(data))
        if shown[-1].get("error"):
            assert number == len(found) - 1, "something came after an error"
    return shown
