"""What a reply says: usage wherever it hides, text, errors; and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.types import Endpoint, Usage
from arbstr_core.wire import codec_of, glimpse, plain_text

ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NEAR = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries({}, optional={"delta": ANY, "message": ANY, "finish_reason": ANY}) | ANY, max_size=2
        )
        | ANY,
        "usage": st.fixed_dictionaries({}, optional={"prompt_tokens": ANY, "completion_tokens": ANY}) | ANY,
        "x_groq": ANY,
        "error": ANY,
    },
)


@given(st.binary(max_size=80) | NEAR.map(lambda found: json.dumps(found).encode()))
def test_it_never_raises(data: bytes) -> None:
    shown = glimpse(data)
    assert shown.text_bytes >= 0
    assert shown.finished >= 0
    usage = shown.usage
    if usage is not None:
        assert 0 <= usage.cached_input_tokens <= usage.input_tokens
        assert usage.output_tokens >= 0


def shown(**fields: Any) -> Any:
    return glimpse(json.dumps(fields).encode())


@pytest.mark.parametrize("where", ["usage", "x_groq"])
def test_usage_wherever_it_hides(where: str) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    found = shown(choices=[], **({"usage": usage} if where == "usage" else {"x_groq": {"usage": usage}}))
    assert found.usage == Usage(input_tokens=7, cached_input_tokens=4, output_tokens=3)
    assert found.choices == 0


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # OpenAI: cached input and reasoning inside.
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "total_tokens": 14,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            (9, 4, 5),
        ),
        # Responses.
        (
            {
                "input_tokens": 9,
                "output_tokens": 5,
                "total_tokens": 14,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            (9, 4, 5),
        ),
        # DeepSeek, Moonshot.
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
            (9, 4, 5),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cached_tokens": 4}, (9, 4, 5)),
        # Google, xAI: reasoning in the total alone, or by itself.
        ({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 34}, (9, 0, 25)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 20}},
            (9, 0, 25),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "reasoning_tokens": 20}, (9, 0, 25)),
        # Gateways before Anthropic: the cache inside the prompt; Anthropic itself: beside it.
        ({"prompt_tokens": 9, "completion_tokens": 5, "cache_read_input_tokens": 4}, (9, 4, 5)),
        (
            {"input_tokens": 2, "output_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
            (9, 4, 5),
        ),
        # An embedding.
        ({"prompt_tokens": 9, "total_tokens": 9}, (9, 0, 0)),
        # Numbers that are not quite.
        ({"prompt_tokens": "9", "completion_tokens": 5.0, "prompt_tokens_details": {"cached_tokens": "4"}}, (9, 4, 5)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": "odd", "cached_tokens": None},
            (9, 0, 5),
        ),
    ],
)
def test_usage_however_it_is_spelled(usage: dict[str, Any], expected: tuple[int, int, int]) -> None:
    given, cached, output = expected
    spelled = Usage(input_tokens=given, cached_input_tokens=cached, output_tokens=output)
    assert shown(choices=[], usage=usage).usage == spelled
    assert shown(choices=[], x_groq={"usage": usage}).usage == spelled
    assert shown(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]).usage == spelled


def test_odd_usage() -> None:
    assert shown(usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 30}).usage.output_tokens == 23
    assert shown(usage={"prompt_tokens": -7, "completion_tokens": -3}).usage == Usage()
    over = {"prompt_tokens": 2, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}
    assert shown(usage=over).usage.cached_input_tokens == 2
    assert shown(usage=None).usage is None
    assert shown(usage={}).usage is None


def test_text_in_bytes() -> None:
    for delta, size in [
        ({"content": "abc"}, 3),
        ({"content": "é😀"}, 6),
        ({"reasoning_content": "ab", "content": "c"}, 3),
        ({"reasoning": "ab"}, 2),
        ({"refusal": "no"}, 2),
        ({"role": "assistant", "content": ""}, 0),
        ({"tool_calls": [{"function": {"name": "f", "arguments": '{"a"'}}]}, 5),
        ({"function_call": {"name": "f", "arguments": None}}, 1),
    ]:
        assert shown(choices=[{"delta": delta}]).text_bytes == size, delta
        assert shown(choices=[{"message": delta}]).text_bytes == size, delta
    assert shown(choices=[{"delta": {}, "finish_reason": "stop"}]).finished == 1


@pytest.mark.parametrize("more", [{}, {"content": ["odd"]}])
def test_an_empty_reason_ends_nothing(more: dict[str, Any]) -> None:
    """Some providers have one in every chunk: a stream of theirs that breaks off is not whole for that."""
    assert shown(choices=[{"delta": {"content": "a"} | more, "finish_reason": ""}]).finished == 0


def test_a_shape_that_is_not_openais_counts_its_text_and_keeps_its_usage() -> None:
    """One odd field loses neither the usage nor an error, and the envelope is not text."""
    parts = [{"type": "text", "text": "abc"}]
    body = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}], "usage": {"prompt_tokens": "7"}}
    found = glimpse(json.dumps(body | {"more": "x" * 1000}).encode())
    assert (found.text_bytes, found.finished, found.choices) == (3, 1, 1)
    assert found.usage is not None
    assert found.usage.input_tokens == 7
    assert glimpse(b'{"error":{"message":"busy"},"usage":[]}').error


NO_JSON = {
    "half a pair": (rb"\ud83d", 3),
    "a pair, and half of one": (rb"\ud83d\ude00\ude00", 7),
    "half a character": (b"\xf0\x9f", 3),
    "NaN": (b'a","logprob":NaN,"x":"', 1),
    "infinity": (b'a","logprob":[-Infinity,Infinity,1e999],"x":"', 1),
}


@pytest.mark.parametrize("said", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("place", ["delta", "message"])
def test_what_is_no_json_to_the_letter_reports_its_usage_all_the_same(said: tuple[bytes, int], place: str) -> None:
    """Servers in Python write such; who pays by the reported tokens does not pay for the envelope then."""
    text, size = said
    choice = b'{"index":0,"%b":{"content":"%b"},"finish_reason":"stop"}' % (place.encode(), text)
    found = glimpse(b'{"choices":[%b],"usage":{"prompt_tokens":7,"completion_tokens":1}}' % choice)
    assert (found.text_bytes, found.finished, found.choices) == (size, 1, 1)
    assert found.usage == Usage(input_tokens=7, output_tokens=1)
    assert glimpse(b'{"error":{"message":"%b"}}' % text).error


def test_what_is_no_json_and_large_keeps_nobody_waiting() -> None:
    """Of a megabyte and more all counts as text, as of what cannot be read at all."""
    body = b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1},"x":[NaN,"%b"]}' % (b"x" * 2**20)
    assert (glimpse(body).text_bytes, glimpse(body).usage) == (len(body), None)


@pytest.mark.parametrize("said", NO_JSON.values(), ids=NO_JSON)
def test_and_so_it_does_at_the_other_endpoints(said: tuple[bytes, int]) -> None:
    text, size = said
    used = b'"usage":{"input_tokens":7,"output_tokens":1}'
    message = b'{"type":"message","content":[{"type":"text","text":"%b"}],"stop_reason":"end_turn",%b}' % (text, used)
    response = b'{"output":[{"content":[{"text":"%b"}]}],"status":"completed",%b}' % (text, used)
    for endpoint, body in ((Endpoint.MESSAGES, message), (Endpoint.RESPONSES, response)):
        found = codec_of(endpoint).glimpses()(body)
        assert (found.text_bytes, found.finished) == (size, 1)
        assert found.usage == Usage(input_tokens=7, output_tokens=1)


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "type": "custom", "custom": {"name": "n", "input": "12345"}}]},
        {"audio": {"id": "a", "transcript": "123456"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "123456"}]},
    ],
)
def test_text_beside_the_content_is_seen(delta: Any) -> None:
    data = json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode()
    assert glimpse(data).text_bytes == 6
    assert plain_text((b"data: " + data + b"\n\n") * 2) == (0, 0)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [({"message": "x"}, True), ("x", True), (None, False), ({}, False), ("", False), (False, False)],
)
def test_errors(error: Any, is_one: bool) -> None:
    assert shown(error=error).error is is_one
    assert shown(error=error, choices=[{"delta": {"content": "a"}}]).error is is_one
