"""From an HTTP request to a ChatCall: the bytes are kept, and the few fields we need are decoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arbstr_core.types import BadRequest, ChatCall, Endpoint, Feature
from arbstr_core.wire import Content, DuplicateKey, MalformedJson, Span, look_into, members, server_tools

_MOST_OUTPUT = 100_000_000
_MOST_CHOICES = 128
_MOST_OF_A_NAME = 256
_MOST_OF_A_KEY = 255
_DIGITS = 7
_LARGE_BYTES = 400_000
_MOST_PARTS = 400_000
_READ = frozenset(
    {"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools", "functions"}
    | {"response_format"}
)


class _Format(msgspec.Struct):
    type: str = "text"


class _Options(msgspec.Struct):
    include_usage: bool | None = None


def read_retry(headers: Mapping[str, str]) -> tuple[str | None, int | None]:
    """(the caller's `Idempotency-Key`, how often its SDK has asked before). Raises BadRequest."""
    key = headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _MOST_OF_A_KEY and key.isascii() and key.isprintable()):
        raise BadRequest(f"Idempotency-Key must be 1 to {_MOST_OF_A_KEY} printable ASCII characters")
    count = headers.get("x-stainless-retry-count", "")
    return key, int(count) if count.isascii() and count.isdigit() and len(count) < _DIGITS else None


def _refuse_rubble(body: bytes) -> None:
    """Each part of a body is looked at; more of them than any model reads would only keep everyone else waiting."""
    if len(body) > _LARGE_BYTES and body.count(b"{") + body.count(b"[") + body.count(b",") > _MOST_PARTS:
        raise BadRequest(
            f"The request has more than {_MOST_PARTS} commas and brackets, more than any model reads; send less"
        )


def read_call(
    body: bytes,
    *,
    call_id: str,
    endpoint: Endpoint,
    hints: Mapping[str, str],
    arrived_ms: int,
    idempotency_key: str | None = None,
    tries: int | None = None,
) -> ChatCall:
    """The call that `body` asks for. Raises BadRequest, which names the field."""
    _refuse_rubble(body)
    try:
        spans = members(body)
    except DuplicateKey as twice:
        raise BadRequest(f"The request has the field {twice.key!r} twice; send it once", param=twice.key) from None
    except MalformedJson as bad:
        raise BadRequest(f"The request body is not a JSON object: {bad}") from None
    _refuse_lookalikes(spans)
    read = _Reader(body, spans)
    model = read("model", str, "a string")
    if not model:
        raise BadRequest("The request names no model; GET /v1/models lists them", param="model")
    if len(model) > _MOST_OF_A_NAME:
        raise BadRequest(f"model is longer than {_MOST_OF_A_NAME} characters; GET /v1/models lists them", param="model")
    if "messages" not in spans:
        raise BadRequest("The request has no messages", param="messages")
    messages = body[slice(*spans["messages"])]
    if not messages.startswith(b"["):
        raise BadRequest("messages must be a list", param="messages")
    stream = bool(read("stream", bool, "true or false"))
    tools = read("tools", list[msgspec.Raw], "a list")
    try:
        content = look_into(messages)
        inside = content.inside | server_tools(read.raw("tools")) if tools else content.inside
    except MalformedJson as bad:
        raise BadRequest(f"The messages or tools cannot be read: {bad}", param="messages") from None
    return ChatCall(
        id=call_id,
        endpoint=endpoint,
        model=model,
        body=body,
        members=spans,
        stream=stream,
        include_usage=_wants_usage(read) and stream,
        output_limit=_output_limit(read),
        choices=_choices(read),
        features=_features(read, content, bool(tools)),
        attachments=content.attachments,
        attached_bytes=content.attached_bytes,
        elsewhere=content.elsewhere,
        inside=inside,
        hints=hints,
        arrived_ms=arrived_ms,
        idempotency_key=idempotency_key,
        tries=tries,
    )


def _refuse_lookalikes(spans: Mapping[str, Span]) -> None:
    """Some servers match names without case, and the last one wins: billed one way, served another."""
    for key in spans:
        if key not in _READ and key.casefold() in _READ:
            raise BadRequest(f"The request has the field {key!r}; write it {key.casefold()!r}", param=key)


class _Reader:
    """Decodes one top-level member; null counts as absent."""

    def __init__(self, body: bytes, spans: Mapping[str, Span]) -> None:
        self._body = body
        self._spans = spans

    def raw(self, key: str) -> bytes:
        """The JSON of a member that is there."""
        start, end = self._spans[key]
        return self._body[start:end]

    def __call__(self, key: str, kind: Any, what: str) -> Any:
        span = self._spans.get(key)
        if span is None:
            return None
        raw = self._body[span[0] : span[1]]
        if raw == b"null":
            return None
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.MsgspecError:
            shown = raw[:40].decode(errors="replace")
            raise BadRequest(f"{key} must be {what}, not {shown}", param=key) from None


def _wants_usage(read: _Reader) -> bool:
    options = read("stream_options", _Options, "an object with include_usage")
    if options is not None:
        try:
            members(read.raw("stream_options"))
        except ValueError as bad:
            raise BadRequest(f"stream_options: {bad}", param="stream_options") from None
    return bool(options and options.include_usage)


def _output_limit(read: _Reader) -> int | None:
    """The caller's limit in tokens: the smaller of the two names it has."""
    limits = []
    for key in ("max_tokens", "max_completion_tokens"):
        limit = read(key, int, "a whole number of tokens")
        if limit is not None:
            if not 1 <= limit <= _MOST_OUTPUT:
                raise BadRequest(f"{key} must be from 1 to {_MOST_OUTPUT}, not {limit}", param=key)
            limits.append(limit)
    return min(limits) if limits else None


def _choices(read: _Reader) -> int:
    choices = read("n", int, "a whole number")
    if choices is None:
        return 1
    if not 1 <= choices <= _MOST_CHOICES:
        raise BadRequest(f"n must be from 1 to {_MOST_CHOICES}, not {choices}", param="n")
    return int(choices)


def _features(read: _Reader, content: Content, tools: bool) -> frozenset[Feature]:
    """What the call needs beyond text."""
    needed = set()
    if tools or read("functions", list[msgspec.Raw], "a list"):
        needed.add(Feature.TOOLS)
    form = read("response_format", _Format, "an object with a type")
    if form is not None and form.type.startswith("json"):
        needed.add(Feature.JSON)
    if content.vision:
        needed.add(Feature.VISION)
    if content.audio:
        needed.add(Feature.AUDIO)
    return frozenset(needed)
