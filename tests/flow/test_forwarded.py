"""What goes to the provider is what came from the client, byte for byte, but for the few changes that have a name."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from exchanges import CALLER, PRICE, Bench, Plugin, bench, good
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arbstr_core.api import Endpoint, Offer, Outbound, Reply
from arbstr_core.testing import an_offer
from arbstr_core.types import Passthrough
from arbstr_core.wire import read_call

LIMIT = 100
"""of output; what the house sends where the caller names none"""
CHANGED = {"model", "max_tokens", "max_completion_tokens", "stream_options"}
Members = list[tuple[str, bytes]]


class Passing(Plugin):
    """Sells a model under another name, and takes every field."""

    async def offers(self) -> Sequence[Offer]:
        more: dict[str, Any] = {"passthrough": Passthrough.ALL, "context_window": 10**6, "max_output_tokens": LIMIT}
        return [an_offer(upstream="up", price=PRICE, **more)]


class Sent:
    """Sends bodies, and shows what the provider got of them."""

    def __init__(self, runner: asyncio.Runner, made: Bench, got: list[Outbound]) -> None:
        self._runner = runner
        self._made = made
        self._got = got
        self._numbers = itertools.count()

    def __call__(self, body: bytes) -> bytes:
        return self._runner.run(self._send(body))

    async def _send(self, body: bytes) -> bytes:
        id = f"req_{next(self._numbers)}"
        call = read_call(body, call_id=id, endpoint=Endpoint.CHAT, hints={}, arrived_ms=0)
        exchange = self._made.flow.begin(call, CALLER)
        try:
            await exchange.open()
        finally:
            await exchange.close()
        return self._got.pop().body


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    got: list[Outbound] = []

    async def does(call: Outbound) -> Reply:
        got.append(call)
        return await good(call)

    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        house = bench(tmp_path_factory.mktemp("sent"), does, plugin=Passing)
        yield Sent(runner, runner.run(house.__aenter__()), got)
        runner.run(house.__aexit__(None, None, None))


def members(body: bytes) -> Members:
    """The members of an object as they stand, read with the standard library, and not as arbstr reads them."""
    text = body.decode()
    decode = json.JSONDecoder()
    found: Members = []
    at = text.index("{") + 1
    while (at := _past(text, at)) < len(text) and text[at] != "}":
        key, at = decode.raw_decode(text, at)
        at = _past(text, at)
        assert text[at] == ":"
        start = _past(text, at + 1)
        _, at = decode.raw_decode(text, start)
        found.append((key, text[start:at].encode()))
        at = _past(text, at)
        at += text[at] == ","
    return found


def _past(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


# -- any JSON, as text: what Python's own writer never writes, too -----------------------------------------------------

SPACE = st.sampled_from(["", "", " ", "\n", "\t ", "\r\n"])
NUMBERS = st.sampled_from(
    ["0", "-0", "1e2", "1E+2", "1.50", "-0.0", "1e-7", "0.1e1", "123456789012345678901234567890", "1e308", "-1E-400"]
)
ESCAPES = st.sampled_from(
    ['"\\u00e9"', '"\\/"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\\\\\""', '"é😀"', '"\\b\\f\\n\\r\\t"', '"\u2028"', '""']
)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).flatmap(
    lambda text: st.booleans().map(lambda ascii: json.dumps(text, ensure_ascii=ascii))
)
STRINGS = ESCAPES | PLAIN
SCALARS = st.sampled_from(["null", "true", "false"]) | NUMBERS | STRINGS


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    parts = [draw(SPACE) + part + draw(SPACE) for part in draw(st.lists(inner, max_size=3))]
    return "[" + ",".join(parts) + "]"


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """Keys may stand twice."""
    keys = st.sampled_from(['"a"', '"a"', '"\\u0061"']) | STRINGS
    rows = draw(st.lists(st.tuples(keys, inner), max_size=4))
    return "{" + ",".join(draw(SPACE) + key + draw(SPACE) + ":" + draw(SPACE) + value for key, value in rows) + "}"


JSON = st.recursive(SCALARS, lambda inner: lists(inner) | objects(inner), max_leaves=12)
MESSAGES = st.lists(
    st.tuples(st.sampled_from(["user", "system", "developer", "assistant"]), STRINGS, JSON).map(
        lambda row: f'{{"role" : "{row[0]}", "content":{row[1]}, "extra":{row[2]}}}'
    ),
    min_size=1,
    max_size=3,
).map(lambda rows: "[" + " ,\n".join(rows) + "]")
OWN = {
    "model": st.sampled_from(['"model-a"', '"model\\u002da"', '"model-\\u0061"']),
    "messages": MESSAGES,
    "stream": st.sampled_from(["true", "false", "null"]),
    "stream_options": objects(JSON).filter(lambda text: "include_usage" not in text and _once(text)) | st.just("null"),
    "max_tokens": st.sampled_from(["1", "50", "100", "4096", "null"]),
    "max_completion_tokens": st.sampled_from(["7", "4096", "null"]),
    "tools": st.just('[ {"type":"function", "function":{"name":"f","x":1e2,"x":1E2}} ]'),
}


def _once(text: str) -> bool:
    keys = [key for key, _ in members(text.encode())]
    return len(keys) == len(set(keys))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    names = ["model", "messages", *draw(st.sets(st.sampled_from(sorted(OWN)), max_size=5))]
    rows = {json.dumps(name): draw(OWN[name]) for name in dict.fromkeys(names)}
    for key in draw(st.lists(STRINGS, max_size=4)):
        name = json.loads(key)
        if name.casefold() not in RESERVED and name not in map(json.loads, rows):
            rows[key] = draw(JSON)
    order = draw(st.permutations(sorted(rows)))
    text = ",".join(draw(SPACE) + key + draw(SPACE) + ":" + draw(SPACE) + rows[key] + draw(SPACE) for key in order)
    return (draw(SPACE) + "{" + text + "}" + draw(SPACE)).encode()


RESERVED = {*OWN, "n", "functions", "response_format"}


@given(body=bodies())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_forwarded_body_is_the_received_one_but_for_the_named_changes(sent: Sent, body: bytes) -> None:
    forwarded = sent(body)
    before, after = dict(members(body)), dict(members(forwarded))
    assert len(after) == len(members(forwarded))
    kept = [row for row in members(body) if row[0] not in CHANGED]
    assert [row for row in members(forwarded) if row[0] not in CHANGED] == kept
    assert after["model"] == b'"up"'
    asked = [int(before[key]) for key in ("max_tokens", "max_completion_tokens") if before.get(key, b"null") != b"null"]
    assert after["max_tokens"] == str(min([*asked, LIMIT])).encode()
    assert "max_completion_tokens" not in after
    if before.get("stream") == b"true":
        given_options = before.get("stream_options", b"null")
        theirs = [] if given_options == b"null" else members(given_options)
        assert [row for row in members(after["stream_options"]) if row[0] != "include_usage"] == theirs
        assert json.loads(after["stream_options"])["include_usage"] is True
    else:
        assert after.get("stream_options") == before.get("stream_options")
    if "max_completion_tokens" not in before:
        # Nothing but values changed, and what was added stands in front: all between them is as it came.
        added = [key for key in after if key not in before]
        front = b"{" + b"".join(json.dumps(key).encode() + b":" + after[key] + b"," for key in added)
        rest = forwarded.replace(front, b"{", 1)
        for key in CHANGED & set(before):
            rest = rest.replace(after[key], before[key], 1) if after[key] != before[key] else rest
        assert len(rest) == len(body)
