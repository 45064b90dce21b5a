"""From bytes to a call: whatever they are, the answer is a call or a sentence about what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.types import BadRequest, ChatCall, Endpoint, Feature
from arbstr_core.web._asgi import encoded
from arbstr_core.web._request import read_retry
from arbstr_core.wire import read_call

ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
NAMES = ("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools",
         "functions", "response_format")  # fmt: skip
NEAR = st.fixed_dictionaries(
    {"model": st.just("m") | ANY, "messages": st.just([]) | ANY}, optional=dict.fromkeys(NAMES[2:], ANY)
)


def read(body: bytes | dict[str, Any]) -> ChatCall:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_call(content, call_id="req_1", endpoint=Endpoint.CHAT, hints={}, arrived_ms=1)


def good(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


@given(st.binary(max_size=100) | NEAR.map(lambda found: json.dumps(found).encode()))
def test_a_call_or_a_bad_request(body: bytes) -> None:
    try:
        call = read(body)
    except BadRequest:
        return
    document = json.loads(body)
    assert call.model == document["model"] != ""
    assert isinstance(document["messages"], list)
    assert call.stream is bool(document.get("stream"))
    assert call.output_limit is None or call.output_limit >= 1
    assert 1 <= call.choices <= 128
    assert call.body is body
    call.last_user_message()


def test_the_fields_that_count() -> None:
    call = read(good(stream=True, stream_options={"include_usage": True}, max_tokens=9, max_completion_tokens=7, n=2))
    assert (call.stream, call.include_usage, call.output_limit, call.choices) == (True, True, 7, 2)
    plain = read(good(stream=None, max_tokens=None, n=None, tools=None, stream_options={"include_usage": True}))
    assert (plain.stream, plain.include_usage, plain.output_limit, plain.choices) == (False, False, None, 1)
    assert plain.features == frozenset()


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"tools": [{"type": "function"}]}, Feature.TOOLS),
        ({"functions": [{}]}, Feature.TOOLS),
        ({"response_format": {"type": "json_object"}}, Feature.JSON),
        ({"response_format": {"type": "json_schema"}}, Feature.JSON),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, Feature.VISION),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, Feature.AUDIO),
    ],
)
def test_what_a_call_needs(fields: dict[str, Any], feature: Feature) -> None:
    assert read({**good(), **fields}).features == {feature}


def test_words_about_images_are_no_images() -> None:
    text = 'say "image_url" and \\"input_audio\\"'
    assert read(good(messages=[{"role": "user", "content": text}])).features == frozenset()
    assert read(good(tools=[], response_format={"type": "text"})).features == frozenset()


def test_values_of_headers() -> None:
    for value, sent in [
        ('plain text, 1=2; "q"', b'plain text, 1=2; "q"'),
        ("é", b"%C3%A9"),
        ("a\r\nx-evil: 1", b"a%0D%0Ax-evil: 1"),
        ("100% é", b"100%25 %C3%A9"),
        ("100%", b"100%"),
        ("\x7f\x00", b"%7F%00"),
    ]:
        assert list(encoded([("x-a", value)])) == [(b"x-a", sent)]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"Model": "dear"}, "Model"),
        ({"MAX_TOKENS": 100_000}, "MAX_TOKENS"),
        ({"model": "m" * 257}, "model"),
        ({f"field{place}": 1 for place in range(300)}, None),
        ({"x" * 300: 1}, None),
    ],
)
def test_what_other_servers_would_read_otherwise_is_refused(fields: dict[str, Any], param: str | None) -> None:
    """Names that differ in case alone, and objects made to be slow to read."""
    with pytest.raises(BadRequest) as refused:
        read(good(**fields))
    assert refused.value.param == param


def test_duplicate_keys_in_stream_options_are_refused() -> None:
    twice = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}'
    with pytest.raises(BadRequest, match="stream_options"):
        read(twice)


def test_what_is_inside_is_told() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    tools = [{"type": "web_search"}, {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "x"}}]
    call = read(good(messages=[{"role": "user", "content": [picture]}], tools=tools))
    assert (call.attachments, call.attached_bytes, call.elsewhere) == (1, 26, None)
    assert call.inside == {"tools.web_search", "cache_control"}
    assert read(good(messages=[{"role": "user", "content": [{"type": "file"}]}])).elsewhere == "messages[0].content[0]"


def test_escapes_hide_no_picture() -> None:
    body = json.dumps(good(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]))
    hidden = body.replace("image_url", "image\\u005furl").encode()
    assert b"image_url" not in hidden
    assert read(hidden).features == {Feature.VISION}


def test_messages_too_deep_to_read_are_refused() -> None:
    deep = b'{"model":"m","messages":[{"role":"user","content":' + b"[" * 200_000 + b"]" * 200_000 + b"}]}"
    with pytest.raises(BadRequest):
        read(deep)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (None, None)),
        ({"idempotency-key": "order 7"}, ("order 7", None)),
        ({"idempotency-key": "k" * 255, "x-stainless-retry-count": "0"}, ("k" * 255, 0)),
        ({"x-stainless-retry-count": "1"}, (None, 1)),
        ({"x-stainless-retry-count": "20"}, (None, 20)),
        ({"x-stainless-retry-count": "-1"}, (None, None)),
        ({"x-stainless-retry-count": "soon"}, (None, None)),
    ],
)
def test_what_says_that_it_is_asked_for_again(headers: dict[str, str], expected: tuple[str | None, int | None]) -> None:
    assert read_retry(headers) == expected


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "schlüssel", "\x7f"])
def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(BadRequest, match="Idempotency-Key must be 1 to 255"):
        read_retry({"idempotency-key": key})


@pytest.mark.parametrize("part", [b"{}", b"[]", b"1", b'""'])
def test_rubble_is_refused_before_it_is_looked_at(part: bytes) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":[' + (part + b",") * 400_001 + part + b"]}]}"
    with pytest.raises(BadRequest, match="more than 400000 commas and brackets"):
        read_call(body, call_id="req_1", endpoint=Endpoint.CHAT, hints={}, arrived_ms=0)
