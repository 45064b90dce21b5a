"""No client can tell: what it shows of a chat is the same at arbstr as at the provider itself, and the charge is exact.

Every test asks twice, the provider and arbstr in front of it, and compares all that the client shows its user.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from charging import USED_MSAT, charged, same
from driving import CLIENTS, Client
from shapes import TOOLS, TOOLS_STREAMED
from upstream import Act


def texts(document: Any) -> Iterator[str]:
    """Every text in what a client shows."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for inner in document.values() if isinstance(document, dict) else document:
            yield from texts(inner)


def test_plain(client: Client) -> None:
    assert "word word word word word" in texts(same(client, "plain", Act()))


def test_a_stream(client: Client) -> None:
    shown = same(client, "stream", Act())
    assert list(texts(shown)).count(" word") >= 5


def test_usage_that_was_asked_for(client: Client) -> None:
    shown = json.dumps(same(client, "usage_on", Act()))
    assert "11" in shown


ALWAYS_ASK = ("llm", "ai-sdk openai")
"""for usage, in every stream"""


@pytest.mark.parametrize("client", [name for name in CLIENTS if name not in ALWAYS_ASK], indirect=True)
def test_usage_that_was_not_asked_for(client: Client) -> None:
    shown = json.dumps(same(client, "usage_off", Act()))
    assert '"choices": []' not in shown
    assert "11" not in shown


def test_tools(client: Client) -> None:
    shown = json.dumps(same(client, "tools", TOOLS))
    assert "Paris" in shown
    assert "Rome" in shown


def test_tools_streamed(client: Client) -> None:
    shown = json.dumps(same(client, "tools_streamed", TOOLS_STREAMED))
    assert "Paris" in shown
    assert "Rome" in shown


ADA = '{"name": "Ada", "age": 36}'


def test_structured_output(client: Client) -> None:
    shown = same(client, "structured", Act(message={"role": "assistant", "content": ADA}))
    assert shown["parsed"] == {"name": "Ada", "age": 36}


def test_structured_output_streamed(client: Client) -> None:
    pieces = tuple({"content": ADA[place : place + 4]} for place in range(0, len(ADA), 4))
    shown = same(client, "structured_streamed", Act(deltas=pieces))
    assert shown["parsed"] == {"name": "Ada", "age": 36}


@pytest.mark.parametrize("client", ["openai-node", "ai-sdk", "ai-sdk openai"], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
def test_the_loop_that_calls_tools(client: Client, stream: bool) -> None:
    """Two calls: one that asks for the tools, and one that answers with what they gave."""
    shown = same(client, "run_tools", TOOLS_STREAMED if stream else TOOLS, Act(), stream=stream)
    assert shown["final"].split() == ["word"] * 5
    assert sorted(call["city"] for call in shown["asked"]) == ["Paris", "Rome"]


@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "llm"], indirect=True)
def test_what_arbstr_says_beside_the_answer(client: Client) -> None:
    client.world.upstream.script("m", Act())
    with charged(client):
        shown = client("raw")
    headers = shown["headers"]
    assert headers["x-request-id"].startswith("req_")
    assert headers["x-arbstr-cost-msat"] == str(USED_MSAT)
    assert (headers["x-arbstr-provider"], headers["x-arbstr-model"]) == ("providers_openai.x", "m")
    if client.name == "openai-node":
        assert shown["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize("client", ["openai", "openai async", "openai-node"], indirect=True)
def test_models(client: Client) -> None:
    shown = client("models")
    assert {"chats", "m"} <= set(shown["listed"])
    assert shown["one"] == "m"
