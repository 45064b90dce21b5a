"""JSON of a reply as some providers write it, put right where it is no JSON to the letter.

Python's servers write NaN and half a surrogate pair, and some cut a character's bytes in two. What such a reply reports
counts as any other's does.

Source: RFC 8259, 6, 7 and 8.1; Python's `json`, "Standard Compliance and Interoperability".
"""

from __future__ import annotations

import json
import math
import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

_HALVES = re.compile("[\ud800-\udfff]")
_NO_CHARACTER = "\ufffd"
_MOST_BYTES = 1024 * 1024
"""It takes many times as long as reading what is right, and everybody waits for it."""


def mended(data: bytes) -> bytes | None:
    """The same document as JSON: numbers that are none as null, what is no character as U+FFFD. None where it cannot be
    read at all, or is larger than a megabyte."""
    if len(data) > _MOST_BYTES:
        return None
    try:
        said = json.loads(data.decode(errors="replace"), parse_constant=_nothing, parse_float=_finite)
        text = json.dumps(said, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return _HALVES.sub(_NO_CHARACTER, text).encode()


def leniently(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """What `decoder` makes of `data`, mended where it has to be. Raises what the decoder does."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        whole = mended(data)
        if whole is None:
            raise
    return decoder.decode(whole)


def _nothing(_: str) -> None:
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
