"""Owns replies as OpenAI writes them, for the double of the upstream.

Source: OpenAI API reference, "The chat completion object" and "The chat completion chunk object".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from arbstr_core.api import Outbound, Reply
from arbstr_core.wire import DONE


def a_completion(text: str = "Hello there", *, model: str = "model-a", input_tokens: int = 3) -> bytes:
    """A whole chat completion that says `text`, one output token a word."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return _encode("chat.completion", model, [choice], usage=_usage(input_tokens, text))


def a_stream(text: str = "Hello there", *, model: str = "model-a", input_tokens: int = 3) -> list[bytes]:
    """The same as events: the role, each word, the finish, the usage, `[DONE]`."""
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word if at == 0 else " " + word} for at, word in enumerate(text.split())]
    choices: list[list[dict[str, Any]]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    bodies = [_encode("chat.completion.chunk", model, choice) for choice in choices]
    bodies.append(_encode("chat.completion.chunk", model, [], usage=_usage(input_tokens, text)))
    return [b"data: " + body + b"\n\n" for body in bodies] + [DONE]


def answers(outbound: Outbound) -> Reply:
    """An upstream that always answers with the same words, streamed where that was asked for."""
    return reply_of(a_stream()) if outbound.stream else Reply.of_json(a_completion())


def reply_of(chunks: Iterable[bytes]) -> Reply:
    """A streaming reply of these chunks."""
    return Reply.of_events(_each(chunks))


async def _each(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _usage(input_tokens: int, text: str) -> dict[str, int]:
    output = len(text.split())
    return {"prompt_tokens": input_tokens, "completion_tokens": output, "total_tokens": input_tokens + output}


def _encode(kind: str, model: str, choices: list[Any], *, usage: dict[str, int] | None = None) -> bytes:
    body = {"id": "chatcmpl-kit", "object": kind, "created": 1_750_000_000, "model": model, "choices": choices}
    return msgspec.json.encode(body if usage is None else body | {"usage": usage})
