"""T13: a key that stands twice would be billed one way and served another; it is refused however it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbstr_core.routing._fields import _TABLE, PLAIN_OF
from arbstr_core.types import BadRequest, ChatCall, Endpoint
from arbstr_core.wire import read_call

GOOD: dict[str, Any] = {"model": "cheap", "messages": [{"role": "user", "content": 'say "model":"x", twice'}]}
VALUES: dict[str, Any] = {
    "model": "dear",
    "messages": [{"role": "user", "content": "x" * 50}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 9,
    "max_completion_tokens": 9,
    "n": 5,
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "functions": [{"name": "f"}],
    "response_format": {"type": "json_object"},
    "provider": {"sort": "price"},
}
MATTERS = sorted({*PLAIN_OF[Endpoint.CHAT], *_TABLE})
SPACES = st.sampled_from(["", " ", "\n", "\t", " \r\n "])


def read(body: bytes) -> ChatCall:
    return read_call(body, call_id="req_1", endpoint=Endpoint.CHAT, hints={}, arrived_ms=1)


def spelled(draw: st.DrawFn, key: str) -> str:
    """The key as JSON, some of its characters as escapes."""
    return '"' + "".join(f"\\u{ord(c):04x}" if draw(st.booleans()) else c for c in key) + '"'


@st.composite
def twice(draw: st.DrawFn) -> tuple[str, bytes]:
    """A body with one key twice: next to each other or not, spelled alike or not, with equal values or not."""
    key = draw(st.sampled_from(MATTERS))
    first = draw(st.sampled_from([VALUES.get(key, 1), None]))
    second = draw(st.sampled_from([VALUES.get(key, 1), None, {key: [key, {key: 1}]}, f'"{key}":1', [[], {}]]))
    pairs = [(name, value) for name, value in GOOD.items() if name != key]
    pairs += [
        (name, 1) for name in draw(st.lists(st.sampled_from(["seed", "user", "foo"]), unique=True)) if name != key
    ]
    pairs.insert(draw(st.integers(0, len(pairs))), (key, first))
    pairs.insert(draw(st.integers(0, len(pairs))), (key, second))
    parts = [
        draw(SPACES) + spelled(draw, name) + draw(SPACES) + ":" + draw(SPACES) + json.dumps(value) + draw(SPACES)
        for name, value in pairs
    ]
    return key, (draw(SPACES) + "{" + ",".join(parts) + "}" + draw(SPACES)).encode()


@settings(max_examples=500)
@given(twice())
def test_t13_a_key_that_stands_twice_is_refused_and_named(written: tuple[str, bytes]) -> None:
    key, body = written
    with pytest.raises(BadRequest, match="twice") as refused:
        read(body)
    assert refused.value.param == key


@pytest.mark.parametrize("key", MATTERS)
@pytest.mark.parametrize("other", ["\\u", " "])
def test_t13_every_key_that_matters(key: str, other: str) -> None:
    again = f"\\u{ord(key[0]):04x}{key[1:]}" if other == "\\u" else key
    rest = {name: value for name, value in GOOD.items() if name != key}
    value = json.dumps(VALUES.get(key, 1))
    head = "".join(f'"{name}":{json.dumps(held)},' for name, held in rest.items())
    once = f'{{{head}"{key}":{value}}}'
    assert read(once.encode()).members.keys() == {*rest, key}
    with pytest.raises(BadRequest, match="twice"):
        read(f'{{{head}"{key}":{value},"{again}":{value}}}'.encode())


@pytest.mark.parametrize("key", sorted(VALUES))
def test_t13_a_key_that_another_server_would_take_for_one_of_ours_is_refused(key: str) -> None:
    """Servers that match names without case take the last spelling."""
    lookalikes = {key.upper(), key.title(), key.replace("s", "ſ"), key.replace("k", "\u212a")} - {key}
    for other in lookalikes:
        with pytest.raises(BadRequest, match="write it") as refused:
            read(json.dumps({**GOOD, key: VALUES[key], other: VALUES[key]}).encode())
        assert refused.value.param == other


def test_words_that_look_like_keys_are_words() -> None:
    text = '{"model":"dear","model":"dearer"}'
    call = read(json.dumps({**GOOD, "messages": [{"role": "user", "content": text}]}).encode())
    assert call.model == "cheap"
