"""HTTP as clients meet it: answers in one call to the kernel, errors in OpenAI's shape, no waiting for the silent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from arbstr_core.testing import in_virtual_time
from arbstr_core.web import HttpProtocol
from arbstr_core.web._asgi import encoded

_ASK = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


class _Wire(asyncio.Transport):
    """Remembers each write, and that it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = self.aborted = False
        self.untaken = 0

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


App = Callable[..., Awaitable[None]]


def _connected(app: App, kind: type[HttpProtocol] = HttpProtocol) -> tuple[HttpProtocol, _Wire, ServerState]:
    config = uvicorn.Config(
        app, http=HttpProtocol, ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False
    )
    config.load()
    state = ServerState()
    protocol = kind(config=config, server_state=state, app_state={})
    wire = _Wire()
    protocol.connection_made(wire)
    return protocol, wire, state


def _answered(app: App, *packets: bytes) -> _Wire:
    async def run() -> _Wire:
        protocol, wire, state = _connected(app)
        for packet in packets or (_ASK,):
            if not wire.closed:
                protocol.data_received(packet)
        while state.tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        protocol.connection_lost(None)
        return wire

    return asyncio.run(run())


def _start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def _body(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def test_the_head_goes_out_with_the_body() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start((b"content-length", b"2")))
        await send(_body(b"hi"))

    wire = _answered(app)
    assert len(wire.writes) == 1
    assert wire.writes[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.writes[0].endswith(b"\r\n\r\nhi")


def test_a_large_body_is_not_copied() -> None:
    large = b"x" * 100_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start((b"content-length", b"100000")))
        await send(_body(large))

    assert _answered(app).writes[1:] == [large]


@pytest.mark.parametrize(
    "ask", [_ASK, b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n", b"HEAD" + _ASK[3:]]
)
@pytest.mark.parametrize("parts", [(), (b"hi",), (b"one", b"", b"two"), (b"one", b"")])
@pytest.mark.parametrize("known", [True, False])
def test_our_own_answers_go_out_as_those_of_others_do(ask: bytes, parts: tuple[bytes, ...], known: bool) -> None:
    length = sum(map(len, parts)) if known else None
    head = encoded([("x-arbstr-model", "a"), ("content-type", "text/plain")], length)

    def app(headers: Any) -> App:
        async def answers(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for part in parts[:-1]:
                await send(_body(part, more=True))
            await send(_body(parts[-1] if parts else b""))

        return answers

    ours, others = _answered(app(head), ask), _answered(app(list(head)), ask)
    # The same but for the order of what says how it ends, and for the second in which it was said.
    assert _said(ours) == _said(others)
    assert ours.closed is others.closed


@pytest.mark.parametrize("asked", [b"", b"connection: keep-alive\r\n"])
def test_a_stream_to_a_client_that_knows_no_chunks_ends_with_its_connection(asked: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": encoded([("x-a", "b")])})
        await send(_body(b"one", more=True))
        await send(_body(b"", more=True))
        await send(_body(b"two"))

    wire = _answered(app, b"POST / HTTP/1.0\r\n%scontent-length: 0\r\n\r\n" % asked)
    head, body = _said(wire)
    assert body == b"onetwo"
    assert b"connection: close" in head
    assert not [line for line in head if line.startswith((b"transfer-encoding", b"content-length"))]
    assert wire.closed


def _said(wire: _Wire) -> tuple[list[bytes], bytes]:
    head, _, body = b"".join(wire.writes).partition(b"\r\n\r\n")
    return sorted(line for line in head.split(b"\r\n") if not line.startswith(b"date: ")), body


def test_an_answer_that_is_not_as_long_as_it_says_is_broken_off() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": encoded([], 3)})
        await send(_body(b"hi"))

    assert _answered(app).closed


def test_a_head_that_nothing_follows_goes_out_by_itself() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await send(_body(b"late"))

    wire = _answered(app)
    assert wire.writes[0].endswith(b"\r\n\r\n")
    assert wire.writes[1] == b"4\r\nlate\r\n0\r\n\r\n"


def test_nothing_is_lost_where_the_connection_closes_at_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start((b"content-length", b"0"), (b"connection", b"close")))
        await send(_body(b""))

    wire = _answered(app)
    assert wire.closed
    assert b"".join(wire.writes).endswith(b"connection: close\r\n\r\n")


# -- what comes in ---------------------------------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the request's body, after its path."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    said = scope["path"].encode() + b" " + bytes(body)
    await send(_start((b"content-length", str(len(said)).encode())))
    await send(_body(said))


UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
BODIES = {
    "sized": b'content-length: 11\r\n\r\n{"a":"b\r\n"}',
    "chunked": b'transfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n8\r\n":"b\r\n"}\r\n0\r\n\r\n',
    "none": b"\r\n",
}


@pytest.mark.parametrize("framing", BODIES)
def test_a_client_that_offers_another_protocol_keeps_its_body(framing: str) -> None:
    """As the HTTP client of Java does by itself, in each of its requests."""
    ask = b"POST /x HTTP/1.1\r\nhost: here\r\n" + UPGRADE + BODIES[framing]
    expected = b"/x " + (b"" if framing == "none" else b'{"a":"b\r\n"}')
    for place in range(1, len(ask)):
        wire = _answered(echo, ask[:place], ask[place:])
        said = b"".join(wire.writes)
        assert said.endswith(b"\r\n\r\n" + expected), place
        assert b"connection: close" not in said
    assert b"".join(_answered(echo, *(bytes([byte]) for byte in ask)).writes).endswith(expected)


def test_requests_that_offer_another_protocol_one_after_the_other_on_one_connection() -> None:
    ask = b"POST /x HTTP/1.1\r\nhost: here\r\n" + UPGRADE + BODIES["sized"]

    async def run() -> _Wire:
        protocol, wire, state = _connected(echo)
        for each in (ask, ask, _ASK, ask):
            protocol.data_received(each)
            while state.tasks:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return wire

    said = b"".join(asyncio.run(run()).writes)
    assert said.count(b'/x {"a":"b') == 3
    assert said.count(b"HTTP/1.1 200 OK") == 4


def shown(wire: _Wire) -> tuple[int, Any]:
    """(status, document) of the one answer."""
    head, _, body = b"".join(wire.writes).partition(b"\r\n\r\n")
    assert b"content-type: application/json\r\n" in head
    assert b"\r\nconnection: close" in head
    assert f"content-length: {len(body)}\r\n".encode() in head
    return int(head.split(b" ")[1]), json.loads(body)


@pytest.mark.parametrize(
    "ask",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET \0 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_openais_shape(ask: bytes) -> None:
    wire = _answered(echo, ask)
    status, document = shown(wire)
    assert (status, wire.closed) == (400, True)
    assert set(document["error"]) == {"message", "type", "param", "code"}
    assert document["error"]["type"] == "invalid_request_error"


def test_a_head_without_end_is_refused() -> None:
    wire = _answered(echo, b"GET / HTTP/1.1\r\nx: ", *[b"y" * 10_000] * 10)
    status, document = shown(wire)
    assert (status, document["error"]["code"]) == (431, "head_too_large")


def test_rubble_in_the_middle_of_an_answer_is_not_answered() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(_start((b"content-length", b"8")))
        await send(_body(b"half", more=True))
        while (await receive())["type"] != "http.disconnect":
            pass

    async def run() -> _Wire:
        protocol, wire, state = _connected(app)
        protocol.data_received(_ASK)
        while not wire.writes:
            await asyncio.sleep(0)
        protocol.data_received(b"\0\0 rubble")
        assert wire.aborted
        protocol.connection_lost(None)
        while state.tasks:
            await asyncio.sleep(0)
        return wire

    assert b"".join(asyncio.run(run()).writes).count(b"HTTP/1.1") == 1


class Hurried(HttpProtocol):
    silent_seconds = 0.01


async def _until_closed(wire: _Wire) -> None:
    async with asyncio.timeout(60):
        while not wire.closed:
            await asyncio.sleep(0.001)


def test_who_says_nothing_is_not_waited_for() -> None:
    async def run() -> None:
        _, wire, _ = _connected(echo, Hurried)
        await _until_closed(wire)
        assert wire.writes == []

    in_virtual_time(run())


@pytest.mark.parametrize("before", [b"", _ASK])
def test_who_does_not_end_a_head_is_not_waited_for(before: bytes) -> None:
    async def run() -> None:
        protocol, wire, state = _connected(echo, Hurried)
        if before:
            protocol.data_received(before)
            while state.tasks:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            assert not wire.closed, "it waits for the next request"
            wire.writes.clear()
        protocol.data_received(b"POST /v1/chat/completions HTTP/1.1\r\nhost: he")
        await _until_closed(wire)
        status, document = shown(wire)
        assert (status, document["error"]["code"]) == (408, "request_timeout")

    in_virtual_time(run())


@pytest.mark.parametrize("part", [b"", b"{"])
def test_who_does_not_end_a_body_is_not_waited_for(part: bytes) -> None:
    left: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            assert message["more_body"]
        left.append(message["type"])

    async def run() -> None:
        protocol, wire, state = _connected(app, Hurried)
        protocol.data_received(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\n" + part)
        await _until_closed(wire)
        status, document = shown(wire)
        assert (status, document["error"]["code"]) == (408, "request_timeout")
        protocol.connection_lost(None)
        while state.tasks:
            await asyncio.sleep(0)

    in_virtual_time(run())
    assert left == ["http.disconnect"]


def test_a_body_that_is_not_wanted_any_more_leaves_the_connection_alone() -> None:
    """As where it is too large: it was answered before it was whole, and once it is, the next request may come."""

    async def early(scope: Any, receive: Any, send: Any) -> None:
        await send(_start((b"content-length", b"2")))
        await send(_body(b"no"))

    async def run() -> None:
        protocol, wire, state = _connected(early, Hurried)
        protocol.data_received(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\nab")
        while state.tasks:
            await asyncio.sleep(0)
        protocol.data_received(b"cd")
        await asyncio.sleep(0.05)
        assert not wire.closed
        protocol.data_received(_ASK)
        while state.tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert b"".join(wire.writes).count(b"HTTP/1.1 200 OK") == 2
        protocol.connection_lost(None)

    in_virtual_time(run())


def test_a_client_that_sends_slowly_is_heard_out() -> None:
    async def run() -> _Wire:
        protocol, wire, state = _connected(echo)
        for byte in b"POST /x HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\nabcd":
            # As if the time of the byte before were up: since then one has come.
            protocol._waited()
            protocol.data_received(bytes([byte]))
        while state.tasks:
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return wire

    assert b"".join(asyncio.run(run()).writes).endswith(b"/x abcd")


def test_what_was_not_taken_long_after_the_answer_is_thrown_away() -> None:
    async def run() -> None:
        protocol, wire, state = _connected(echo)
        protocol.timeout_keep_alive = 0
        wire.untaken = 100_000
        protocol.data_received(_ASK)
        while state.tasks:
            await asyncio.sleep(0)
        await _until_closed(wire)
        assert wire.aborted

    asyncio.run(run())


def test_a_client_that_comes_again_in_time_is_not_cut_off_by_the_pause_before() -> None:
    async def run() -> None:
        protocol, wire, state = _connected(echo)
        protocol.data_received(_ASK)
        while state.tasks:
            await asyncio.sleep(0)
        assert protocol.timeout_keep_alive_task is not None
        # As if the time of the first pause were up, in the middle of the second request, and soon after it.
        protocol.data_received(_ASK[:10])
        protocol.timeout_keep_alive_handler()
        assert not wire.closed
        protocol.data_received(_ASK[10:])
        while state.tasks:
            await asyncio.sleep(0)
        protocol.timeout_keep_alive_handler()
        assert not wire.closed
        protocol.timeout_keep_alive = 0
        protocol.timeout_keep_alive_handler()
        assert wire.closed
        protocol.connection_lost(None)

    asyncio.run(run())
