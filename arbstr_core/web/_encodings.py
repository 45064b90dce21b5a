"""Unpacks the bodies of requests that clients send packed, never to more than a bound.

Sources: RFC 9110, 8.4 (gzip, deflate, br as content codings); RFC 9659 (zstd, and its window of at most 8 MiB).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import brotli
import zstandard

_PIECE_BYTES = 2**16
_ZSTD_WINDOW = 2**23
_MOST_ENCODINGS = 2
_GZIP, _ZLIB = 31, 15
"""zlib's names for what stands around the data"""


class Unreadable(Exception):
    """The body is not what its encoding says."""


class TooMuch(Exception):
    """The body unpacks to more than is allowed."""


class UnknownEncoding(Exception):
    """The body is packed in a way that is not known here."""


def encodings(header: str) -> list[str]:
    """How a body is packed, the last way first: in that order it is unpacked. Raises UnknownEncoding."""
    named = [name.strip().lower() for name in header.split(",")]
    packed = [name.removeprefix("x-") for name in named if name not in ("", "identity")]
    unknown = [name for name in packed if name not in _UNPACK]
    if unknown or len(packed) > _MOST_ENCODINGS:
        raise UnknownEncoding(", ".join(unknown or packed))
    return packed[::-1]


def unpacked(body: bytes, packed: list[str], most: int) -> bytes:
    """`body` without the encodings in `packed`. Raises TooMuch beyond `most` bytes, and Unreadable."""
    for name in packed:
        parts: list[bytes] = []
        size = 0
        try:
            for part in _UNPACK[name](body):
                size += len(part)
                if size > most:
                    raise TooMuch
                parts.append(part)
        except (zlib.error, brotli.error, zstandard.ZstdError) as bad:
            raise Unreadable(f"it is no {name}: {bad}") from None
        body = b"".join(parts)
    return body


def _gzip(body: bytes) -> Iterator[bytes]:
    """One member after the other."""
    while True:
        opened = zlib.decompressobj(_GZIP)
        yield from _inflated(opened, body)
        body = opened.unused_data
        if not body:
            return


def _deflate(body: bytes) -> Iterator[bytes]:
    yield from _inflated(zlib.decompressobj(_ZLIB), body)


def _inflated(opened: zlib._Decompress, body: bytes) -> Iterator[bytes]:
    while not opened.eof:
        part = opened.decompress(body, _PIECE_BYTES)
        body = opened.unconsumed_tail
        if not part and not body and not opened.eof:
            raise Unreadable("it ends in the middle")
        yield part


def _brotli(body: bytes) -> Iterator[bytes]:
    opened = brotli.Decompressor()
    while not opened.is_finished():
        part = opened.process(body, output_buffer_limit=_PIECE_BYTES)
        body = b""
        if not part and not opened.is_finished():
            raise Unreadable("it ends in the middle")
        yield part


def _zstd(body: bytes) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(body, read_across_frames=True)
    while part := reader.read(_PIECE_BYTES):
        yield part


_UNPACK: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
