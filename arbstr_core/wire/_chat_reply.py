"""What a chat reply says: usage wherever it hides, how much text it shows, whether it is an error. A completion's, too.

Source: OpenAI API reference, "The chat completion object", "The chat completion chunk object" and "The completion
object". Groq has its usage in `x_groq`, Moonshot in the last choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from arbstr_core.wire._glimpse import NOT_UNDERSTOOD, Glimpse, is_error, raw_text, size, text_in
from arbstr_core.wire._mended import leniently
from arbstr_core.wire._usage import Tokens, salvaged

_NoText = Annotated[str, msgspec.Meta(max_length=0)] | None
_NoList = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)] | None


class _Groq(msgspec.Struct):
    usage: Tokens | None = None


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
    text: str | None = None
    finish_reason: str | None = None
    usage: Tokens | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Tokens | None = None
    x_groq: _Groq | None = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _PlainText(msgspec.Struct, gc=False):
    """What shows content alone; anything else makes it another type."""

    content: str | None = None
    role: None = None
    reasoning_content: _NoText = None
    reasoning: _NoText = None
    refusal: _NoText = None
    tool_calls: _NoList = None
    function_call: None = None
    audio: None = None
    reasoning_details: _NoList = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainText
    index: Literal[0] = 0
    message: None = None
    finish_reason: None = None
    usage: None = None


class _PlainReply(msgspec.Struct, gc=False):
    choices: tuple[_PlainChoice]
    usage: None = None
    x_groq: None = None
    error: None = None


class _FirstText(_PlainText, gc=False):
    """The same, where the role may be said: in the first event of a stream."""

    role: str | None = None  # type: ignore[assignment]  # wider, for the decoder alone


class _FirstChoice(_PlainChoice, gc=False):
    delta: _FirstText


class _FirstReply(_PlainReply, gc=False):
    choices: tuple[_FirstChoice]


class _Loose(msgspec.Struct):
    """A reply of which some part is not of OpenAI's types."""

    choices: Any = None
    usage: Any = None
    x_groq: Any = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_REPLY = msgspec.json.Decoder(_Reply)
_PLAIN = msgspec.json.Decoder(list[_PlainReply])
_FIRST = msgspec.json.Decoder(list[_FirstReply])
_LOOSE = msgspec.json.Decoder(_Loose)
_EVENT = b"data: "
_NEXT_EVENT = b"\n\n" + _EVENT
_MARK_OF_LAST = re.compile(rb'\[DONE]|"usage":\{|_reason":"')
_MOST_LAST_EVENTS = 3


def glimpse(data: bytes) -> Glimpse:
    """Look at a reply's JSON (a whole body, or the data of one event). What is no OpenAI reply shows nothing."""
    try:
        reply = leniently(_REPLY, data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _salvage(data)
    return _glimpse(reply)


def plain_text(batch: bytes, first: bool = False) -> tuple[int, int]:
    """How far a batch of events goes that show one choice's content and nothing else, and the bytes of that text. The
    `first` event of a stream may say the role as well.

    They are read together, at a fraction of what each costs by itself; (0, 0) where that is not possible.
    """
    end = _end_of_plain(batch)
    if not batch.startswith(_EVENT):
        return 0, 0
    array = b"[" + batch[len(_EVENT) : end].replace(_NEXT_EVENT, b",") + b"]"
    try:
        replies: Sequence[_PlainReply] = _FIRST.decode(array) if first else _PLAIN.decode(array)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0, 0
    # Each joint made it shorter; where that does not tell as many as were read, an event holds two documents.
    joints = (end - len(_EVENT) + 2 - len(array)) // (len(_NEXT_EVENT) - 1)
    if len(replies) != joints + 1:
        return 0, 0
    if first and any([reply.choices[0].delta.role for reply in replies[1:]]):  # noqa: C419 - a list is faster
        return 0, 0
    return end, size("".join([reply.choices[0].delta.content or "" for reply in replies]))


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
    shown = finished = 0
    usage = reply.usage or (reply.x_groq and reply.x_groq.usage)
    choices = reply.choices or ()
    for choice in choices:
        text = choice.delta or choice.message
        if text is not None:
            shown += _shown(text)
        if choice.text:
            shown += size(choice.text)
        if choice.finish_reason:
            finished += 1
        if choice.usage is not None and usage is None:
            usage = choice.usage
    if not usage and not finished and choices and reply.error is msgspec.UNSET:
        return Glimpse(shown, True)
    return Glimpse(
        shown,
        usage=usage.usage() if usage else None,
        choices=None if reply.choices is None else len(reply.choices),
        finished=finished,
        error=is_error(reply.error),
    )


def _salvage(data: bytes) -> Glimpse:
    """Look at a reply of which some part is not of OpenAI's types: each part by itself, and only text as text."""
    try:
        reply = leniently(_LOOSE, data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Glimpse(text_bytes=len(data)) if data.startswith(b"{") else NOT_UNDERSTOOD
    choices = [each for each in reply.choices if isinstance(each, dict)] if isinstance(reply.choices, list) else []
    groq = reply.x_groq.get("usage") if isinstance(reply.x_groq, dict) else None
    usages = (salvaged(each) for each in (reply.usage, groq, *(choice.get("usage") for choice in choices)))
    return Glimpse(
        sum(text_in(choice.get("delta") or choice.get("message") or choice.get("text")) for choice in choices),
        usage=next((usage for usage in usages if usage is not None), None),
        choices=len(choices) if isinstance(reply.choices, list) else None,
        finished=sum(bool(choice.get("finish_reason")) for choice in choices),
        error=is_error(reply.error),
    )


def _shown(text: _Text) -> int:
    """The bytes of text that a message or a part of one shows."""
    shown = 0
    for part in (text.content, text.reasoning_content, text.reasoning, text.refusal):
        if part:
            shown += size(part)
    if text.audio is not msgspec.UNSET or text.reasoning_details is not msgspec.UNSET:
        shown += raw_text(text.audio) + raw_text(text.reasoning_details)
    if text.function_call is None and not text.tool_calls:
        return shown
    functions = [text.function_call]
    for call in text.tool_calls or ():
        functions.append(call.function)
        shown += raw_text(call.custom)
    return shown + sum(size(f.name or "") + size(f.arguments or "") for f in functions if f is not None)
