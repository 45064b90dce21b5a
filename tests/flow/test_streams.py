"""Whatever an upstream's stream looks like on the wire, its client sees the same events, and pays to the msat."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from exchanges import CALLER, Bench, bench, chunks, everything
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import data_of, view

from arbstr_core.api import Outbound, Reply
from arbstr_core.testing import a_call

QUESTION = b'[{"role":"user","content":"Say hello"}]'
GIVEN = -(-len(QUESTION) // 4)
"""the tokens of input where nobody says them"""
Ask = Callable[..., "Got"]


@dataclass(frozen=True)
class Got:
    """What came of one call."""

    body: bytes
    charged: int
    state: str


class Line:
    """Asks for a stream that comes in given packets, call after call, of one house."""

    def __init__(self, runner: asyncio.Runner, made: Bench, packets: list[Sequence[bytes]]) -> None:
        self._runner = runner
        self._made = made
        self._packets = packets
        self._numbers = itertools.count()

    def __call__(self, *packets: bytes, usage: bool = False) -> Got:
        return self._runner.run(self._ask(packets, usage))

    async def _ask(self, packets: Sequence[bytes], usage: bool) -> Got:
        self._packets[:] = [packets]
        id = f"req_{next(self._numbers)}"
        fields = {"stream_options": {"include_usage": True}} if usage else {}
        call = a_call(stream=True, output_limit=100, fields=fields)
        exchange = self._made.flow.begin(msgspec.structs.replace(call, id=id, include_usage=usage), CALLER)
        try:
            await exchange.open()
            body = await everything(exchange)
        finally:
            await exchange.close()
        ((state, charged),) = self._made.rows(
            f"SELECT h.state, t.amount_msat FROM hold h JOIN transfer t ON t.hold_seq = h.seq WHERE h.id = '{id}'"
        )
        return Got(body, charged, state)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    packets: list[Sequence[bytes]] = []

    async def does(call: Outbound) -> Reply:
        return Reply.of_events(chunks(*packets[0]))

    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        house = bench(tmp_path_factory.mktemp("line"), does)
        made = runner.run(house.__aenter__())
        yield Line(runner, made, packets)
        runner.run(house.__aexit__(None, None, None))


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def event(document: Any, end: str = "\n") -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}{end}{end}".encode()


DONE = b"data: [DONE]\n\n"
USED = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
LAST = {**chunk(), "choices": [], "usage": USED}
USUAL = [chunk("für "), chunk("zwölf 🦊"), chunk("€"), chunk(finish="stop")]
STREAM = b"".join(event(document) for document in [*USUAL, LAST]) + DONE
TORTURE = (
    b": OPENROUTER PROCESSING\n\n"
    + event(USUAL[0], "\r\n")
    + b"data: : OPENROUTER PROCESSING\n\n"
    + b"id: 7\nretry: 3000\n"
    + event(USUAL[1], "\r")
    + b"event: ping\n\nid: 8\n\n:\n\n\n\n"
    + b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",\r\n: inside\r\n'
    + 'data: "choices":[{"index":0,"delta":{"content":"€"},"finish_reason":null}]}\r\nid: 9\r\n\r\n'.encode()
    + event(USUAL[3])
    + event(LAST)
    + b"data: [DONE]"
)
"""lacks its last blank line"""


def cuts(stream: bytes) -> Iterator[list[bytes]]:
    """In two at every place, a byte at a time, and whole."""
    for place in range(1, len(stream)):
        yield [stream[:place], stream[place:]]
    yield [stream[place : place + 1] for place in range(len(stream))]
    yield [stream]


@pytest.mark.parametrize("stream", [STREAM, TORTURE], ids=["usual", "torture"])
def test_cut_into_packets_at_every_byte(line: Line, stream: bytes) -> None:
    for packets in cuts(stream):
        got = line(*packets)
        assert view(got.body) == [*USUAL, "[DONE]"], packets
        assert (got.state, got.charged) == ("settled", 10)


def test_usage_that_was_asked_for_is_there(line: Line) -> None:
    for packets in cuts(STREAM):
        got = line(*packets, usage=True)
        assert got.body == STREAM, packets
        assert got.charged == 10


def test_ended_at_every_byte(line: Line) -> None:
    """An upstream that says nothing of its length can end anywhere. Half an event is none."""
    whole = view(STREAM)
    for place in range(1, len(STREAM)):
        came = data_of(STREAM[:place] + b"\n\n")
        came = [data for data in came if data in data_of(STREAM)]
        if not came:
            continue
        got = line(STREAM[:place])
        shown = view(got.body)
        documents = [json.loads(data) for data in came if data != b"[DONE]"]
        seen = [document for document in documents if document["choices"]]
        ended = any(document["choices"] and document["choices"][0]["finish_reason"] for document in documents)
        assert shown[:-1] == seen, place
        assert (shown[-1] == "[DONE]") if ended else shown[-1]["error"], place
        assert got.state == "settled"
        assert got.charged > 0
    assert whole[-1] == "[DONE]"


def test_cut_where_every_chunk_has_an_empty_reason(line: Line) -> None:
    said = [chunk("a", ""), chunk("b", "")]
    got = line(b"".join(map(event, said)))
    *shown, last = view(got.body)
    assert shown == said
    assert last["error"]["code"] == "upstream_cut"


# -- any stream ------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
NOISE = st.sampled_from(
    [": a comment", ":", "event: ping", "id: 7", "id", "retry: 10", "unknown: x", "data: : PROCESSING", "data: :x", ""]
)
INSIDE = st.sampled_from([": inside", "id: 1", "retry: 5", "event: message", "unknown"])
LASTS = st.sampled_from(["data: [DONE]\n\n", "data:[DONE]\r\n\r\n", "data: [DONE]", "data: [DONE]\n", ""])
WHERE = st.sampled_from(["last chunk", "last content", "every chunk", "before the finish", "x_groq", "nowhere"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[dict[str, Any]], bytes]:
    """(documents, the bytes they came as)."""
    said = draw(st.lists(TEXTS, min_size=1, max_size=6))
    documents = [chunk(text, **draw(st.sampled_from([{}, {"x": 1e2}, {"usage": None}]))) for text in said]
    documents.append(chunk(finish="stop"))
    most = max(len("".join(said).encode()), 1)
    used = {"prompt_tokens": draw(st.integers(0, 9)), "completion_tokens": draw(st.integers(1, min(most, 90)))}
    where = draw(WHERE)
    if where == "last chunk":
        documents.append({**chunk(), "choices": [], "usage": used})
    elif where == "last content":
        documents[-1]["usage"] = used
    elif where == "x_groq":
        documents[-1]["x_groq"] = {"usage": used}
    elif where == "before the finish":
        documents.insert(-1, {**chunk(), "choices": [], "usage": used})
    elif where == "every chunk":
        for document in documents:
            document["usage"] = used
    parts = []
    for document in documents:
        end = draw(ENDS)
        parts += [f"{noise}{end}{end}" for noise in draw(st.lists(NOISE, max_size=2))]
        text = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, None, 1])))
        space = draw(st.sampled_from(["", " "]))
        lines = [f"data:{space}{row}" for row in text.split("\n")]
        for inside in draw(st.lists(INSIDE, max_size=2)):
            lines.insert(draw(st.integers(0, len(lines))), inside)
        parts.append("".join(row + end for row in lines) + end)
    parts.append(
        draw(st.sampled_from(["data: [DONE]\n\n", "data:[DONE]\r\n\r\n", "data: [DONE]", "data: [DONE]\n", ""]))
    )
    return documents, "".join(parts).encode()


def price(documents: list[dict[str, Any]]) -> int:
    """What the documents cost by what they say, at one msat a token."""
    reports = [document.get("usage") or document.get("x_groq", {}).get("usage") for document in documents]
    used = [report for report in reports if report]
    if used:
        return int(used[-1]["prompt_tokens"] + used[-1]["completion_tokens"])
    text = sum(len((row["delta"].get("content") or "").encode()) for each in documents for row in each["choices"])
    return GIVEN + -(-text // 4)


@given(stream=streams(), places=st.lists(st.integers(0, 10**6), max_size=8), usage=st.booleans())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_stream_in_any_packets(
    line: Line, stream: tuple[list[dict[str, Any]], bytes], places: list[int], usage: bool
) -> None:
    documents, sent = stream
    edges = sorted({0, len(sent), *(place % (len(sent) + 1) for place in places)})
    got = line(*(sent[a:b] for a, b in itertools.pairwise(edges)), usage=usage)
    expected = [document for document in documents if usage or document["choices"]]
    assert view(got.body) == [*expected, "[DONE]"]
    assert (got.state, got.charged) == ("settled", price(documents))


# -- very large, and very many ---------------------------------------------------------------------------------------


def packets_of(stream: bytes, size: int) -> list[bytes]:
    return [stream[place : place + size] for place in range(0, len(stream), size)]


@pytest.mark.parametrize("size", [1_000, 65_536, 10**9])
def test_events_of_a_megabyte(line: Line, size: int) -> None:
    large = [chunk("é" * 500_000), chunk("x" * 3_000_000), chunk(finish="stop")]
    sent = b"".join(event(document) for document in [*large, LAST]) + DONE
    got = line(*packets_of(sent, size))
    assert view(got.body) == [*large, "[DONE]"]
    assert got.charged == 10


def test_a_megabyte_in_packets_of_a_few_bytes(line: Line) -> None:
    """What came of an event is not copied with each packet of it: else this takes minutes."""
    large = [chunk("x" * 6_000_000), chunk(finish="stop")]
    sent = b"".join(event(document) for document in [*large, LAST]) + DONE
    got = line(*packets_of(sent, 60))
    assert view(got.body) == [*large, "[DONE]"]


@pytest.mark.parametrize("size", [7, 1_460, 65_536, 10**9])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ten_thousand_tiny_events(line: Line, size: int, end: str) -> None:
    many = [chunk(letter) for letter in "abcdefghij" * 1_000] + [chunk(finish="stop")]
    sent = b"".join(event(document, end) for document in [*many, LAST]) + DONE
    got = line(*packets_of(sent, size))
    assert view(got.body) == [*many, "[DONE]"]
    assert got.charged == 10
