"""The codec of Anthropic's `/v1/messages`.

Source: Anthropic API reference, "Messages", "Streaming Messages" and "Errors".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from arbstr_core.types import BadRequest, ChatCall, Endpoint, Feature, LimitField, Usage
from arbstr_core.wire._codec import Codec, Names
from arbstr_core.wire._content import Content
from arbstr_core.wire._content_items import client_tools, look_into_blocks
from arbstr_core.wire._glimpse import NOT_UNDERSTOOD, Glimpse, is_error, text_in
from arbstr_core.wire._json import MalformedJson
from arbstr_core.wire._mended import leniently
from arbstr_core.wire._reading import Asked, Reader, unreadable
from arbstr_core.wire._usage import salvaged

_LIST, _LIST_OR_TEXT = b"[", b'["'
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_TEXT = ("text", "thinking", "name", "partial_json")
"""where a block, or a delta of one, has text that the model wrote; a tool's input beside it"""


class _Event(msgspec.Struct):
    """An event of a stream, or a whole message: which of them it is, `type` says."""

    type: Any = None
    message: Any = None
    content_block: Any = None
    delta: Any = None
    content: Any = None
    stop_reason: Any = None
    usage: Any = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_EVENT = msgspec.json.Decoder(_Event)


class MessagesCodec(Codec):
    """`/v1/messages`"""

    endpoint = Endpoint.MESSAGES
    read = frozenset(
        {"model", "provider", "messages", "system", "max_tokens", "stream", "tools", "output_format", "output_config"}
    )
    prompt = ("messages", "system", "tools", "output_format", "output_config")
    done = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    def nothing(self, call: ChatCall) -> bytes:
        """A ping."""
        return b'event: ping\ndata: {"type":"ping"}\n\n'

    def asked(self, read: Reader) -> Asked:
        """What is asked for. The limit of output is no choice here."""
        messages = read.needed("messages", _LIST, "a list")
        limit = read.tokens("max_tokens")
        if limit is None:
            raise BadRequest("The request has no max_tokens", param="max_tokens")
        system = read.needed("system", _LIST_OR_TEXT, "text, or a list") if read.raw("system") else None
        tools = read("tools", list[msgspec.Raw], "a list")
        try:
            content = look_into_blocks(messages, system)
            inside = content.inside | client_tools(read.raw("tools") or b"[]") if tools else content.inside
        except MalformedJson as bad:
            raise unreadable("messages or tools", bad) from None
        return Asked(
            stream=read.stream(),
            output_limit=limit,
            features=_features(read, content, bool(tools)),
            content=content,
            inside=inside,
        )

    def limit_names(self, field: LimitField) -> Names:
        """One name."""
        return ("max_tokens",), ()

    def glimpses(self) -> Callable[[bytes], Glimpse]:
        """The first event has the input, the last but one the output: they are read as one."""
        return _Reply().glimpse

    def error_event(self, message: str, kind: str, code: str) -> bytes:
        """An event of the type `error`."""
        error = {"message": message, "type": kind, "param": None, "code": code}
        return b"event: error\ndata: " + self.error_body(error) + b"\n\n"

    def error_body(self, error: Mapping[str, Any], *, status: int = 500) -> bytes:
        """Anthropic's shape and its types by status; what else we say stands beside them."""
        kind = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        return msgspec.json.encode({"type": "error", "error": {**error, "type": kind}})


class _Reply:
    """What one reply has said of its usage so far."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}

    def glimpse(self, data: bytes) -> Glimpse:
        """Look at a body, or at the next event."""
        try:
            event = leniently(_EVENT, data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Glimpse(text_bytes=len(data)) if data.startswith(b"{") else NOT_UNDERSTOOD
        match event.type:
            case "message":
                ended = int(event.stop_reason is not None)
                return Glimpse(_blocks_bytes(event.content), usage=self._usage(event.usage), finished=ended)
            case "message_start":
                usage = event.message.get("usage") if isinstance(event.message, dict) else None
                return Glimpse(usage=self._usage(usage))
            case "content_block_start":
                return Glimpse(_blocks_bytes([event.content_block]))
            case "content_block_delta":
                return Glimpse(_block_bytes(event.delta), plain=True)
            case "message_delta":
                stopped = isinstance(event.delta, dict) and event.delta.get("stop_reason") is not None
                return Glimpse(usage=self._usage(event.usage), finished=int(stopped))
            case "message_stop":
                return Glimpse(done=True)
            case _:
                return Glimpse(error=event.type == "error" or is_error(event.error))

    def _usage(self, said: Any) -> Usage | None:
        """Counts are of the whole so far; one that is not named again still holds."""
        if not isinstance(said, dict):
            return None
        self._said |= {name: count for name, count in said.items() if count is not None}
        return salvaged(self._said)


def _blocks_bytes(blocks: Any) -> int:
    return sum(map(_block_bytes, blocks)) if isinstance(blocks, list) else 0


def _block_bytes(block: Any) -> int:
    if not isinstance(block, dict):
        return 0
    shown = sum(text_in(block[name]) for name in _TEXT if name in block)
    given = block.get("input")
    return shown + (len(msgspec.json.encode(given)) if given else 0)


def _features(read: Reader, content: Content, tools: bool) -> frozenset[Feature]:
    needed = set()
    if tools:
        needed.add(Feature.TOOLS)
    config = read("output_config", dict[str, Any], "an object") or {}
    if read("output_format", dict[str, Any], "an object") or config.get("format"):
        needed.add(Feature.JSON)
    if content.vision:
        needed.add(Feature.VISION)
    return frozenset(needed)
