"""Chunks put right: what OpenAI's helpers would put together wrongly, they put together right; nothing else changes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.wire import Tidy


def event(*choices: Any, **more: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", "choices": list(choices), **more}).encode() + b"\n\n"


def choice(index: int | None = 0, **delta: Any) -> dict[str, Any]:
    said = {"delta": delta, "finish_reason": None}
    return said if index is None else {"index": index, **said}


def through(*events: bytes, choices: int = 1) -> list[Any]:
    tidy = Tidy(choices)
    out = b"".join(tidy(each) for each in events).decode()
    return [json.loads(block.removeprefix("data: ")) for block in out.removesuffix("\n\n").split("\n\n")]


def put_together(chunks: list[Any]) -> dict[int, Any]:
    """As OpenAI's helper does: strings are added to strings, lists go by index. Indexes that come out of order fail."""
    found: dict[int, Any] = {}
    for chunk in chunks:
        for said in chunk["choices"]:
            index = said.get("index", 0)
            assert index <= len(found), "a choice before those below it"
            message = found.setdefault(index, {"role": "", "content": "", "calls": []})
            delta = said["delta"]
            message["role"] += delta.get("role") or ""
            message["content"] += delta.get("content") or ""
            for call in delta.get("tool_calls") or []:
                assert call["index"] <= len(message["calls"]), "a call before those below it"
                if call["index"] == len(message["calls"]):
                    message["calls"].append({"id": "", "name": "", "arguments": ""})
                known, function = message["calls"][call["index"]], call.get("function") or {}
                known["id"] += call.get("id") or ""
                known["name"] += function.get("name") or ""
                known["arguments"] += function.get("arguments") or ""
    return found


def call(index: int | None, id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    said: dict[str, Any] = {} if index is None else {"index": index}
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {**said, **({} if id is None else {"id": id, "type": "function"}), "function": function}


def test_what_is_right_comes_out_byte_for_byte() -> None:
    events = [
        event(choice(role="assistant", content="")),
        event(choice(content='say "role" and "tool_calls"')),
        event(choice(tool_calls=[call(0, "t1", "f")])),
        event(choice(tool_calls=[call(0, arguments='{"role":1}')])),
        event(choice(tool_calls=[call(1, "t2", "g", "{}")])),
        event({"index": 0, "delta": {}, "finish_reason": "tool_calls"}),
        event(usage={"prompt_tokens": 1}),
        b'data: not json with "role"\n\n',
        b'data: {"choices": [{"delta": {"role": \n\n',
    ]
    tidy = Tidy(1)
    assert [tidy(each) for each in events] == events


def test_a_role_is_said_once() -> None:
    chunks = through(*(event(choice(role="assistant", content=word)) for word in ("a", "b", "c")))
    assert put_together(chunks) == {0: {"role": "assistant", "content": "abc", "calls": []}}
    assert chunks[1] == {"id": "c", "choices": [choice(content="b")]}


def test_calls_are_numbered_from_zero_and_named_once() -> None:
    shifted = through(
        event(choice(tool_calls=[call(1, "t1", "f", '{"a"')])),
        event(choice(tool_calls=[call(1, "t1", "f", ":1}")])),
        event(choice(tool_calls=[call(2, "t2", "g", "{}")])),
    )
    assert put_together(shifted)[0]["calls"] == [
        {"id": "t1", "name": "f", "arguments": '{"a":1}'},
        {"id": "t2", "name": "g", "arguments": "{}"},
    ]
    alike = through(
        event(choice(tool_calls=[call(0, "t1", "f", "{}")])), event(choice(tool_calls=[call(0, "t2", "g", "{}")]))
    )
    assert [each["id"] for each in put_together(alike)[0]["calls"]] == ["t1", "t2"]
    unnumbered = through(event(choice(None, tool_calls=[call(None, "t1", "f", "{}")])))
    assert put_together(unnumbered)[0]["calls"] == [{"id": "t1", "name": "f", "arguments": "{}"}]


def test_choices_come_in_order() -> None:
    chunks = through(
        event(choice(1, role="assistant", content="b")), event(choice(0, role="assistant", content="a")), choices=2
    )
    assert put_together(chunks) == {
        index: {"role": "assistant", "content": text, "calls": []} for index, text in enumerate("ab")
    }


DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": st.text(max_size=3) | st.none(),
        "tool_calls": st.lists(
            st.builds(
                call,
                st.none() | st.integers(0, 3),
                st.none() | st.sampled_from(["t1", "t2"]),
                st.sampled_from(["f", None]),
            ),
            max_size=2,
        ),
    },
)


def of(*indexes: int | None) -> st.SearchStrategy[Any]:
    return st.builds(lambda index, delta: choice(index, **delta), st.sampled_from(indexes), DELTAS)


STREAMS = st.tuples(
    st.just(4), st.lists(st.lists(of(None, 0, 1, 2, 3), max_size=3), min_size=1, max_size=6)
) | st.tuples(st.just(1), st.lists(st.lists(of(None, 0), max_size=1), min_size=1, max_size=6))


@given(STREAMS)
def test_whatever_comes_can_be_put_together(stream: tuple[int, list[list[Any]]]) -> None:
    choices, events = stream
    for message in put_together(through(*(event(*each) for each in events), choices=choices)).values():
        assert message["role"] in ("", "assistant")
        assert all(each["id"] in ("", "t1", "t2") for each in message["calls"])


NAMES = ["role", "tool_calls", "index", "delta", "id"]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["role", "tool_calls", "index", "delta", "id"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(JSON, max_size=3))
def test_nothing_breaks_it(choices: list[Any]) -> None:
    Tidy(2)(event(*choices))
