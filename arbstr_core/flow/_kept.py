"""An answer as it goes out, kept for whoever asks for it again.

Most are never asked for, and every stream that runs is kept so: what has come is packed, bit by bit. The events of a
stream differ in a few bytes, so that its first ones as a dictionary make the others a thirtieth of their size.
"""

from __future__ import annotations

import zlib

_LOOSE_BYTES = 4096
"""What is packed at a time: more waits for longer, less packs worse"""
_WORDS_BYTES = 512
_FAST = 1
_RAW = -zlib.MAX_WBITS


class KeptAnswer:
    """Remembers an answer of at most `most` bytes; of a larger one nothing."""

    __slots__ = ("_loose", "_loose_bytes", "_packed", "_room", "_words")

    def __init__(self, most: int) -> None:
        self._room = most
        self._packed: list[bytes] = []
        self._words = b""
        self._loose: list[bytes] = []
        self._loose_bytes = 0

    def add(self, part: bytes) -> None:
        """Remember a part. One that comes alone, as a whole body does, is left as it is."""
        if self._room < 0:
            return
        self._room -= len(part)
        if self._room < 0:
            self._loose, self._packed, self._loose_bytes, self._words = [], [], 0, b""
            return
        if self._loose_bytes > _LOOSE_BYTES:
            self._pack()
        self._loose.append(part)
        self._loose_bytes += len(part)

    def _pack(self) -> None:
        whole = b"".join(self._loose)
        packer = zlib.compressobj(_FAST, zlib.DEFLATED, _RAW, zdict=self._words)
        self._packed.append(packer.compress(whole) + packer.flush())
        self._words = self._words or whole[-_WORDS_BYTES:]
        self._loose, self._loose_bytes = [], 0

    @property
    def held_bytes(self) -> int:
        """What it takes of memory, but for what Python adds to each part."""
        return self._loose_bytes + len(self._words) + sum(map(len, self._packed))

    def whole(self, end: bytes) -> bytes | None:
        """All of it, and `end`; None where it is too large to be kept."""
        if self._room < 0:
            return None
        parts: list[bytes] = []
        words = b""
        for packed in self._packed:
            part = zlib.decompressobj(_RAW, zdict=words).decompress(packed)
            words = words or part[-_WORDS_BYTES:]
            parts.append(part)
        return b"".join([*parts, *self._loose, end])
