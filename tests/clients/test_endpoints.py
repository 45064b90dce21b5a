"""No client can tell at the other endpoints either: completions, embeddings, responses, Anthropic's messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
import shapes
from charging import charged, same
from driving import ANTHROPIC, Client
from shapes import TOOLS, TOOLS_STREAMED, streamed, whole
from upstream import Act

OPENAI = ("openai", "openai async", "openai-node")
SPEAK_RESPONSES = pytest.mark.parametrize("client", [*OPENAI, "langchain", "ai-sdk openai"], indirect=True)
PARSE_RESPONSES = pytest.mark.parametrize("client", [*OPENAI, "ai-sdk openai"], indirect=True)
COMPLETE = pytest.mark.parametrize("client", [*OPENAI, "ai-sdk", "ai-sdk openai"], indirect=True)
BY_ANTHROPIC = pytest.mark.parametrize("client", ANTHROPIC, indirect=True)

CALLS = (("call_1", "get_weather", '{"city": "Paris"}'), ("call_2", "get_weather", '{"city": "Rome"}'))
ADA = '{"name": "Ada", "age": 36}'
TEXT = "five words are said here"


# -- completions and embeddings --------------------------------------------------------------------------------------


@COMPLETE
def test_a_completion(client: Client) -> None:
    assert TEXT in json.dumps(same(client, "text", whole(shapes.completion(TEXT))))


@COMPLETE
@pytest.mark.parametrize("usage", [False, True])
def test_a_completion_streamed(client: Client, usage: bool) -> None:
    """The provider says what was used to who asked; arbstr asks always, and passes it on to who asked."""
    upstream = client.world.upstream
    wants = usage or client.name == "ai-sdk openai"
    upstream.script("m", streamed(shapes.completion_events(TEXT, usage=wants)))
    straight = client.direct("text_streamed", usage=usage)
    upstream.script("m", streamed(shapes.completion_events(TEXT, usage=True)))
    with charged(client):
        assert client("text_streamed", usage=usage) == straight


@pytest.mark.parametrize("client", [*OPENAI, "langchain", "ai-sdk", "ai-sdk openai"], indirect=True)
def test_embeddings(client: Client) -> None:
    """OpenAI's own clients ask for base64, and show numbers."""
    encoded = client.name in OPENAI or client.name == "langchain"
    act = whole(shapes.embedding([0.5, -1.0], [1.0, 0.25], base64_encoded=encoded))
    client.world.upstream.script("m", act)
    straight = client.direct("embed")
    with charged(client, msat=shapes.GIVEN):
        shown = client("embed")
    assert shown == straight
    assert "[0.5, -1.0], [1.0, 0.25]" in json.dumps(shown) or "[0.5, -1], [1, 0.25]" in json.dumps(shown) or encoded


# -- responses -------------------------------------------------------------------------------------------------------


@SPEAK_RESPONSES
def test_a_response(client: Client) -> None:
    shown = same(client, "respond", whole(shapes.response([shapes.said_item(TEXT)])))
    assert TEXT in json.dumps(shown)


@SPEAK_RESPONSES
def test_a_response_streamed(client: Client) -> None:
    shown = same(client, "respond_streamed", streamed(shapes.response_events(TEXT)))
    assert "re s" in json.dumps(shown)


@SPEAK_RESPONSES
def test_tools_of_a_response(client: Client) -> None:
    shown = same(client, "respond_tools", whole(shapes.response([shapes.call_item(call) for call in CALLS])))
    assert "Paris" in json.dumps(shown)
    assert "Rome" in json.dumps(shown)


@SPEAK_RESPONSES
def test_tools_of_a_response_streamed(client: Client) -> None:
    shown = same(client, "respond_tools_streamed", streamed(shapes.response_events(None, *CALLS)))
    assert "call_1" in json.dumps(shown)
    assert "call_2" in json.dumps(shown)


@PARSE_RESPONSES
def test_structured_output_of_a_response(client: Client) -> None:
    shown = same(client, "respond_structured", whole(shapes.response([shapes.said_item(ADA)])))
    assert shown["parsed"] == {"name": "Ada", "age": 36}


@PARSE_RESPONSES
def test_structured_output_of_a_response_streamed(client: Client) -> None:
    shown = same(client, "respond_structured_streamed", streamed(shapes.response_events(ADA)))
    assert shown["parsed"] == {"name": "Ada", "age": 36}


# -- messages --------------------------------------------------------------------------------------------------------


SAID = [shapes.text_block(TEXT)]
ASKS = [shapes.text_block("Let me see."), *map(shapes.tool_block, CALLS)]


@BY_ANTHROPIC
def test_a_message(client: Client) -> None:
    assert same(client, "plain", whole(shapes.message(SAID)))["content"] == SAID


@BY_ANTHROPIC
@pytest.mark.parametrize("do", ["stream", "helper"])
def test_a_message_streamed(client: Client, do: str) -> None:
    assert "re s" in json.dumps(same(client, do, streamed(shapes.message_events(SAID))))


@BY_ANTHROPIC
def test_tools_of_a_message(client: Client) -> None:
    assert same(client, "tools", whole(shapes.message(ASKS, "tool_use")))["content"] == ASKS


@BY_ANTHROPIC
def test_tools_of_a_message_streamed(client: Client) -> None:
    shown = same(client, "tools_streamed", streamed(shapes.message_events(ASKS, "tool_use")))
    assert shown["final"]["content"] == ASKS


@BY_ANTHROPIC
@pytest.mark.parametrize("do", ["structured", "structured_streamed"])
def test_structured_output_of_a_message(client: Client, do: str) -> None:
    content = [shapes.text_block(ADA)]
    act: Act = whole(shapes.message(content)) if do == "structured" else streamed(shapes.message_events(content))
    assert same(client, do, act)["parsed"] == {"name": "Ada", "age": 36}


@BY_ANTHROPIC
def test_what_arbstr_says_beside_a_message(client: Client) -> None:
    client.world.upstream.script("m", whole(shapes.message(SAID)))
    with charged(client):
        shown = client("raw")
    assert shown["headers"]["x-arbstr-cost-msat"] == "31"
    assert shown["request_id"] == shown["headers"]["x-request-id"] == shown["headers"]["request-id"]


# -- messages of a model that only chats -----------------------------------------------------------------------------


def told(client: Client, do: str, act: Act) -> Any:
    """What it shows of a provider that only chats, through arbstr."""
    client.world.upstream.script("chats", act)
    with charged(client):
        return client(do, model="chats")


@BY_ANTHROPIC
def test_a_message_of_a_chat(client: Client) -> None:
    shown = told(client, "plain", Act())
    assert [(block["type"], block["text"]) for block in shown["content"]] == [("text", "word word word word word")]
    assert (shown["role"], shown["stop_reason"]) == ("assistant", "end_turn")
    assert (shown["usage"]["input_tokens"], shown["usage"]["output_tokens"]) == (11, 5)


@BY_ANTHROPIC
def test_a_message_of_a_chat_streamed(client: Client) -> None:
    shown = told(client, "helper", Act())
    assert shown["texts"] == [" word"] * 5
    assert shown["final"]["content"][0]["text"] == " word" * 5
    assert shown["final"]["usage"]["output_tokens"] == 5


@BY_ANTHROPIC
@pytest.mark.parametrize("do", ["tools", "tools_streamed"])
def test_tools_of_a_message_of_a_chat(client: Client, do: str) -> None:
    shown = told(client, do, TOOLS if do == "tools" else TOOLS_STREAMED)
    final = shown.get("final", shown)
    assert final["content"] == [shapes.tool_block(call) for call in CALLS]
    assert final["stop_reason"] == "tool_use"


@BY_ANTHROPIC
@pytest.mark.parametrize("do", ["structured", "structured_streamed"])
def test_structured_output_of_a_message_of_a_chat(client: Client, do: str) -> None:
    parts = tuple({"content": piece} for piece in shapes.pieces(ADA))
    shown = told(client, do, Act(message={"role": "assistant", "content": ADA}, deltas=parts))
    assert shown["parsed"] == {"name": "Ada", "age": 36}


# -- responses of a model that only chats ----------------------------------------------------------------------------


@PARSE_RESPONSES
@pytest.mark.parametrize("do", ["respond", "respond_streamed"])
def test_a_response_of_a_chat(client: Client, do: str) -> None:
    shown = json.dumps(told(client, do, Act()))
    assert "word word word word word" in shown
    assert "11" in shown


@PARSE_RESPONSES
@pytest.mark.parametrize("do", ["respond_tools", "respond_tools_streamed"])
def test_tools_of_a_response_of_a_chat(client: Client, do: str) -> None:
    shown = json.dumps(told(client, do, TOOLS if do == "respond_tools" else TOOLS_STREAMED))
    assert "Paris" in shown
    assert "Rome" in shown


@PARSE_RESPONSES
@pytest.mark.parametrize("do", ["respond_structured", "respond_structured_streamed"])
def test_structured_output_of_a_response_of_a_chat(client: Client, do: str) -> None:
    parts = tuple({"content": piece} for piece in shapes.pieces(ADA))
    shown = told(client, do, Act(message={"role": "assistant", "content": ADA}, deltas=parts))
    assert shown["parsed"] == {"name": "Ada", "age": 36}
