"""Owns what a reply says, in the shapes of OpenAI, and its usage: a token is a word. Others' shapes are in `_shapes`.

Source: OpenAI API reference, "The chat completion object", "The chat completion chunk object", "The completion object".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"


class BadAsk(ValueError):
    """The body is not one that the endpoint would take."""


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Part(msgspec.Struct):
    text: str = ""
    content: Any = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


class Asked(msgspec.Struct):
    """The fields of a request that the reply depends on, at any endpoint."""

    messages: list[_Message] = []
    system: str | list[_Part] | None = None
    prompt: str | list[Any] | None = None
    input: str | list[Any] | None = None
    instructions: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    stream_options: _StreamOptions | None = None

    @property
    def include_usage(self) -> bool:
        """True where a stream was asked for its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def limit(self) -> int | None:
        """The most words a choice may have."""
        names = (self.max_completion_tokens, self.max_tokens, self.max_output_tokens)
        limits = [limit for limit in names if limit is not None]
        return min(limits) if limits else None

    @property
    def texts(self) -> int:
        """How many prompts or inputs there are; a list of numbers is one."""
        given = self.prompt if self.input is None else self.input
        return len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1

    def input_words(self) -> int:
        """The words of all that a model would read; a number counts as one."""
        said = sum(_words(message.content) for message in self.messages)
        return said + sum(_words(each) for each in (self.system, self.prompt, self.input, self.instructions))


def _words(value: Any) -> int:
    """The words of all text in a value: of a part its text or its content."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, int):
        return 1
    if isinstance(value, list):
        return sum(map(_words, value))
    if isinstance(value, _Part):
        return _words(value.text) + _words(value.content)
    return _words([value.get("text"), value.get("content")]) if isinstance(value, dict) else 0


def read(body: bytes) -> Asked:
    """What a body asks for; raises BadAsk where it asks for nothing sensible."""
    try:
        asked = msgspec.json.decode(body, type=Asked)
    except msgspec.MsgspecError as bad:
        raise BadAsk(f"the body is not a request: {bad}") from None
    if asked.limit is not None and asked.limit < 1:
        raise BadAsk(f"the output limit is {asked.limit}; it is at least 1")
    return asked


class Answer:
    """One reply, whole or as events; this one is of a chat."""

    def __init__(self, asked: Asked, text: str, *, number: int, created: int, model: str) -> None:
        words = text.split()
        self.words = words[: asked.limit]
        self.cut = len(self.words) < len(words)
        self.choices = max(asked.n or 1, 1)
        self.given = asked.input_words()
        self.asked = asked
        self.number, self.created, self.model = number, created, model

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(self.words)

    def deltas(self) -> list[str]:
        """Word by word."""
        return [word if at == 0 else " " + word for at, word in enumerate(self.words)]

    def whole(self, *, usage: bool) -> bytes:
        """The whole reply."""
        message: Json = {"role": "assistant", "content": self.text, "refusal": None}
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": self._finish}
            for index in range(self.choices)
        ]
        return encode({**self._head("chat.completion"), "choices": choices, **self._maybe(usage)})

    def events(self, *, usage: bool, everywhere: bool) -> list[bytes]:
        """Role, words and finish of each choice, then the usage, then `[DONE]`.

        OpenAI gives every chunk before the usage a null one where it was asked for; some providers give each chunk
        the usage so far (`everywhere`), asked for or not.
        """
        asked = usage and self.asked.include_usage
        events, seen = [], 0
        for choice in self._chunks():
            seen += bool(self._said(choice))
            more: Json = {"usage": None} if asked else {}
            if everywhere:
                more = {"usage": self._usage(seen)}
            events.append(event({**self._head(self._kind), "choices": [choice], **more}))
        if asked:
            events.append(event({**self._head(self._kind), "choices": [], "usage": self._usage(seen)}))
        return [*events, DONE]

    @staticmethod
    def error(message: str) -> bytes:
        """An error, as the endpoint writes one."""
        return encode({"error": {"message": message, "type": "mock_error", "param": None, "code": None}})

    @classmethod
    def error_event(cls, message: str) -> bytes:
        """An error in the middle of a stream."""
        return b"data: " + cls.error(message) + b"\n\n"

    _kind = "chat.completion.chunk"

    @property
    def _finish(self) -> str:
        return "length" if self.cut else "stop"

    def _chunks(self) -> Iterator[Json]:
        for index in range(self.choices):
            for delta in [{"role": "assistant", "content": "", "refusal": None}, *self._contents()]:
                yield {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": self._finish}

    def _contents(self) -> list[Json]:
        return [{"content": word} for word in self.deltas()]

    def _said(self, choice: Json) -> Any:
        return choice["delta"].get("content")

    def _head(self, kind: str) -> Json:
        return {"id": f"chatcmpl-mock-{self.number}", "object": kind, "created": self.created, "model": self.model}

    def _maybe(self, usage: bool) -> Json:
        return {"usage": self._usage(len(self.words) * self.choices)} if usage else {}

    def _usage(self, output: int) -> Json:
        return {"prompt_tokens": self.given, "completion_tokens": output, "total_tokens": self.given + output}


class TextAnswer(Answer):
    """The reply to a completion request: `n` choices of each prompt."""

    _kind = "text_completion"

    def __init__(self, asked: Asked, text: str, **more: Any) -> None:
        super().__init__(asked, text, **more)
        self.choices *= asked.texts

    def whole(self, *, usage: bool) -> bytes:
        """The whole reply."""
        choices = [self._choice(index, self.text, self._finish) for index in range(self.choices)]
        return encode({**self._head(self._kind), "choices": choices, **self._maybe(usage)})

    def _chunks(self) -> Iterator[Json]:
        for index in range(self.choices):
            for word in self.deltas():
                yield self._choice(index, word, None)
            yield self._choice(index, "", self._finish)

    def _said(self, choice: Json) -> Any:
        return choice["text"]

    def _choice(self, index: int, text: str, finish: str | None) -> Json:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


class EmbeddingAnswer(Answer):
    """The reply to an embeddings request: a vector for each input, made of its number of words."""

    def whole(self, *, usage: bool) -> bytes:
        """The whole reply."""
        vector = [float(self.given), 1.0]
        data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(self.asked.texts)]
        said = {"usage": {"prompt_tokens": self.given, "total_tokens": self.given}} if usage else {}
        return encode({"object": "list", "data": data, "model": self.model, **said})

    def events(self, *, usage: bool, everywhere: bool) -> list[bytes]:
        """There are none: it does not stream."""
        return [self.whole(usage=usage)]


def event(document: Json, name: str = "") -> bytes:
    """One event; `name` is its type, where it has one."""
    kind = f"event: {name}\n".encode() if name else b""
    return kind + b"data: " + encode(document) + b"\n\n"


def encode(document: Any) -> bytes:
    """A document as JSON."""
    return msgspec.json.encode(document)
