"""Anthropic's words put into those of a chat and back: nothing is lost on the way, and what cannot be said is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.types import ChatCall, Endpoint, Feature
from arbstr_core.wire import Untranslatable, interpreter, read_call, translated

USER = {"role": "user", "content": "hi"}
PNG = {"type": "base64", "media_type": "image/png", "data": "QUJD"}


def called(**fields: Any) -> ChatCall:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": [USER], **fields}).encode()
    return read_call(body, call_id="req_1", endpoint=Endpoint.MESSAGES, hints={}, arrived_ms=1)


def chat(**fields: Any) -> dict[str, Any]:
    made = translated(called(**fields))
    assert made is not None
    assert (made.endpoint, made.id, made.model) == (Endpoint.CHAT, "req_1", "m")
    return dict(json.loads(made.body))


def test_plain_fields() -> None:
    made = chat(system="Be short", stop_sequences=["x"], temperature=0.5, top_k=4, metadata={"user_id": "u"})
    assert made == {
        "model": "m",
        "max_tokens": 9,
        "stop": ["x"],
        "temperature": 0.5,
        "top_k": 4,
        "user": "u",
        "messages": [{"role": "system", "content": "Be short"}, USER],
    }
    streamed = chat(stream=True)
    assert (streamed["stream"], streamed["stream_options"]) == (True, {"include_usage": True})
    made_call = translated(called(stream=True))
    assert made_call is not None
    assert (made_call.stream, made_call.include_usage, made_call.output_limit) == (True, True, 9)


def test_a_conversation_with_tools_and_pictures() -> None:
    tools = [{"name": "f", "description": "d", "input_schema": {"type": "object", "maximum": 1e2}}]
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image", "source": PNG}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I call"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "content": [{"type": "text", "text": "two"}, {"type": "image", "source": PNG}],
                },
                {"type": "text", "text": "and now?"},
            ],
        },
    ]
    made = chat(
        messages=messages,
        tools=tools,
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        system=[{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}],
    )
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    assert made["messages"] == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, picture]},
        {
            "role": "assistant",
            "content": "I call",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                {"id": "t2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "tool", "tool_call_id": "t2", "content": "two"},
        {"role": "user", "content": [picture, {"type": "text", "text": "and now?"}]},
    ]
    assert made["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": tools[0]["input_schema"]}}
    ]
    assert (made["tool_choice"], made["parallel_tool_calls"]) == ("required", False)
    whole = translated(called(messages=messages, tools=tools))
    assert whole is not None
    assert whole.features == {Feature.TOOLS, Feature.VISION}
    assert whole.attachments == 2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 32_000}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "disabled"}}, {}),
        ({"tool_choice": {"type": "tool", "name": "f"}},
         {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        ({"output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {"a": 1}}}},
         {"reasoning_effort": "high", "response_format": {
             "type": "json_schema", "json_schema": {"name": "output", "schema": {"a": 1}, "strict": True}}}),
        ({"service_tier": "auto", "top_p": None}, {}),
    ],
)  # fmt: skip
def test_other_words_for_the_same(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    made = chat(**fields)
    assert {key: value for key, value in made.items() if key not in ("model", "max_tokens", "messages")} == expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"container": "c"}, "container"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"tools": [{"name": "f", "input_schema": {}, "defer_loading": True}]}, "tools"),
        ({"tool_choice": {"type": "odd"}}, "tool_choice"),
        ({"messages": [{"role": "user", "content": [{"type": "odd"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
         "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]}, "messages[0].content[0]"),
        ({"messages": [7]}, "messages"),
        ({"thinking": "yes"}, "thinking"),
    ],
)  # fmt: skip
def test_what_has_no_word_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Untranslatable) as wordless:
        translated(called(**fields))
    assert wordless.value.field == field


def test_other_endpoints_are_not_translated() -> None:
    body = json.dumps({"model": "m", "prompt": "hi"}).encode()
    call = read_call(body, call_id="req_1", endpoint=Endpoint.COMPLETIONS, hints={}, arrived_ms=1)
    assert translated(call) is None


def whole(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    said = {"id": "c1", "model": "up", "choices": [{"message": message, "finish_reason": finish}], **more}
    return dict(json.loads(interpreter(called()).whole(json.dumps(said).encode())))


def test_a_whole_reply() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1e2}'}}]
    made = whole({"content": "hi", "reasoning_content": "hm", "tool_calls": calls}, "tool_calls", usage=usage)
    assert made == {
        "id": "msg_c1",
        "type": "message",
        "role": "assistant",
        "model": "up",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "hi"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 100.0}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "output_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
        },
    }
    assert whole({"content": None, "refusal": "no"})["stop_reason"] == "refusal"
    assert whole({"content": "a"}, "length")["stop_reason"] == "max_tokens"
    assert whole({"content": "", "tool_calls": calls}, "stop")["stop_reason"] == "tool_use"
    bad = [{"id": "t", "function": {"name": "f", "arguments": "not json"}}]
    assert whole({"tool_calls": bad})["content"][0]["input"] == {"arguments": "not json"}


def accumulated(*chunks: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the message that a client puts together, the events) of a stream of chunks."""
    voice = interpreter(called())
    out = b"".join(voice.events(b"data: " + json.dumps(chunk).encode() + b"\n\n") for chunk in chunks) + voice.last()
    found = []
    for block in out.decode().removesuffix("\n\n").split("\n\n"):
        kind, data = (line.split(": ", 1)[1] for line in block.split("\n"))
        document = json.loads(data)
        assert document["type"] == kind
        found.append(document)
    message = found[0]["message"]
    opened: set[int] = set()
    for each in found[1:]:
        match each["type"]:
            case "content_block_start":
                assert each["index"] == len(message["content"])
                assert not opened, "one block at a time"
                opened.add(each["index"])
                message["content"].append(dict(each["content_block"]))
            case "content_block_stop":
                opened.remove(each["index"])
            case "content_block_delta":
                block, delta = message["content"][each["index"]], each["delta"]
                key = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial"}[delta["type"]]
                block[key] = block.get(key, "") + next(value for name, value in delta.items() if name != "type")
            case "message_delta":
                assert not opened
                message |= each["delta"] | {"usage": each["usage"]}
    assert found[-1]["type"] == "message_stop"
    return message, found


def delta(finish: str | None = None, **said: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "up", "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def test_a_stream_of_thoughts_text_and_tools() -> None:
    def call(index: int, **said: Any) -> dict[str, Any]:
        return delta(tool_calls=[{"index": index, **said}])

    message, _ = accumulated(
        delta(role="assistant", content=""),
        delta(reasoning_content="h"),
        delta(reasoning="m"),
        delta(content="so "),
        delta(content="I call"),
        call(0, id="t1", function={"name": "f", "arguments": ""}),
        call(0, function={"arguments": '{"a":'}),
        call(0, function={"arguments": "1}"}),
        call(1, id="t2", function={"name": "g", "arguments": "{}"}),
        delta(finish="tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}},
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "so I call"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {}, "partial": '{"a":1}'},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}, "partial": "{}"},
    ]
    assert (message["stop_reason"], message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (
        *("tool_use", 7, 9),
    )


def test_a_stream_of_nothing_is_a_message_of_nothing() -> None:
    message, found = accumulated()
    assert message["content"] == []
    assert [each["type"] for each in found] == ["message_start", "message_delta", "message_stop"]


def test_half_a_character_loses_no_text() -> None:
    """Some providers cut a pair of surrogates in two; what no event can carry is U+FFFD, and the rest is as it was."""
    halves = [rb'{"choices":[{"index":0,"delta":{"content":"a%b"}}]}' % half for half in (rb"\ud83d", rb"\ude00")]
    voice = interpreter(called())
    said = b"".join([*(voice.events(b"data: " + each + b"\n\n") for each in halves), voice.last()])
    assert said.decode().count('"text":"a\ufffd"') == 2


TEXTS = st.text(min_size=1, max_size=6)


@given(st.lists(TEXTS, min_size=1, max_size=6), st.sampled_from(["stop", "length", None]))
def test_text_survives_the_way(words: list[str], finish: str | None) -> None:
    message, _ = accumulated(*(delta(content=word) for word in words), delta(finish=finish))
    assert message["content"] == [{"type": "text", "text": "".join(words)}]
    assert message["stop_reason"] == ("max_tokens" if finish == "length" else "end_turn")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "model"]), JSON) | JSON)
def test_no_chunk_breaks_it(said: Any) -> None:
    voice = interpreter(called())
    data = json.dumps(said).encode()
    voice.events(b"data: " + data + b"\n\n")
    voice.last()
    json.loads(interpreter(called()).whole(data))


@given(st.dictionaries(st.sampled_from(["messages", "system", "tools", "tool_choice", "thinking", "odd"]), JSON))
def test_any_request_is_a_chat_or_named(fields: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": [USER], **fields}).encode()
    call = ChatCall(id="r", endpoint=Endpoint.MESSAGES, model="m", body=body, members={})
    try:
        made = translated(call)
    except Untranslatable:
        return
    assert made is not None
    assert isinstance(json.loads(made.body)["messages"], list)
