"""Reads a request's body: whole, and within a bound. A client that sends nothing more is the protocol's to notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

from arbstr_core.types import BadRequest, BodyTooLarge, UnsupportedMedia
from arbstr_core.web._asgi import Receive
from arbstr_core.web._encodings import TooMuch, UnknownEncoding, Unreadable, encodings, unpacked


class ClientGone(Exception):
    """The client went away before its request was whole."""


def read_body(headers: Mapping[str, str], receive: Receive, most: int, bound: str) -> Awaitable[bytes]:
    """The body, at most `most` bytes as it comes and as it is unpacked; `bound` is what sets that, for the message.
    `headers` are those of `header_map`.

    Raises BodyTooLarge, UnsupportedMedia, BadRequest, or ClientGone.
    """
    encoding = headers.get("content-encoding")
    if encoding is None:
        return _whole(headers, receive, most, bound)
    return _unpacked(encoding, headers, receive, most, bound)


async def _unpacked(encoding: str, headers: Mapping[str, str], receive: Receive, most: int, bound: str) -> bytes:
    try:
        packed = encodings(encoding)
    except UnknownEncoding as unknown:
        known = "gzip, deflate, br or zstd"
        raise UnsupportedMedia(f"A body in content-encoding {unknown} is not read; send it as {known}") from None
    body = await _whole(headers, receive, most, bound)
    try:
        # In a thread: what unpacks to a lot keeps nobody else waiting.
        return await asyncio.to_thread(unpacked, body, packed, most) if packed else body
    except TooMuch:
        raise _too_large(most, bound) from None
    except Unreadable as bad:
        raise BadRequest(f"The body cannot be unpacked: {bad}") from None


async def _whole(headers: Mapping[str, str], receive: Receive, most: int, bound: str) -> bytes:
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most, bound)
    message = await receive()
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most, bound)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
        message = await receive()


def _too_large(most: int, bound: str) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {most} bytes ({bound})")
