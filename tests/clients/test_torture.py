"""Streams that would break clients if they came straight from the provider: arbstr makes them read as clean ones do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from charging import charged
from driving import ANTHROPIC, CLIENTS, Client
from shapes import message_events, text_block
from upstream import Act

TEXT = "für zwölf 🦊 gibt es € 5 und mehr"
MEGABYTE = "megabyte " * 120_000
NOISE = b": OPENROUTER PROCESSING\n\ndata: : OPENROUTER PROCESSING\n\nid: 7\n\nretry: 3000\n\nevent: ping\n\n:\n\n\n\n"
KINDS = ("byte by byte", "CRLF", "CR", "noise", "inside", "no blank line at the end", "in one piece")
STREAM = {"content-type": "text/event-stream"}


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def chat(text: str) -> list[tuple[str, str]]:
    """(name, data) of each event of a chat; usage is in its last one."""
    words = [{"content": word + " "} for word in text.split(" ")]
    used = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    spoken = [chunk({"role": "assistant", "content": ""}), *map(chunk, words), chunk({}, "stop")]
    said = [*spoken, {**chunk({}), "choices": [], "usage": used}]
    return [*(("", json.dumps(each, ensure_ascii=False)) for each in said), ("", "[DONE]")]


def message(text: str) -> list[tuple[str, str]]:
    """The same of a message."""
    return [(name, json.dumps(each, ensure_ascii=False)) for name, each in message_events([text_block(text)])]


def events(said: Sequence[tuple[str, str]], kind: str) -> Iterator[bytes]:
    """The events on the wire, each by itself."""
    end = {"CRLF": "\r\n", "CR": "\r"}.get(kind, "\n")
    for name, data in said:
        lines = [f"event: {name}"] if name else []
        lines += [f"data: {data}"]
        if kind == "inside":
            lines = [": a comment", "id: 9", *lines, "retry: 10"]
        yield (end.join(lines) + end + end).encode()


def act(said: Sequence[tuple[str, str]], kind: str) -> Act:
    parts = list(events(said, kind))
    if kind == "noise":
        parts = [part for each in parts for part in (NOISE, each)]
    sent = b"".join(parts)
    if kind == "byte by byte":
        parts = [sent[place : place + 1] for place in range(len(sent))]
    elif kind == "in one piece":
        parts = [sent]
    elif kind == "no blank line at the end":
        parts[-1] = parts[-1].rstrip(b"\n")
    return Act(how="raw", headers=tuple(STREAM.items()), chunks=tuple(parts))


def same(client: Client, text: str, kind: str) -> Any:
    """What the client shows, which must be what it shows of the clean stream, straight from the provider."""
    said = message(text) if client.name in ANTHROPIC else chat(text)
    upstream = client.world.upstream
    straight = said if client.name in ANTHROPIC or client.name in ASK_FOR_USAGE else [*said[:-2], said[-1]]
    upstream.script("m", act(straight, "clean"))
    clean = client.direct("stream")
    upstream.script("m", act(said, kind))
    with charged(client):
        shown = client("stream")
    assert shown == clean
    return shown


ASK_FOR_USAGE = ("llm", "ai-sdk openai")


@pytest.mark.parametrize("client", CLIENTS | ANTHROPIC, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_wire_does_nobody_sees(client: Client, kind: str) -> None:
    assert "🦊" in json.dumps(same(client, TEXT, kind), ensure_ascii=False)


@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "llm"], indirect=True)
def test_a_megabyte_in_one_event(client: Client) -> None:
    said = [("", json.dumps(chunk({"role": "assistant", "content": MEGABYTE}))), *chat("and the end")[1:]]
    upstream = client.world.upstream
    upstream.script("m", act([*said[:-2], said[-1]] if client.name not in ASK_FOR_USAGE else said, "clean"))
    clean = client.direct("stream")
    upstream.script("m", act(said, "clean"))
    with charged(client):
        assert client("stream") == clean
    assert len(json.dumps(clean)) > 1_000_000
