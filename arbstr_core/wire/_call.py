"""From the bytes of a request to a ChatCall: they are kept, and the few fields we need are decoded."""

from __future__ import annotations

from collections.abc import Mapping

from arbstr_core.types import BadRequest, ChatCall, Endpoint
from arbstr_core.wire._chat import ChatCodec, CompletionsCodec, EmbeddingsCodec
from arbstr_core.wire._codec import Codec
from arbstr_core.wire._json import DuplicateKey, MalformedJson, Span, members
from arbstr_core.wire._knobs import read_knobs
from arbstr_core.wire._message_from_chat import MessageFromChat
from arbstr_core.wire._message_to_chat import messages_to_chat
from arbstr_core.wire._messages import MessagesCodec
from arbstr_core.wire._reading import Reader
from arbstr_core.wire._response_from_chat import ResponseFromChat
from arbstr_core.wire._response_to_chat import response_to_chat
from arbstr_core.wire._responses import ResponsesCodec
from arbstr_core.wire._translation import Interpreter, Untranslatable

_MOST_OF_A_NAME = 256
_LARGE_BYTES = 400_000
_MOST_PARTS = 400_000

_CODECS: dict[Endpoint, Codec] = {
    codec.endpoint: codec
    for codec in (ChatCodec(), CompletionsCodec(), EmbeddingsCodec(), ResponsesCodec(), MessagesCodec())
}


def codec_of(endpoint: Endpoint) -> Codec:
    """The words of an endpoint."""
    return _CODECS[endpoint]


def read_call(
    body: bytes,
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
    codec = _CODECS[endpoint]
    _refuse_lookalikes(spans, codec.read)
    read = Reader(body, spans)
    model = _model(read)
    asked = codec.asked(read)
    content = asked.content
    return ChatCall(
        id=call_id,
        endpoint=endpoint,
        model=model,
        body=body,
        members=spans,
        stream=asked.stream,
        include_usage=asked.include_usage,
        output_limit=asked.output_limit,
        choices=asked.choices,
        billed_choices=asked.billed_choices,
        features=asked.features,
        attachments=content.attachments,
        attached_bytes=content.attached_bytes,
        elsewhere=content.elsewhere,
        inside=asked.inside,
        hints=hints,
        knobs=read_knobs(read) if "provider" in spans else None,
        arrived_ms=arrived_ms,
        idempotency_key=idempotency_key,
        tries=tries,
    )


_TO_CHAT = {Endpoint.MESSAGES: messages_to_chat, Endpoint.RESPONSES: response_to_chat}


def translated(call: ChatCall) -> ChatCall | None:
    """The chat that asks for the same as `call`; None where its endpoint is not one that chats stand in for.

    Raises Untranslatable where it asks for what a chat has no word for.
    """
    to_chat = _TO_CHAT.get(call.endpoint)
    if to_chat is None:
        return None
    try:
        return read_call(
            to_chat(call.body),
            call_id=call.id,
            endpoint=Endpoint.CHAT,
            hints=call.hints,
            arrived_ms=call.arrived_ms,
            idempotency_key=call.idempotency_key,
            tries=call.tries,
        )
    except BadRequest as bad:
        raise Untranslatable(str(bad), bad.param or "messages") from None


def interpreter(call: ChatCall) -> Interpreter:
    """What puts the reply of a chat into the words in which `call` was made."""
    return ResponseFromChat(call) if call.endpoint is Endpoint.RESPONSES else MessageFromChat()


def _model(read: Reader) -> str:
    model = read("model", str, "a string")
    if not model:
        raise BadRequest("The request names no model; GET /v1/models lists them", param="model")
    if len(model) > _MOST_OF_A_NAME:
        raise BadRequest(f"model is longer than {_MOST_OF_A_NAME} characters; GET /v1/models lists them", param="model")
    return str(model)


def _refuse_rubble(body: bytes) -> None:
    """Each part of a body is looked at; more of them than any model reads would only keep everyone else waiting."""
    if len(body) > _LARGE_BYTES and body.count(b"{") + body.count(b"[") + body.count(b",") > _MOST_PARTS:
        raise BadRequest(
            f"The request has more than {_MOST_PARTS} commas and brackets, more than any model reads; send less"
        )


def _refuse_lookalikes(spans: Mapping[str, Span], read: frozenset[str]) -> None:
    """Some servers match names without case, and the last one wins: billed one way, served another."""
    for key in spans:
        if key not in read and key.casefold() in read:
            raise BadRequest(f"The request has the field {key!r}; write it {key.casefold()!r}", param=key)
