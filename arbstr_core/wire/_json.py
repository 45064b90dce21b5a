"""A JSON object as bytes: where each top-level value stands, and how to change some without touching the rest."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPACE = rb"[ \t\r\n]*"
# A name without a backslash, as nearly all are, is matched in one go, and not letter by letter.
_NAME = rb'"([^"\\]{0,256}+(?=")|(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u]){0,256})"'
_NAMED = _SPACE + _NAME + _SPACE + b":" + _SPACE
_FIRST = re.compile(_NAMED)
_NEXT = re.compile(_SPACE + rb"(?:," + _NAMED + rb"|})")
_AFTER = re.compile(_SPACE + rb"([,}])")
_MOST_KEYS = 256
_PAIRED = re.compile(rb"\\u[dD][89a-fA-F]")
_CUT = ". A text that was cut inside a character (half of a \\ud800\\udc00 is left) cannot be read: cut it elsewhere"

Span = tuple[int, int]


class MalformedJson(ValueError):
    """The bytes are not JSON, or not an object."""


class DuplicateKey(ValueError):
    """A top-level key stands twice: it would be billed one way and served another."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} stands twice")
        self.key = key


def members(body: bytes) -> dict[str, Span]:
    """Each top-level key of a JSON object with the (start, end) of its value in `body`.

    Raises DuplicateKey, or MalformedJson (for more than 256 keys too, or one of more characters than that). The whole
    of `body` is checked, nested values as well.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder does not look into the text of nested values
        raws = _OBJECT.decode(body)
    except msgspec.ValidationError:
        raise MalformedJson("the body is JSON, but not an object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise MalformedJson(f"{bad}{_CUT if _PAIRED.search(body) else ''}") from None
    # The decoder found the values, and lost where they stand and which keys came twice. Walking the text beside it
    # finds both: a value that is not where its key says belongs to a second member of the same name.
    if len(raws) > _MOST_KEYS or (raws and max(map(len, raws)) > _MOST_KEYS):
        raise MalformedJson(f"the object has more than {_MOST_KEYS} keys, or one of more characters than that")
    spans: dict[str, Span] = {}
    found = _FIRST.match(body, body.index(b"{") + 1)
    while found is not None and (name := found[1]) is not None:
        key = msgspec.json.decode(b'"' + name + b'"', type=str) if b"\\" in name else name.decode()
        value = raws[key]
        start = found.end()
        end = start + len(value)
        if key in spans or not body.startswith(value, start):
            raise DuplicateKey(key)
        spans[key] = (start, end)
        found = _NEXT.match(body, end)
        if found is None and _AFTER.match(body, end) is None:
            raise DuplicateKey(key)
    if len(spans) < len(raws):
        # The walk ended before the object did: what it has not seen must not go out unseen.
        raise MalformedJson("a key is written in more characters than are read")
    return spans


def splice(body: bytes, spans: Mapping[str, Span], values: Mapping[str, bytes], without: Collection[str] = ()) -> bytes:
    """`body` with the values of some top-level keys replaced, keys it lacks added in front, and the keys in `without`
    taken out; the rest untouched.

    `spans` is what `members(body)` gave; `values` are JSON.
    """
    gone = [key for key in without if key in spans] if without else ()
    added = [b'"' + key.encode() + b'":' + value for key, value in values.items() if key not in spans]
    changed = [(*spans[key], value) for key, value in values.items() if key in spans and key not in gone]
    start = body.index(b"{") + 1
    kept = len(spans) - len(gone)
    parts = [body[:start]]
    if added:
        parts.append(b",".join(added))
        if kept:
            parts.append(b",")
    if gone:
        changed += _cuts(body, spans, gone)
    for first, last, value in sorted(changed):
        parts += (body[start:first], value)
        start = last
    parts.append(body[start:])
    return b"".join(parts)


def _cuts(body: bytes, spans: Mapping[str, Span], gone: Collection[str]) -> list[tuple[int, int, bytes]]:
    """What to take out for the members in `gone`: with the comma after each, or before those at the end."""
    cuts: list[tuple[int, int, bytes]] = []
    first = body.index(b"{") + 1
    ends = 0
    for key, (_, end) in spans.items():
        after = _AFTER.match(body, end)
        assert after is not None, "a member ends at a comma or a brace"
        comma = after.start(1)
        if key not in gone:
            ends = comma
        elif after[1] == b",":
            cuts.append((first, comma + 1, b""))
        else:
            cuts = [cut for cut in cuts if cut[0] < ends]
            cuts.append((ends, comma, b"") if ends else (body.index(b"{") + 1, comma, b""))
        first = comma + 1
    return cuts
