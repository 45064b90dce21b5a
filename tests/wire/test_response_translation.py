"""A request for a response put into the words of a chat and back: nothing is lost, and what cannot be said is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.types import ChatCall, Endpoint, Feature
from arbstr_core.wire import Untranslatable, interpreter, read_call, translated


def called(**fields: Any) -> ChatCall:
    body = json.dumps({"model": "m", "input": "hi", **fields}).encode()
    return read_call(body, call_id="req_1", endpoint=Endpoint.RESPONSES, hints={}, arrived_ms=1000)


def chat(**fields: Any) -> dict[str, Any]:
    made = translated(called(**fields))
    assert made is not None
    return dict(json.loads(made.body))


PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "low"}
SCHEMA = {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_output_tokens": 9, "temperature": 0.5, "store": True, "truncation": "auto", "background": False},
         {"max_tokens": 9, "temperature": 0.5}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": SCHEMA}}, {"response_format": {
            "type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}}}),
        ({"tools": [{"type": "function", "name": "f", "parameters": {"x": 1}, "strict": None}],
          "tool_choice": "required"},
         {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": 1}}}],
          "tool_choice": "required"}),
        ({"tool_choice": {"type": "function", "name": "f"}},
         {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"include": ["reasoning.encrypted_content"], "service_tier": "auto"}, {}),
    ],
)  # fmt: skip
def test_other_words_for_the_same(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    made = chat(**fields)
    assert {name: value for name, value in made.items() if name not in ("model", "messages")} == expected
    assert made["messages"] == [{"role": "user", "content": "hi"}]


def test_a_conversation() -> None:
    items = [
        {"role": "developer", "content": "rules"},
        {"role": "user", "content": [{"type": "input_text", "text": "look"}, PICTURE]},
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I call"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "function_call", "call_id": "c3", "name": "f", "arguments": "{}"},
    ]

    def call(id: str, name: str) -> dict[str, Any]:
        return {"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}

    made = translated(called(input=items, instructions="Be short"))
    assert made is not None
    assert json.loads(made.body)["messages"] == [
        {"role": "system", "content": "Be short"},
        {"role": "system", "content": "rules"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
            ],
        },
        {"role": "assistant", "content": "I call", "tool_calls": [call("c1", "f"), call("c2", "g")]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "assistant", "content": None, "tool_calls": [call("c3", "f")]},
    ]
    assert (made.features, made.attachments) == ({Feature.VISION}, 1)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, "text"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input[0].content[0]"),
        ({"odd": 1}, "odd"),
        ({"reasoning": "much"}, "reasoning"),
    ],
)
def test_what_has_no_word_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Untranslatable) as wordless:
        translated(called(**fields))
    assert wordless.value.field == field


def delta(finish: str | None = None, **said: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "up", "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def call_delta(index: int, **said: Any) -> dict[str, Any]:
    return delta(tool_calls=[{"index": index, **said}])


USAGE = {"prompt_tokens": 7, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2}}
CHUNKS = [
    delta(role="assistant", content=""),
    delta(reasoning_content="h"),
    delta(reasoning="m"),
    delta(content="so "),
    delta(content="I call"),
    call_delta(0, id="t1", function={"name": "f", "arguments": ""}),
    call_delta(0, function={"arguments": '{"a":'}),
    call_delta(0, function={"arguments": "1}"}),
    call_delta(1, id="t2", function={"name": "g", "arguments": "{}"}),
    delta(finish="tool_calls"),
    {
        "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2}},
    },
]


def streamed(*chunks: Any) -> list[Any]:
    voice = interpreter(called())
    out = b"".join(voice.events(b"data: " + json.dumps(chunk).encode() + b"\n\n") for chunk in chunks) + voice.last()
    found = []
    for number, block in enumerate(out.decode().removesuffix("\n\n").split("\n\n")):
        kind, data = (line.split(": ", 1)[1] for line in block.split("\n"))
        said = json.loads(data)
        assert (said["type"], said["sequence_number"]) == (kind, number)
        found.append(said)
    return found


def put_together(found: list[Any]) -> list[Any]:
    """The items as a client puts them together from the events, each ended once, before the response is."""
    items: list[Any] = []
    ended = []
    for event in found:
        place = event.get("output_index")
        match event["type"]:
            case "response.output_item.added":
                assert place == len(items)
                items.append(dict(event["item"]))
            case "response.content_part.added":
                items[place]["content"].append(dict(event["part"]))
            case "response.output_text.delta" | "response.reasoning_text.delta":
                items[place]["content"][event["content_index"]]["text"] += event["delta"]
            case "response.refusal.delta":
                items[place]["content"][event["content_index"]]["refusal"] += event["delta"]
            case "response.function_call_arguments.delta":
                items[place]["arguments"] += event["delta"]
            case "response.output_item.done":
                ended.append(place)
                assert items[place] | {"status": "completed"} == event["item"] | {"status": "completed"}
    assert sorted(ended) == list(range(len(items)))
    return items


def test_a_stream_of_thoughts_text_and_tools() -> None:
    found = streamed(*CHUNKS)
    items = put_together(found)
    assert [item["type"] for item in items] == ["reasoning", "message", "function_call", "function_call"]
    assert items[0]["content"][0]["text"] == "hm"
    assert items[1]["content"] == [{"type": "output_text", "text": "so I call", "annotations": [], "logprobs": []}]
    assert [(item["call_id"], item["name"], item["arguments"]) for item in items[2:]] == [
        ("t1", "f", '{"a":1}'),
        ("t2", "g", "{}"),
    ]
    whole = found[-1]["response"]
    assert (found[-1]["type"], whole["status"], whole["model"], whole["id"]) == (
        *("response.completed", "completed", "up", "resp_req_1"),
    )
    assert whole["usage"]["input_tokens_details"] == {"cached_tokens": 2}
    assert [item["type"] for item in whole["output"]] == [item["type"] for item in items]


def test_a_whole_reply() -> None:
    message = {
        "content": "hi",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
    }
    said = {"id": "c1", "model": "up", "choices": [{"message": message, "finish_reason": "length"}]}
    made = json.loads(interpreter(called(metadata={"a": "b"}, temperature=1)).whole(json.dumps(said).encode()))
    assert [item["type"] for item in made["output"]] == ["reasoning", "message", "function_call"]
    assert (made["status"], made["incomplete_details"]["reason"]) == ("incomplete", "max_output_tokens")
    assert (made["metadata"], made["temperature"], made["tool_choice"]) == ({"a": "b"}, 1, "auto")
    refused = {"choices": [{"message": {"refusal": "no"}}]}
    (item,) = json.loads(interpreter(called()).whole(json.dumps(refused).encode()))["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "no"}]


def test_a_stream_of_nothing_is_a_response_of_nothing() -> None:
    found = streamed()
    assert [each["type"] for each in found] == ["response.created", "response.in_progress", "response.completed"]


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)
PIECES = st.fixed_dictionaries({}, optional={"content": st.text(max_size=3), "reasoning": st.text(max_size=3),
                                             "refusal": st.text(max_size=3)})  # fmt: skip


@given(st.lists(PIECES | st.sampled_from([chunk["choices"][0]["delta"] for chunk in CHUNKS[:-1]]), max_size=8))
def test_events_and_the_whole_say_the_same(deltas: list[Any]) -> None:
    found = streamed(*(delta(**each) for each in deltas))
    assert put_together(found) == [item | {"status": "in_progress"} for item in found[-1]["response"]["output"]]


@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "model"]), JSON) | JSON)
def test_no_chunk_breaks_it(said: Any) -> None:
    voice = interpreter(called())
    data = json.dumps(said).encode()
    voice.events(b"data: " + data + b"\n\n")
    voice.last()
    json.loads(interpreter(called()).whole(data))


@given(st.dictionaries(st.sampled_from(["input", "tools", "tool_choice", "text", "reasoning", "include", "odd"]), JSON))
def test_any_request_is_a_chat_or_named(fields: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "input": "hi", **fields}).encode()
    call = ChatCall(id="r", endpoint=Endpoint.RESPONSES, model="m", body=body, members={})
    try:
        made = translated(call)
    except Untranslatable:
        return
    assert made is not None
    assert isinstance(json.loads(made.body)["messages"], list)
