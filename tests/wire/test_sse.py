"""Framing of server-sent events: whatever the packets were, the events are the same, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.wire import DONE, EventTooLarge, SseFramer, broke_off, event_data, events_in

ENDS = ["\n", "\r\n", "\r"]
LINES = st.sampled_from(
    [
        "data: {}",
        "data:",
        "data: [DONE]",
        'data: {"choices":[{"delta":{"content":"é😀"}}]}',
        ": a comment",
        ":",
        "event: ping",
        "id: 7",
        "retry: 1",
        "",
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(ENDS)), max_size=12).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)
NOISE = st.lists(st.sampled_from([b"\r", b"\n", b"data: x", b":", b"\xc3", b"\xa9", b" "]), max_size=16).map(b"".join)


def framed(*chunks: bytes) -> list[bytes]:
    framer = SseFramer()
    batches = [framer.feed(chunk) for chunk in chunks]
    return [event for batch in [*batches, framer.end()] for event in events_in(batch)]


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(stream) + 1) for cut in cuts})
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


def said(events: list[bytes]) -> list[bytes]:
    return [data for data in map(event_data, events) if data is not None]


def reference(stream: bytes) -> list[bytes]:
    """The data of each event, as WHATWG HTML 9.2.6 reads it; one that the end cuts counts as well."""
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    found: list[bytes] = []
    data: list[bytes] = []
    for line in [*lines, b""]:
        if not line:
            if data:
                found.append(b"\n".join(data))
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
    return found


@given(stream=STREAMS | NOISE, cuts=st.lists(st.integers(0, 10_000), max_size=6))
def test_packets_make_no_difference(stream: bytes, cuts: list[int]) -> None:
    assert framed(*split(stream, cuts)) == framed(stream)


@given(stream=STREAMS | NOISE)
def test_a_byte_at_a_time(stream: bytes) -> None:
    assert framed(*[bytes([byte]) for byte in stream]) == framed(stream)


@given(stream=STREAMS)
def test_the_data_is_what_the_standard_says(stream: bytes) -> None:
    assert [data for data in said(framed(stream)) if data] == [data for data in reference(stream) if data]


@given(stream=STREAMS | NOISE)
def test_no_byte_is_lost_or_made_up_but_blank_lines(stream: bytes) -> None:
    def bare(text: bytes) -> bytes:
        return text.replace(b"\r", b"").replace(b"\n", b"")

    assert bare(b"".join(framed(stream))) == bare(stream)


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers(), max_size=3), max_size=8), st.data())
def test_every_split_of_a_usual_stream(documents: list[dict[str, object]], data: st.DataObject) -> None:
    events = [b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n" for document in documents]
    stream = b"".join([*events, DONE])
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=5))
    assert framed(*split(stream, cuts)) == [*events, DONE]


def test_every_pair_of_line_ends_is_a_blank_line() -> None:
    for first in ENDS:
        for second in ENDS:
            if first + second != "\r\n":
                stream = f"data: a{first}{second}data: b\n\n".encode()
                assert said(framed(stream)) == [b"a", b"b"], (first, second)
                assert framed(*[bytes([byte]) for byte in stream]) == framed(stream)


def test_an_event_that_the_end_cuts_gets_its_blank_line() -> None:
    assert framed(b"data: a\n\ndata: b") == [b"data: a\n\n", b"data: b\n\n"]
    assert framed(b"\n\n\n") == []


def test_the_data_of_an_event() -> None:
    assert event_data(b"data: a\n\n") == b"a"
    assert event_data(b"data:a\n\n") == b"a"
    assert event_data(b"data:  a\n\n") == b" a"
    assert event_data(b"data: a\r\n\r\n") == b"a"
    assert event_data(b"event: x\ndata: a\ndata: b\n\n") == b"a\nb"
    assert event_data(b": comment\n\n") is None
    assert event_data(b"event: x\n\n") is None


@pytest.mark.parametrize("piece", [b"x" * 65536, b"x\r" * 32768])
def test_an_event_without_end_is_cut_off(piece: bytes) -> None:
    framer = SseFramer()
    with pytest.raises(EventTooLarge):
        any(framer.feed(piece) for _ in range(200))


def test_half_an_event_is_told_from_a_whole_one() -> None:
    whole = [b"data: {}", b"data: [DONE]", b"data:1", b": x", b"data: : x", b"event: a\ndata: {}", b"event: a"]
    whole += [b'data: {"a":NaN}', rb'data: {"a":"\ud83d"}', b'data: {"a":"\xe2\x82"}']
    assert [event for event in whole if broke_off(event + b"\n\n")] == []
    half = [b'data: {"a":', b"data: [DON", b"data:", b'event: a\ndata: {"', b'data: {"a":"\xe2\x82', b"data: {}x"]
    assert [event for event in half if not broke_off(event + b"\n\n")] == []
