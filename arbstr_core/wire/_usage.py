"""What an OpenAI reply says: usage wherever it hides, how much text it shows, whether it is an error.

Source: OpenAI API reference, "The chat completion object" and "The chat completion chunk object".
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from arbstr_core.types import Usage

_NoText = Annotated[str, msgspec.Meta(max_length=0)] | None
_NoList = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)] | None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Groq(msgspec.Struct):
    usage: _Usage | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None
    custom: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Text(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    audio: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    reasoning_details: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Choice(msgspec.Struct):
    delta: _Text | None = None
    message: _Text | None = None
    finish_reason: str | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    x_groq: _Groq | None = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _PlainText(msgspec.Struct, gc=False):
    """What shows content alone; anything else makes it another type."""

    content: str | None = None
    reasoning_content: _NoText = None
    reasoning: _NoText = None
    refusal: _NoText = None
    tool_calls: _NoList = None
    function_call: None = None
    audio: None = None
    reasoning_details: _NoList = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainText
    message: None = None
    finish_reason: None = None


class _PlainReply(msgspec.Struct, gc=False):
    choices: tuple[_PlainChoice]
    usage: None = None
    x_groq: None = None
    error: None = None


class _Loose(msgspec.Struct):
    """A reply of which some part is not of OpenAI's types."""

    choices: Any = None
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Glimpse(msgspec.Struct, frozen=True):
    """What one body or one chunk shows.

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


_REPLY = msgspec.json.Decoder(_Reply)
_PLAIN = msgspec.json.Decoder(list[_PlainReply])
_LOOSE = msgspec.json.Decoder(_Loose)
_LAX_USAGE = msgspec.json.Decoder(_Usage, strict=False)
_NOT_UNDERSTOOD = Glimpse()
_EVENT = b"data: "
_NEXT_EVENT = b"\n\n" + _EVENT
_MARK_OF_LAST = re.compile(rb'\[DONE]|"usage":\{|_reason":"')
_MOST_LAST_EVENTS = 3


def glimpse(data: bytes) -> Glimpse:
    """Look at a reply's JSON (a whole body, or the data of one event). What is no OpenAI reply shows nothing."""
    try:
        reply = _REPLY.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _salvage(data)
    return _glimpse(reply)


def plain_text(batch: bytes) -> tuple[int, int]:
    """How far a batch of events goes that show one choice's content and nothing else, and the bytes of that text.

    They are read together, at a fraction of what each costs by itself; (0, 0) where that is not possible.
    """
    end = _end_of_plain(batch)
    if not batch.startswith(_EVENT):
        return 0, 0
    array = b"[" + batch[len(_EVENT) : end].replace(_NEXT_EVENT, b",") + b"]"
    try:
        replies = _PLAIN.decode(array)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0, 0
    # Each joint made it shorter; where that does not tell as many as were read, an event holds two documents.
    joints = (end - len(_EVENT) + 2 - len(array)) // (len(_NEXT_EVENT) - 1)
    if len(replies) != joints + 1:
        return 0, 0
    return end, _size("".join([reply.choices[0].delta.content or "" for reply in replies]))


def _end_of_plain(batch: bytes) -> int:
    """The end of `batch` without the few events that end a stream: they say more than text."""
    end = len(batch)
    for _ in range(_MOST_LAST_EVENTS):
        start = batch.rfind(b"\n\n", 0, max(end - 2, 0)) + 2
        if start < 2 or _MARK_OF_LAST.search(batch, start, end) is None:
            break
        end = start
    return end


def _glimpse(reply: _Reply) -> Glimpse:
    size = finished = 0
    choices = reply.choices or ()
    for choice in choices:
        text = choice.delta or choice.message
        if text is not None:
            size += _shown(text)
        if choice.finish_reason is not None:
            finished += 1
    usage = reply.usage or (reply.x_groq and reply.x_groq.usage)
    if not usage and not finished and choices and reply.error is msgspec.UNSET:
        return Glimpse(size, True)
    return Glimpse(
        size,
        usage=_read(usage) if usage else None,
        choices=None if reply.choices is None else len(reply.choices),
        finished=finished,
        error=reply.error is not msgspec.UNSET and bytes(reply.error) not in _NO_ERROR,
    )


_NO_ERROR = (b"null", b"{}", b'""', b"false")


def _salvage(data: bytes) -> Glimpse:
    """Look at a reply of which some part is not of OpenAI's types: each part by itself, and only text as text."""
    try:
        reply = _LOOSE.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Glimpse(text_bytes=len(data)) if data.startswith(b"{") else _NOT_UNDERSTOOD
    choices = [each for each in reply.choices if isinstance(each, dict)] if isinstance(reply.choices, list) else []
    usage = None
    if reply.usage is not msgspec.UNSET:
        try:
            usage = _read(_LAX_USAGE.decode(reply.usage))
        except msgspec.MsgspecError:
            usage = None
    return Glimpse(
        sum(_text_in(choice.get("delta") or choice.get("message")) for choice in choices),
        usage=usage,
        choices=len(choices) if isinstance(reply.choices, list) else None,
        finished=sum(choice.get("finish_reason") is not None for choice in choices),
        error=reply.error is not msgspec.UNSET and bytes(reply.error) not in _NO_ERROR,
    )


_NO_TEXT = frozenset({"id", "type", "role", "index", "object", "format"})


def _text_in(value: Any) -> int:
    """The bytes of all text in a JSON value, but for what only names a part of it."""
    if isinstance(value, str):
        return _size(value)
    if isinstance(value, list):
        return sum(map(_text_in, value))
    if isinstance(value, dict):
        return sum(_text_in(part) for name, part in value.items() if name not in _NO_TEXT)
    return 0


def _raw_text(raw: msgspec.Raw | msgspec.UnsetType) -> int:
    return 0 if raw is msgspec.UNSET else _text_in(msgspec.json.decode(raw))


def _shown(text: _Text) -> int:
    """The bytes of text that a message or a part of one shows."""
    size = sum(_size(part) for part in (text.content, text.reasoning_content, text.reasoning, text.refusal) if part)
    size += _raw_text(text.audio) + _raw_text(text.reasoning_details)
    functions = [text.function_call]
    for call in text.tool_calls or ():
        functions.append(call.function)
        size += _raw_text(call.custom)
    return size + sum(_size(f.name or "") + _size(f.arguments or "") for f in functions if f is not None)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _read(usage: _Usage) -> Usage | None:
    """OpenAI counts reasoning inside completion tokens, others only in the total: the larger of the two is output."""
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    given = max(usage.prompt_tokens or 0, 0)
    output = max(usage.completion_tokens or 0, (usage.total_tokens or 0) - given, 0)
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    return Usage(input_tokens=given, cached_input_tokens=min(max(cached or 0, 0), given), output_tokens=output)
