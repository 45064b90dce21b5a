"""The codec of `/v1/responses`.

Source: OpenAI API reference, "Create a model response", "The response object" and "Streaming events".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from arbstr_core.types import Endpoint, Feature, LimitField
from arbstr_core.wire._codec import Codec, Names
from arbstr_core.wire._content import TEXT_ONLY, Content, server_tools
from arbstr_core.wire._content_items import look_into_items
from arbstr_core.wire._glimpse import NOT_UNDERSTOOD, Glimpse, is_error, size, text_in
from arbstr_core.wire._json import MalformedJson
from arbstr_core.wire._mended import leniently
from arbstr_core.wire._reading import Asked, Reader, unreadable
from arbstr_core.wire._usage import salvaged

_QUOTE = ord('"')


class _Format(msgspec.Struct):
    type: str = "text"


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Whole(msgspec.Struct):
    """A response, as a body or inside an event."""

    output: Any = None
    status: Any = None
    usage: Any = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Event(msgspec.Struct):
    """An event of a stream, or a whole response: which of them it is, `type` says."""

    type: Any = None
    delta: Any = None
    item: Any = None
    response: _Whole | None = None
    object: Any = None
    output: Any = None
    status: Any = None
    usage: Any = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_EVENT = msgspec.json.Decoder(_Event)
_ENDS = frozenset({"response.completed", "response.incomplete"})
_ERRORS = frozenset({"error", "response.failed"})
_TEXT = ("text", "refusal", "name", "arguments", "input", "code", "transcript")
"""where an item of the output, or a part of one, has text that the model wrote"""


class ResponsesCodec(Codec):
    """`/v1/responses`"""

    endpoint = Endpoint.RESPONSES
    read = frozenset({"model", "provider", "input", "instructions", "stream", "max_output_tokens", "tools", "text"})
    prompt = ("input", "instructions", "tools", "text")

    def asked(self, read: Reader) -> Asked:
        """What is asked for; what the provider has to look up by its id is elsewhere."""
        given = read.raw("input")
        tools = read("tools", list[msgspec.Raw], "a list")
        try:
            content = TEXT_ONLY if given is None or given[0] == _QUOTE else look_into_items(given)
            inside = content.inside | server_tools(read.raw("tools") or b"[]") if tools else content.inside
        except MalformedJson as bad:
            raise unreadable("input or tools", bad) from None
        return Asked(
            stream=read.stream(),
            output_limit=read.tokens("max_output_tokens"),
            features=_features(read, content, bool(tools)),
            content=content,
            inside=inside,
        )

    def limit_names(self, field: LimitField) -> Names:
        """One name."""
        return ("max_output_tokens",), ()

    def glimpses(self) -> Callable[[bytes], Glimpse]:
        """Each event stands for itself; the last one says all of it again."""
        return _glimpse

    def error_event(self, message: str, kind: str, code: str) -> bytes:
        """An event of the type `error`."""
        said = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + msgspec.json.encode(said) + b"\n\n"


def _glimpse(data: bytes) -> Glimpse:
    try:
        event = leniently(_EVENT, data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Glimpse(text_bytes=len(data)) if data.startswith(b"{") else NOT_UNDERSTOOD
    if not isinstance(event.type, str):
        return _of_response(event)
    if isinstance(event.delta, str):
        return Glimpse(size(event.delta), plain=True) if event.type.endswith(".delta") else NOT_UNDERSTOOD
    if event.type in _ENDS or event.type in _ERRORS:
        inner = event.response or _Whole()
        found = salvaged(inner.usage)
        failed = event.type in _ERRORS
        done = not failed
        return Glimpse(usage=found, finished=int(done), error=failed, done=done, all_bytes=_output_bytes(inner.output))
    if event.type == "response.output_item.added" and isinstance(event.item, dict):
        return Glimpse(text_in(event.item.get("name")))
    return NOT_UNDERSTOOD


def _of_response(said: _Event) -> Glimpse:
    """A whole body; `failed` is an error also where no error says so."""
    output = _output_bytes(said.output)
    failed = is_error(said.error) or said.status == "failed"
    ended = said.status in ("completed", "incomplete") or (said.status is None and bool(output))
    return Glimpse(output, usage=salvaged(said.usage), finished=int(ended), error=failed)


def _output_bytes(output: Any) -> int:
    """The bytes of text in the items of an output: each item's own, and that of its parts."""
    shown = 0
    for item in output if isinstance(output, list) else ():
        if isinstance(item, dict):
            shown += _text_of(item)
            for parts in (item.get("content"), item.get("summary")):
                shown += sum(_text_of(part) for part in parts or () if isinstance(part, dict))
    return shown


def _text_of(part: dict[str, Any]) -> int:
    return sum(text_in(part[name]) for name in _TEXT if name in part)


def _features(read: Reader, content: Content, tools: bool) -> frozenset[Feature]:
    needed = set()
    if tools:
        needed.add(Feature.TOOLS)
    text = read("text", _Text, "an object")
    if text is not None and text.format is not None and text.format.type.startswith("json"):
        needed.add(Feature.JSON)
    if content.vision:
        needed.add(Feature.VISION)
    if content.audio:
        needed.add(Feature.AUDIO)
    return frozenset(needed)
