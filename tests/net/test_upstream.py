"""The client for inference against servers of every kind: how a reply ends, and what becomes of its connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from arbstr_core.api import Endpoint, Outbound, Reply, Secret
from arbstr_core.net import Guard, UpstreamPools, origins_in
from arbstr_core.net._http1 import Broken, Connection
from arbstr_core.types import ConnectFailed, ReplyCut, ReplyTimedOut

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
RUNNERS = [asyncio.run, uvloop.run]


class Server:
    """Answers each request on a connection with the next of `answers`; None hangs up instead."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.heads: list[str] = []
        self.connections = 0
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                answer = self.answers.pop(0)
                if answer is None:
                    break
                size = next(int(line[15:]) for line in head.splitlines() if line.startswith("content-length:"))
                if b" 413 " not in answer:
                    await reader.readexactly(size)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


Send = Callable[..., Awaitable[Reply]]


@asynccontextmanager
async def sending(server: Server) -> AsyncIterator[Send]:
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    async with listening, UpstreamPools(connect_seconds=5) as pools:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/chat/completions"
        client = pools.client(Guard(frozenset(origins_in({"url": server.url}))))

        async def send(body: bytes = b"{}", key: Secret | None = None) -> Reply:
            call = Outbound(endpoint=Endpoint.CHAT, headers={"accept": "*/*"}, body=body)
            return await client.send(call.to(server.url, key))

        yield send


async def read(reply: Reply) -> bytes:
    body = await reply.read(10_000_000)
    assert reply.ended
    await reply.aclose()
    return body


@pytest.mark.parametrize("run", RUNNERS)
def test_a_connection_serves_one_call_after_the_other(run: Callable[..., None]) -> None:
    server = Server(WHOLE, CHUNKED, b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + WHOLE, WHOLE)

    async def story() -> None:
        async with sending(server) as send:
            for _ in range(4):
                reply = await send(key=Secret("key"))
                assert reply.status == 200
                assert await read(reply) == b"{}"
            assert reply.headers["content-type"] == "application/json"

    run(story())
    assert server.connections == 1
    assert server.heads[0].startswith("POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:")
    assert "authorization: Bearer key\r\n" in server.heads[0]


@pytest.mark.parametrize(
    "answer",
    [
        WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        WHOLE + b"HTTP/1.1 200 OK\r\n",
    ],
    ids=["close", "HTTP/1.0", "more than was asked for"],
)
def test_a_connection_that_cannot_be_used_again_is_not(answer: bytes) -> None:
    server = Server(answer, WHOLE)

    async def story() -> None:
        async with sending(server) as send:
            assert await read(await send()) == b"{}"
            server.answers[:] = [WHOLE]
            assert await read(await send()) == b"{}"

    asyncio.run(story())
    assert server.connections == 2


def test_a_reply_without_a_length_ends_with_its_connection() -> None:
    async def story() -> None:
        async with sending(Server(b"HTTP/1.1 200 OK\r\n\r\n{}")) as send:
            assert await read(await send()) == b"{}"

    asyncio.run(story())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n",
    ],
)
def test_what_is_cut_says_so_after_what_came(answer: bytes) -> None:
    async def story() -> None:
        async with sending(Server(answer)) as send:
            with pytest.raises(ReplyCut, match="broke off"):
                await (await send()).read(100)

    asyncio.run(story())


@pytest.mark.parametrize("answer", [None, b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000])
def test_no_head_is_a_failed_connection(answer: bytes | None) -> None:
    async def story() -> None:
        async with sending(Server(answer)) as send:
            with pytest.raises(ConnectFailed):
                await send()

    asyncio.run(story())


def test_a_connection_that_went_stale_is_replaced() -> None:
    server = Server(WHOLE)

    async def story() -> None:
        async with sending(server) as send:
            assert await read(await send()) == b"{}"
            server.answers[:] = [WHOLE]
            async with asyncio.timeout(60):
                while server.connections < 2:
                    try:
                        await read(await send())
                    except ConnectFailed:
                        continue

    asyncio.run(story())


@pytest.mark.parametrize("run", RUNNERS)
def test_a_large_request_goes_out_whole_and_stops_where_it_is_refused(run: Callable[..., None]) -> None:
    server = Server(WHOLE, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    async def story() -> None:
        async with sending(server) as send:
            assert await read(await send(b"x" * 5_000_000)) == b"{}"
            async with asyncio.timeout(60):
                reply = await send(b"x" * 50_000_000)
            assert reply.status == 413
            await reply.aclose()

    run(story())


def test_a_large_reply_waits_for_its_reader() -> None:
    body = b"x" * 5_000_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + body

    async def story() -> None:
        async with sending(Server(answer, WHOLE)) as send:
            assert await read(await send()) == body
            assert await read(await send()) == b"{}"

    asyncio.run(story())


@pytest.mark.parametrize("key", ["a\nb", "a\r\nx: y", "a\0"])
def test_a_key_that_no_header_takes_sends_nothing(key: str) -> None:
    server = Server(WHOLE)

    async def story() -> None:
        async with sending(server) as send:
            with pytest.raises(ConnectFailed, match="line break"):
                await send(key=Secret(key))

    asyncio.run(story())
    assert server.connections == 0


def test_who_is_named_in_the_url_is_said_where_there_is_no_key() -> None:
    server = Server(WHOLE, WHOLE)

    async def story() -> None:
        async with sending(server) as send:
            server.url = server.url.replace("//", "//me:p%40ss@")
            await read(await send())
            await read(await send(key=Secret("key")))

    asyncio.run(story())
    said = [line for head in server.heads for line in head.splitlines() if line.startswith("authorization")]
    assert said == ["authorization: Basic bWU6cEBzcw==", "authorization: Bearer key"]


def test_a_server_that_takes_no_connection_in_time() -> None:
    async def story() -> None:
        async with UpstreamPools(connect_seconds=0) as pools:
            url = "http://127.0.0.1:9/v1"
            client = pools.client(Guard(frozenset(origins_in({"url": url}))))
            with pytest.raises((ReplyTimedOut, ConnectFailed)):
                await client.send(Outbound(endpoint=Endpoint.CHAT, headers={}, body=b"{}").to(url))

    asyncio.run(story())


class Mute(asyncio.Transport):
    """Takes what is written, and says nothing."""

    def write(self, data: object) -> None:
        pass

    def abort(self) -> None:
        pass


def test_a_connection_that_breaks_without_a_word_is_not_waited_for() -> None:
    """Some of the system's errors have no text."""

    async def story() -> None:
        connection = Connection(lambda _: None, lambda _: None)
        connection.connection_made(Mute())
        waiting = asyncio.create_task(connection.exchange(b"", b""))
        await asyncio.sleep(0)
        connection.connection_lost(OSError())
        with pytest.raises(Broken, match="broke"):
            await asyncio.wait_for(waiting, 60)

    asyncio.run(story())
