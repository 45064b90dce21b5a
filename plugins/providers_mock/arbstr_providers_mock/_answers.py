"""Owns what a reply says, in the shapes of OpenAI, and its usage: a token is a word.

Source: OpenAI API reference, "The chat completion object" and "The chat completion chunk object".
"""

from __future__ import annotations

from typing import Any

import msgspec

_DONE = b"data: [DONE]\n\n"


class BadAsk(ValueError):
    """The body is not one that OpenAI would take."""


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Part(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


class Asked(msgspec.Struct):
    """The fields of a request that the reply depends on."""

    messages: list[_Message] = []
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream_options: _StreamOptions | None = None

    @property
    def include_usage(self) -> bool:
        """True where a stream was asked for its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def limit(self) -> int | None:
        """The most words a choice may have."""
        limits = [limit for limit in (self.max_completion_tokens, self.max_tokens) if limit is not None]
        return min(limits) if limits else None

    def input_words(self) -> int:
        """The words of all messages."""
        return sum(_words(message) for message in self.messages)


def _words(message: _Message) -> int:
    if isinstance(message.content, list):
        return sum(len(part.text.split()) for part in message.content)
    return len((message.content or "").split())


def read(body: bytes) -> Asked:
    """What a body asks for; raises BadAsk where it asks for nothing sensible."""
    try:
        asked = msgspec.json.decode(body, type=Asked)
    except msgspec.MsgspecError as bad:
        raise BadAsk(f"the body is not a chat request: {bad}") from None
    if asked.limit is not None and asked.limit < 1:
        raise BadAsk(f"the output limit is {asked.limit}; it is at least 1")
    return asked


def error_body(message: str) -> bytes:
    """An error as OpenAI writes one."""
    return _encode({"error": {"message": message, "type": "mock_error", "param": None, "code": None}})


class Answer:
    """One reply, whole or as events."""

    def __init__(self, asked: Asked, text: str, *, number: int, created: int, model: str) -> None:
        words = text.split()
        self._words = words[: asked.limit]
        self._finish = "stop" if len(self._words) == len(words) else "length"
        self._choices = max(asked.n or 1, 1)
        self._input = asked.input_words()
        self._id = f"chatcmpl-mock-{number}"
        self._rest: dict[str, Any] = {"created": created, "model": model}

    def completion(self, *, usage: bool) -> bytes:
        """The whole reply."""
        message: dict[str, Any] = {"role": "assistant", "content": " ".join(self._words), "refusal": None}
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": self._finish}
            for index in range(self._choices)
        ]
        more = {"usage": self._usage(len(self._words) * self._choices)} if usage else {}
        return _encode({**self._head("chat.completion"), "choices": choices, **more})

    def events(self, *, usage: bool, usage_everywhere: bool) -> list[bytes]:
        """Role, words and finish of each choice, then the usage, then `[DONE]`.

        OpenAI gives every chunk before the usage a null one where it was asked for; some providers give each chunk
        the usage so far (`usage_everywhere`), asked for or not.
        """
        events, seen = [], 0
        for choice in self._chunks():
            seen += bool(choice["delta"].get("content"))
            more: dict[str, Any] = {"usage": None} if usage else {}
            if usage_everywhere:
                more = {"usage": self._usage(seen)}
            events.append(self._event([choice], more))
        if usage:
            events.append(self._event([], {"usage": self._usage(seen)}))
        return [*events, _DONE]

    def _chunks(self) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
        deltas += [{"content": word if at == 0 else " " + word} for at, word in enumerate(self._words)]
        chunks: list[dict[str, Any]] = []
        for index in range(self._choices):
            chunks += [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
            chunks.append({"index": index, "delta": {}, "logprobs": None, "finish_reason": self._finish})
        return chunks

    def _event(self, choices: list[dict[str, Any]], more: dict[str, Any]) -> bytes:
        body = {**self._head("chat.completion.chunk"), "choices": choices, **more}
        return b"data: " + _encode(body) + b"\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, **self._rest}

    def _usage(self, output: int) -> dict[str, int]:
        return {"prompt_tokens": self._input, "completion_tokens": output, "total_tokens": self._input + output}


def _encode(body: Any) -> bytes:
    return msgspec.json.encode(body)
