"""The codecs of `/v1/chat/completions`, `/v1/completions` and `/v1/embeddings`.

Source: OpenAI API reference, "Create chat completion", "Create completion" and "Create embeddings".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from arbstr_core.types import BadRequest, ChatCall, Endpoint, Feature, LimitField
from arbstr_core.wire._chat_reply import glimpse, plain_text
from arbstr_core.wire._codec import Codec, Names
from arbstr_core.wire._content import TEXT_ONLY, Content, look_into, server_tools
from arbstr_core.wire._glimpse import NOT_UNDERSTOOD, Glimpse, is_error
from arbstr_core.wire._json import MalformedJson, members
from arbstr_core.wire._mended import leniently
from arbstr_core.wire._reading import Asked, Reader, unreadable
from arbstr_core.wire._sse import DONE
from arbstr_core.wire._usage import salvaged

_LIST, _LIST_OR_TEXT = b"[", b'["'
_OUTPUT_OF_COMPLETIONS = 16
"""What a completion gets that asks for no limit, by OpenAI's reference."""


class _Format(msgspec.Struct):
    type: str = "text"


class ChatCodec(Codec):
    """`/v1/chat/completions`"""

    endpoint = Endpoint.CHAT
    read = frozenset(
        {
            "model",
            "provider",
            "messages",
            "stream",
            "stream_options",
            "max_tokens",
            "max_completion_tokens",
            "n",
            "tools",
        }
        | {"functions", "response_format"}
    )
    prompt = ("messages", "tools", "functions", "response_format")
    asks_usage = True
    done = DONE
    done_mark = True
    tidied = True

    def nothing(self, call: ChatCall) -> bytes:
        """A chunk whose delta is empty."""
        return _empty_chunk(call, "chat.completion.chunk", {"delta": {}})

    def aside(self, call: ChatCall, said: Mapping[str, Any]) -> bytes:
        """A chunk without choices."""
        return _chunk(call, "chat.completion.chunk", [], arbstr=said)

    def asked(self, read: Reader) -> Asked:
        """What a chat request asks for."""
        messages = read.needed("messages", _LIST, "a list")
        tools = read("tools", list[msgspec.Raw], "a list")
        try:
            content = look_into(messages)
            inside = content.inside | server_tools(read.raw("tools") or b"[]") if tools else content.inside
        except MalformedJson as bad:
            raise unreadable("messages or tools", bad) from None
        stream = read.stream()
        return Asked(
            stream=stream,
            include_usage=_wants_usage(read) and stream,
            output_limit=read.tokens("max_tokens", "max_completion_tokens"),
            choices=read.choices(),
            features=_features(read, content, bool(tools)),
            content=content,
            inside=inside,
        )

    def limit_names(self, field: LimitField) -> Names:
        """Its two names for the limit."""
        return _LIMITS[field]

    def glimpses(self) -> Callable[[bytes], Glimpse]:
        """Each chunk stands for itself."""
        return glimpse

    plain_text = staticmethod(plain_text)


_LIMITS: dict[LimitField, Names] = {
    LimitField.MAX_TOKENS: (("max_tokens",), ("max_completion_tokens",)),
    LimitField.MAX_COMPLETION_TOKENS: (("max_completion_tokens",), ("max_tokens",)),
    LimitField.BOTH: (("max_tokens", "max_completion_tokens"), ()),
}


class CompletionsCodec(Codec):
    """`/v1/completions`"""

    endpoint = Endpoint.COMPLETIONS
    read = frozenset(
        {"model", "provider", "prompt", "suffix", "stream", "stream_options", "max_tokens", "n", "best_of"}
    )
    prompt = ("prompt", "suffix")
    asks_usage = True
    done = DONE
    done_mark = True

    def nothing(self, call: ChatCall) -> bytes:
        """A chunk without text."""
        return _empty_chunk(call, "text_completion", {"text": "", "logprobs": None})

    def aside(self, call: ChatCall, said: Mapping[str, Any]) -> bytes:
        """A chunk without choices."""
        return _chunk(call, "text_completion", [], arbstr=said)

    def asked(self, read: Reader) -> Asked:
        """What a completion request asks for: `n` choices of each prompt, of which `best_of` are made."""
        read.needed("prompt", _LIST_OR_TEXT, "text, or a list")
        prompts = _prompts(read.decoded("prompt"))
        choices = read.choices()
        stream = read.stream()
        limit = read.tokens("max_tokens")
        return Asked(
            stream=stream,
            include_usage=_wants_usage(read) and stream,
            output_limit=_OUTPUT_OF_COMPLETIONS if limit is None else limit,
            choices=choices * prompts,
            billed_choices=max(choices, read.choices("best_of")) * prompts,
        )

    def limit_names(self, field: LimitField) -> Names:
        """One name."""
        return ("max_tokens",), ()

    def glimpses(self) -> Callable[[bytes], Glimpse]:
        """As of chat: only where the text stands is another place."""
        return glimpse


class _Embeddings(msgspec.Struct):
    data: list[msgspec.Raw] | None = None
    usage: Any = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)


class EmbeddingsCodec(Codec):
    """`/v1/embeddings`; nothing is generated, so that only the input costs."""

    endpoint = Endpoint.EMBEDDINGS
    read = frozenset({"model", "provider", "input"})
    prompt = ("input",)

    def asked(self, read: Reader) -> Asked:
        """What an embeddings request asks for."""
        read.needed("input", _LIST_OR_TEXT, "text, or a list")
        return Asked(output_limit=0, content=_embedded(read.decoded("input")))

    def limit_names(self, field: LimitField) -> Names:
        """There is no output to limit."""
        return (), ()

    def glimpses(self) -> Callable[[bytes], Glimpse]:
        """Its usage; that there is one at all, or any vector, makes it a reply."""
        return _glimpse_embeddings


def _glimpse_embeddings(data: bytes) -> Glimpse:
    try:
        reply = leniently(_EMBEDDINGS, data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NOT_UNDERSTOOD
    found = salvaged(reply.usage)
    return Glimpse(usage=found, finished=int(bool(reply.data)), error=is_error(reply.error))


def _empty_chunk(call: ChatCall, kind: str, said: dict[str, Any]) -> bytes:
    return _chunk(call, kind, [{"index": 0, **said, "finish_reason": None}])


def _chunk(call: ChatCall, kind: str, choices: list[Any], **more: Any) -> bytes:
    head = {"id": call.id, "object": kind, "created": call.arrived_ms // 1000, "model": call.model}
    return b"data: " + msgspec.json.encode({**head, "choices": choices, **more}) + b"\n\n"


def _wants_usage(read: Reader) -> bool:
    raw = read.raw("stream_options")
    if raw is None:
        return False
    wanted = read.wants_usage()
    try:
        members(raw)
    except ValueError as bad:
        raise BadRequest(f"stream_options: {bad}", param="stream_options") from None
    return wanted


def _features(read: Reader, content: Content, tools: bool) -> frozenset[Feature]:
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


def _prompts(prompt: Any) -> int:
    """How many prompts there are: a list of numbers is one, in tokens."""
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        return len(prompt)
    return 1


def _embedded(given: Any) -> Content:
    """Text and tokens are all there; anything else is not known to be."""
    items = given if isinstance(given, list) else [given]
    for place, item in enumerate(items):
        if not isinstance(item, str | int | list) or (isinstance(item, list) and set(map(type, item)) - {int}):
            return Content(elsewhere=f"input[{place}]")
    return TEXT_ONLY
