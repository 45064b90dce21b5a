"""What translations into the words of a chat, and out of them, have in common."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from arbstr_core.wire._mended import leniently

Json = dict[str, Any]

RAWS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANYTHING = msgspec.json.Decoder()
LISTED = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class Untranslatable(ValueError):
    """The request says something that a chat has no word for; `field` is where."""

    def __init__(self, reason: str, field: str) -> None:
        super().__init__(reason)
        self.field = field


class Interpreter(Protocol):
    """Puts the reply of a chat into other words."""

    def whole(self, body: bytes) -> bytes:
        """A reply that came as one body."""

    def events(self, batch: bytes) -> bytes:
        """Whole events of a stream, as they come; empty where they say nothing new."""

    def last(self) -> bytes:
        """The end of a stream."""


def text_of(raw: Any) -> str:
    """The text in a member; of anything else its JSON."""
    if raw is None:
        return ""
    if isinstance(raw, str):
        return raw
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else bytes(raw).decode()


def document(data: bytes) -> Json:
    """A JSON object; an empty one where it is none."""
    try:
        said = leniently(_ANYTHING, data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def dicts(value: Any) -> list[Json]:
    """The objects in a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
