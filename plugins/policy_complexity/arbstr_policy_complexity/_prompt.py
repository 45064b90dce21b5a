"""What of a request the scorer reads: who said what, which tools there are, and whether an answer has a form."""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.api import ChatCall

_MOST_OF_A_TEXT = 3_000
"""characters of one message that are looked at, from its beginning and its end; its length counts in full"""
_LAST = 3
_LAST_OF_USER = 3
"""messages that are looked at at all"""


class Said(msgspec.Struct, frozen=True):
    """One message: its text as far as it is looked at, and how long all of it is."""

    role: str
    text: str
    length: int


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the scorer sees it: the last messages, and the last ones of the user, each with the newest first.

    `length` is that of all text, about; `tools` counts them, `schema` the bytes of the form that an answer must have.
    """

    last: tuple[Said, ...] = ()
    asked: tuple[Said, ...] = ()
    turns: int = 0
    length: int = 0
    tools: int = 0
    schema: int = 0


class _Message(msgspec.Struct):
    role: str | None = None
    content: msgspec.Raw = msgspec.Raw(b"null")


_MESSAGES = msgspec.json.Decoder(list[_Message])
_RAW = msgspec.json.Decoder(list[msgspec.Raw])
_TEXTS = ("messages", "input", "prompt")
_TURNS = frozenset({"user", "assistant", "tool"})


def read(call: ChatCall) -> Prompt:
    """The prompt of `call`; an empty one where it is not to be understood."""
    try:
        said = _messages(call)
        return Prompt(
            last=tuple(map(_said, said[: -_LAST - 1 : -1])),
            asked=tuple(map(_said, [each for each in reversed(said) if each.role == "user"][:_LAST_OF_USER])),
            turns=sum(1 for each in said if each.role in _TURNS),
            length=sum(len(memoryview(each.content)) for each in said),
            tools=_tools(call),
            schema=_schema(call),
        )
    except (msgspec.MsgspecError, RecursionError):
        return Prompt()


def _messages(call: ChatCall) -> list[_Message]:
    raw = next((found for name in _TEXTS if (found := call.raw(name)) is not None), b"null")
    if not raw.startswith(b"["):
        return [_Message("user", msgspec.Raw(raw))]
    try:
        return _MESSAGES.decode(raw)
    except msgspec.ValidationError:
        return [_Message("user", part) for part in _RAW.decode(raw)]


def _said(message: _Message) -> Said:
    raw = memoryview(message.content)
    if len(raw) > 3 * _MOST_OF_A_TEXT:
        # So long a text is not decoded for a few thousand characters of it.
        half = _MOST_OF_A_TEXT // 2
        text = (bytes(raw[:half]) + b"\n" + bytes(raw[-half:])).decode(errors="ignore")
        return Said(message.role or "user", text.replace("\\n", "\n").replace('\\"', '"'), len(raw))
    content = msgspec.json.decode(message.content)
    text = content if isinstance(content, str) else "\n".join(_texts(content))
    return Said(message.role or "user", text, len(text))


def _texts(content: Any) -> list[str]:
    """The texts in a list of parts."""
    parts = content if isinstance(content, list) else [content]
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def _tools(call: ChatCall) -> int:
    raw = call.raw("tools") or call.raw("functions")
    return len(_RAW.decode(raw)) if raw and raw.startswith(b"[") else 0


def _schema(call: ChatCall) -> int:
    raw = call.raw("response_format") or call.raw("text") or b""
    return len(raw) if b"json_schema" in raw else 0
