"""What one body or one event of a reply shows, in whatever words its endpoint speaks; and the counting of its text."""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.types import Usage


class Glimpse(msgspec.Struct, frozen=True):
    """What one body or one event shows.

    `text_bytes` counts the bytes of text it shows (content, reasoning, refusal, tool calls), in UTF-8. `plain` is
    true where there is nothing else to say of it. `choices` is how many it has, None where it has no list of them;
    `finished` how many of those said why they ended.
    """

    text_bytes: int = 0
    plain: bool = False
    usage: Usage | None = None
    choices: int | None = None
    finished: int = 0
    error: bool = False
    done: bool = False
    """it is the event that ends the stream"""
    all_bytes: int = 0
    """the bytes of all text of the reply, where it says all of it once more"""


NOT_UNDERSTOOD = Glimpse()

_NO_ERROR = (b"null", b"{}", b'""', b"false")
_NO_TEXT = frozenset({"id", "type", "role", "index", "object", "format"})


def is_error(raw: msgspec.Raw | msgspec.UnsetType) -> bool:
    """True where the member `error` of a reply says that there is one."""
    return raw is not msgspec.UNSET and bytes(raw) not in _NO_ERROR


def size(text: str) -> int:
    """Its bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def text_in(value: Any) -> int:
    """The bytes of all text in a JSON value, but for what only names a part of it, or is no text."""
    if isinstance(value, str):
        return size(value)
    if isinstance(value, list):
        return sum(map(text_in, value))
    if isinstance(value, dict):
        return sum(text_in(part) for name, part in value.items() if name not in _NO_TEXT)
    return 0


def raw_text(raw: msgspec.Raw | msgspec.UnsetType) -> int:
    """The same for a part that was not decoded."""
    return 0 if raw is msgspec.UNSET else text_in(msgspec.json.decode(raw))
