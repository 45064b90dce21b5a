"""Which part of a prompt is the same as of an earlier one: what a provider's prompt cache goes by.

Checksums, no digests: who makes two prompts collide misleads the estimate of what its own calls cost, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

Mark = tuple[int, int]
"""(how many bytes, their checksum)"""

_FIRST = 1024
"""No shorter beginning is worth anything: caches begin at some hundred tokens."""


def marks(prompt: bytes) -> tuple[Mark, ...]:
    """Checksums of beginnings of `prompt`, each twice as long as the one before, and of the whole, shortest first."""
    found: list[Mark] = []
    view, done, checksum, size = memoryview(prompt), 0, 0, _FIRST
    while size < len(prompt):
        checksum = crc32(view[done:size], checksum)
        found.append((size, checksum))
        done, size = size, size * 2
    if len(prompt) >= _FIRST:
        found.append((len(prompt), crc32(view[done:], checksum)))
    return tuple(found)


def shared_bytes(earlier: Sequence[Mark], prompt: bytes) -> int:
    """How long a beginning `prompt` has in common with the one that `earlier` are the marks of, as far as they tell."""
    view, done, checksum, shared = memoryview(prompt), 0, 0, 0
    for size, expected in earlier:
        if size > len(prompt):
            break
        checksum = crc32(view[done:size], checksum)
        if checksum != expected:
            break
        done = shared = size
    return shared
