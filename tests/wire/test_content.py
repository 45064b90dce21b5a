"""What stands inside messages and tools: all of it is found, however it is written, and text alone costs nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.wire import MalformedJson, look_into, members, server_tools
from arbstr_core.wire._content import TEXT_ONLY, Content

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def said(*contents: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content, **more} for content in contents]


def look(messages: Any, *, escaped: bool = False) -> Content:
    text = json.dumps(messages)
    if escaped:
        text = text.replace("_", "\\u005f").replace("content", "c\\u006fntent")
    return look_into(text.encode())


@pytest.mark.parametrize(
    "messages",
    [
        [],
        said("hi", "", None),
        said('"content":[{"type":"image_url","image_url":{"url":"https://x"}}]'),
        said("hi", name="x", tool_calls=[CALL], tool_call_id="1", refusal=None, function_call={"name": "f"}),
        said("hi", reasoning_content="so", reasoning="so", reasoning_details=[{"text": "so"}], annotations=[]),
        said("hi", audio=None, prefix=True, unknown="text"),
        said([{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}, "c"]),
        said([{"type": "thinking", "thinking": "a", "signature": "b"}]),
        ["hi", 7, None],
        said(7, True),
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_text_is_text(messages: Any, escaped: bool) -> None:
    assert look(messages, escaped=escaped) == TEXT_ONLY


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, ".image_url"),
        ({"type": "image_url", "image_url": "https://x/y.png"}, ".image_url"),
        ({"type": "image_url", "image_url": {"url": "data:application/pdf;base64,QUJD"}}, ".image_url"),
        ({"type": "image_url", "image_url": {"url": PICTURE["image_url"]["url"], "URL": "https://x"}}, ".image_url"),  # type: ignore[index]
        ({"type": "image_url", "image_url": {"url": 7}}, ".image_url"),
        ({"type": "image_url", "image_url": {"file_id": "f"}}, ".image_url"),
        ({**PICTURE, "Image_url": {"url": "https://x"}}, ""),
        ({"type": "input_audio", "input_audio": {"data": "https://x/y.wav"}}, ".input_audio"),
        ({"type": "input_audio", "input_audio": {"data": None, "file_id": "f"}}, ".input_audio"),
        ({"type": "file", "file": {"file_id": "f"}}, ""),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}}, ""),
        ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUJD"}}, ""),
        ({"type": "text", "text": "a", "Type": "file", "file": {"file_id": "f"}}, ""),
        ({"type": ["text"], "text": "a"}, ""),
        ({"type": "text", "text": {"file_id": "f"}}, ""),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_what_is_elsewhere_is_named(part: Any, place: str, escaped: bool) -> None:
    found = look([*said("hi"), *said([{"type": "text", "text": "a"}, part])], escaped=escaped)
    assert found.elsewhere == f"messages[1].content[1]{place}"
    assert found.attachments == 0


@pytest.mark.parametrize("name", ["audio", "Content", "images", "documents", "CONTENT"])
def test_a_part_of_a_message_that_is_not_known_is_elsewhere(name: str) -> None:
    for value in ({"id": "audio_1"}, [{"type": "file"}]):
        assert look(said("hi", **{name: value})).elsewhere == f"messages[0].{name}"


@pytest.mark.parametrize("escaped", [True, False])
def test_what_is_inside_is_counted(escaped: bool) -> None:
    url = PICTURE["image_url"]["url"]  # type: ignore[index]
    found = look(said([PICTURE, {"type": "image_url", "image_url": url.upper()}], [SOUND]), escaped=escaped)
    assert (found.attachments, found.attached_bytes, found.elsewhere) == (3, 2 * len(url) + 4, None)
    assert (found.vision, found.audio) == (True, True)
    assert not look(said([PICTURE])).audio
    assert not look(said([SOUND])).vision


def test_marks_for_the_cache_are_found() -> None:
    mark = {"type": "ephemeral"}
    assert look(said([{"type": "text", "text": "a", "cache_control": mark}])).inside == {"cache_control"}
    assert look(said("a", Cache_Control=mark)).inside == {"cache_control"}
    assert look(said("a", cache_control=None)).inside == frozenset()
    assert server_tools(json.dumps([{"type": "function", "cache_control": mark}]).encode()) == {"cache_control"}


@pytest.mark.parametrize(
    ("tool", "named"),
    [
        ({"type": "function", "function": {"name": "f"}}, set()),
        ({"type": "custom", "custom": {"name": "f"}}, set()),
        ({"type": "function", "name": "f"}, set()),
        ({"function": {"name": "f"}}, set()),
        ({"type": "web_search"}, {"tools.web_search"}),
        ({"type": "Web_Search", "x": 1}, {"tools.web_search"}),
        ({"type": "function", "Type": "code_interpreter"}, {"tools.code_interpreter"}),
        ({"type": 7}, {"tools.7"}),
        ({"name": "f"}, {"tools.untyped"}),
        ("web_search", {"tools.untyped"}),
    ],
)
def test_tools_of_the_provider_are_named(tool: Any, named: set[str]) -> None:
    text = json.dumps([{"type": "function", "function": {}}, tool])
    assert server_tools(text.encode()) == named
    assert server_tools(text.replace("type", "t\\u0079pe").encode()) == named


ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "image_url", "url", "content", "data"]) | st.text(), inner)
    ),
    max_leaves=10,
)


@given(st.lists(ANY, max_size=3))
def test_anything_is_text_or_counted_or_elsewhere(messages: Any) -> None:
    found = look(messages)
    assert 0 <= found.attached_bytes <= len(json.dumps(messages))
    body = json.dumps({"messages": messages}).encode()
    members(body)
    if found == TEXT_ONLY:
        for message in messages:
            contents = message.get("content") if isinstance(message, dict) else None
            for part in contents if isinstance(contents, list) else [contents]:
                assert not isinstance(part, dict) or part["type"] in ("text", "refusal", "thinking", "reasoning")


@pytest.mark.parametrize("body", [b"[" * 200_000 + b"]" * 200_000, b'[{"content":[1e999]}]'])
def test_what_cannot_be_read_is_said(body: bytes) -> None:
    for read in (look_into, server_tools):
        with pytest.raises(MalformedJson):
            read(body)
