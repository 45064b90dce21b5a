"""Every way a call can end, over real sockets: one settle or release each, and a charge once output was seen."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from house import Served, Setup, chat, instance, run, serving, until_true, write
from upstream import Act, Upstream

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
FAST = "[dispatch]\nfirst_byte_seconds = 60\nidle_seconds = 60\ndrain_seconds = 0.2\n"
PATIENT = "[dispatch]\nfirst_byte_seconds = 60\nidle_seconds = 60\ndrain_seconds = 30\n"


def setup(folder: Path, upstream: Upstream, tables: str = FAST, **more: Any) -> Setup:
    return write(folder, instance("x", upstream.url) + tables, **more)


class RawClient:
    """A client that does what no library would: leaves, or reads nothing."""

    def __init__(self, served: Served, agent: dict[str, Any], *, receive_buffer: int = 0, **fields: Any) -> None:
        self._served = served
        self._token = agent["token"]
        self._body = json.dumps(chat(**fields)).encode()
        self._receive_buffer = receive_buffer
        self.got = b""

    async def send(self, *, but: int = 0) -> None:
        """Send the request, but for its last bytes."""
        raw = socket.socket()
        if self._receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self._served.setup.port))
        self._reader, self._writer = await asyncio.open_connection(sock=raw, limit=1024)
        self._served.at_end.append(self.leave)
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self._token}\r\ncontent-length: {len(self._body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + self._body[: len(self._body) - but])

    async def read_until(self, mark: bytes) -> None:
        while mark not in self.got:
            more = await self._reader.read(4096)
            assert more, f"closed before {mark!r}: {self.got[-2000:]!r}"
            self.got += more

    async def read_all(self) -> bytes:
        """What comes until the other side closes, cleanly or not."""
        try:
            while more := await self._reader.read(65536):
                self.got += more
        except ConnectionError:
            pass
        return self.got

    def request_id(self) -> str:
        (line,) = [line for line in self.got.split(b"\r\n") if line.startswith(b"x-request-id:")]
        return line.split(b":")[1].strip().decode()

    def leave(self) -> None:
        self._writer.transport.abort()


async def held(served: Served) -> str:
    """The id of the one hold that is open."""
    query = "SELECT id FROM hold WHERE state = 'held'"
    await until_true(lambda: len(served.setup.rows(query)) == 1)
    return str(served.setup.rows(query)[0][0])


def watching() -> bool:
    """True while a call watches whether its client leaves."""
    return any(task.get_coro().__qualname__ == "Watch._look" for task in asyncio.all_tasks())


def reading() -> bool:
    """True while a request is read."""
    return any(task.get_coro().__qualname__.endswith(".run_asgi") for task in asyncio.all_tasks())


async def settled(served: Served, agent: dict[str, Any], request_id: str, ending: str) -> dict[str, Any]:
    """The receipt of a call that was charged: it fits the agent's balance, and everything is well."""
    receipt = await served.ended(request_id)
    assert (receipt["state"], receipt["ending"]) == ("settled", ending)
    assert 0 < receipt["charged_msat"] <= receipt["held_msat"]
    await _fits(served, agent, receipt)
    return receipt


async def released(served: Served, agent: dict[str, Any], request_id: str, ending: str) -> dict[str, Any]:
    receipt = await served.ended(request_id)
    assert (receipt["state"], receipt["ending"], receipt["charged_msat"]) == ("released", ending, 0)
    await _fits(served, agent, receipt)
    return receipt


async def _fits(served: Served, agent: dict[str, Any], receipt: dict[str, Any]) -> None:
    now = await served.show(agent)
    assert now["held_msat"] == 0
    assert now["posted_msat"] == agent["posted_msat"] - receipt["charged_msat"]
    await served.verified()


@BOTH
def test_complete(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(setup(tmp_path, upstream)) as served:
                agent = await served.agent()
                answer = await served.call(agent, stream=stream)
                assert answer.status_code == 200
                receipt = await settled(served, agent, answer.headers["x-request-id"], "complete")
                assert receipt["charged_msat"] == 11 + 5 * 4
                assert receipt["usage"]["source"] == "provider"

    run(story())


@BOTH
@pytest.mark.parametrize("how", ["cut_before", "cut_headers"])
def test_cut_before_the_first_byte(tmp_path: Path, stream: bool, how: str) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how=how))
            async with serving(setup(tmp_path, upstream)) as served:
                agent = await served.agent()
                answer = await served.call(agent, stream=stream)
                assert answer.status_code == 502
                assert answer.json()["error"]["code"] == "upstream_failed"
                await released(served, agent, answer.headers["x-request-id"], "failed")
                assert upstream.hits() == 1

    run(story())


def test_a_body_cut_in_the_middle_is_no_answer(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="cut"))
            async with serving(setup(tmp_path, upstream)) as served:
                agent = await served.agent()
                answer = await served.call(agent)
                assert answer.status_code == 502
                receipt = await released(served, agent, answer.headers["x-request-id"], "failed")
                assert [attempt["outcome"] for attempt in receipt["attempts"]] == ["cut"]

    run(story())


@pytest.mark.parametrize(("how", "seconds"), [("cut", 90), ("error_event", 90), ("stall", 0.3)])
def test_a_stream_that_breaks_off_is_charged_for_what_came(tmp_path: Path, how: str, seconds: float) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how=how, words=8))
            tables = f"[dispatch]\nfirst_byte_seconds = 90\nidle_seconds = {seconds}\n"
            async with serving(setup(tmp_path, upstream, tables)) as served:
                agent = await served.agent()
                async with asyncio.timeout(60):
                    answer = await served.call(agent, stream=True)
                assert answer.status_code == 200
                events = answer.text.split("\n\n")
                assert events[-1] == ""
                assert json.loads(events[-2].removeprefix("data: "))["error"]["code"] == "upstream_cut"
                assert "[DONE]" not in answer.text
                assert "scripted" not in answer.text
                receipt = await settled(served, agent, answer.headers["x-request-id"], "cut")
                assert receipt["usage"]["source"] == "counted"
                shown = answer.text.count(" word")
                assert receipt["usage"]["output_tokens"] == -(-5 * shown // 4)

    run(story())


def test_a_stream_that_ends_without_done_is_complete(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="no_done"))
            async with serving(setup(tmp_path, upstream)) as served:
                agent = await served.agent()
                answer = await served.call(agent, stream=True)
                assert answer.text.endswith("data: [DONE]\n\n")
                await settled(served, agent, answer.headers["x-request-id"], "complete")

    run(story())


def test_the_client_that_stops_reading_counts_as_gone(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=2000, filler=20_000, usage=None))
            server = "client_stall_seconds = 0.4\nshutdown_grace_seconds = 1"
            async with serving(setup(tmp_path, upstream, "[dispatch]\ndrain_seconds = 0\n", server=server)) as served:
                agent = await served.agent()
                client = RawClient(served, agent, receive_buffer=4096, stream=True)
                await client.send()
                await client.read_until(b"word")
                await settled(served, agent, client.request_id(), "client_gone")
                await until_true(lambda: upstream.left == 1)
                client.leave()

    run(story())


def test_a_slow_client_that_reads_on_is_served(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=150, filler=20_000))
            async with serving(setup(tmp_path, upstream, server="client_stall_seconds = 1")) as served:
                agent = await served.agent()
                client = RawClient(served, agent, receive_buffer=4096, stream=True)
                await client.send()
                await client.read_until(b"data: [DONE]\n\n")
                await settled(served, agent, client.request_id(), "complete")
                client.leave()

    run(story())


def test_the_client_that_leaves_in_the_middle(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=500, pause=0.02))
            async with serving(setup(tmp_path, upstream)) as served:
                agent = await served.agent()
                client = RawClient(served, agent, stream=True)
                await client.send()
                await client.read_until(b" word")
                client.leave()
                receipt = await settled(served, agent, client.request_id(), "client_gone")
                assert receipt["usage"]["source"] == "counted"
                await until_true(lambda: upstream.left == 1)

    run(story())


@BOTH
def test_a_client_that_left_is_charged_what_its_call_used(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="gate"))
            async with serving(setup(tmp_path, upstream, PATIENT)) as served:
                agent = await served.agent()
                client = RawClient(served, agent, stream=stream)
                await client.send()
                request_id = await held(served)
                await until_true(lambda: upstream.hits() == 1)
                await until_true(watching)
                client.leave()
                await until_true(lambda: not watching())
                assert served.setup.rows("SELECT state FROM hold") == [("held",)]
                upstream.open_gate()
                receipt = await settled(served, agent, request_id, "client_gone")
                assert receipt["charged_msat"] == 11 + 5 * 4
                assert receipt["usage"]["source"] == "provider"
                assert upstream.left == 0

    run(story())


def test_a_client_that_left_in_the_middle_is_charged_what_its_call_used(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=50, pause=0.02, usage=(11, 50)))
            async with serving(setup(tmp_path, upstream, PATIENT)) as served:
                agent = await served.agent()
                client = RawClient(served, agent, stream=True)
                await client.send()
                await client.read_until(b" word")
                client.leave()
                receipt = await settled(served, agent, client.request_id(), "client_gone")
                assert receipt["charged_msat"] == 11 + 50 * 4
                assert receipt["usage"]["source"] == "provider"
                assert upstream.left == 0

    run(story())


def test_a_client_that_stopped_reading_is_charged_what_its_call_used(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=400, filler=20_000, usage=(11, 400)))
            server = "client_stall_seconds = 0.4\nshutdown_grace_seconds = 1"
            async with serving(setup(tmp_path, upstream, PATIENT, server=server)) as served:
                agent = await served.agent()
                client = RawClient(served, agent, receive_buffer=4096, stream=True, max_tokens=100_000)
                await client.send()
                await client.read_until(b"word")
                receipt = await settled(served, agent, client.request_id(), "client_gone")
                assert receipt["charged_msat"] == 11 + 400 * 4
                assert upstream.left == 0
                client.leave()

    run(story())


def test_shutdown_does_not_wait_for_a_client_that_stopped_reading(tmp_path: Path) -> None:
    """What it has not taken is thrown away with its connection; else it would be waited for as long as for anybody."""

    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=2000, filler=20_000, usage=None))
            server = "client_stall_seconds = 0.4\nshutdown_grace_seconds = 100"
            async with serving(setup(tmp_path, upstream, "[dispatch]\ndrain_seconds = 0\n", server=server)) as served:
                agent = await served.agent()
                client = RawClient(served, agent, receive_buffer=4096, stream=True)
                await client.send()
                await client.read_until(b"word")
                await settled(served, agent, client.request_id(), "client_gone")
                served.at_end.remove(client.leave)
                ending = time.monotonic()
            assert time.monotonic() - ending < 60, "the client was waited for"
            client.leave()

    run(story())


def test_shutdown_does_not_wait_for_a_client_that_left(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="stall"))
            place = setup(tmp_path, upstream, PATIENT, server="shutdown_grace_seconds = 1")
            async with serving(place) as served:
                agent = await served.agent()
                client = RawClient(served, agent, stream=True)
                await client.send()
                await client.read_until(b" word")
                await until_true(watching)
                client.leave()
                await until_true(lambda: not watching())
            async with serving(place) as served:
                await settled(served, agent, client.request_id(), "client_gone")

    run(story())


@BOTH
def test_the_client_that_leaves_while_it_waits(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="hang"))
            async with serving(setup(tmp_path, upstream)) as served:
                agent = await served.agent()
                client = RawClient(served, agent, stream=stream)
                await client.send()
                request_id = await held(served)
                await until_true(lambda: upstream.hits() == 1)
                client.leave()
                receipt = await released(served, agent, request_id, "cancelled")
                assert [attempt["outcome"] for attempt in receipt["attempts"]] == ["abandoned"]
                await until_true(lambda: upstream.left == 1)

    run(story())


@BOTH
def test_the_client_that_leaves_while_its_money_is_being_held(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(setup(tmp_path, upstream)) as served:
                agent = await served.agent()
                # Another program holds the database for a moment: the hold waits in the writer.
                with closing(sqlite3.connect(served.setup.database, isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    client = RawClient(served, agent, stream=stream)
                    await client.send()
                    await until_true(watching)
                    client.leave()
                    await until_true(lambda: not watching())
                    other.execute("ROLLBACK")
                await until_true(lambda: served.setup.rows("SELECT state FROM hold") == [("released",)])
                ((request_id,),) = served.setup.rows("SELECT id FROM hold")
                await released(served, agent, request_id, "cancelled")
                assert upstream.hits() == 0

    run(story())


@BOTH
def test_shutdown_while_it_waits_for_the_first_byte(
    tmp_path: Path, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="hang"))
            place = setup(tmp_path, upstream, server="shutdown_grace_seconds = 1")
            async with serving(place) as served:
                agent = await served.agent()
                client = RawClient(served, agent, stream=stream)
                await client.send()
                request_id = await held(served)
                await until_true(lambda: upstream.hits() == 1)
                served.stop()
                await client.read_all()
                assert client.got.startswith(b"HTTP/1.1 503 ")
                assert b'"code":"shutting_down"' in client.got
                assert b"retry-after: " in client.got
                client.leave()
            assert "ASGI" not in caplog.text
            async with serving(place) as served:
                await released(served, agent, request_id, "cancelled")

    run(story())


def test_shutdown_while_a_request_comes_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            place = setup(tmp_path, upstream, server="shutdown_grace_seconds = 1")
            async with serving(place) as served:
                agent = await served.agent()
                client = RawClient(served, agent)
                await client.send(but=5)
                await until_true(reading)
                served.stop()
                await client.read_all()
                assert client.got.startswith(b"HTTP/1.1 503 ")
                assert b'"code":"shutting_down"' in client.got
                client.leave()
            assert "ASGI" not in caplog.text

    run(story())


def test_shutdown_in_the_middle_of_a_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=1000, pause=0.02))
            place = setup(tmp_path, upstream, server="shutdown_grace_seconds = 1")
            async with serving(place) as served:
                agent = await served.agent()
                client = RawClient(served, agent, stream=True)
                await client.send()
                await client.read_until(b" word")
                served.stop()
                await client.read_all()
                assert b'"code":"shutting_down"' in client.got
                assert b"[DONE]" not in client.got
                client.leave()
            assert "ASGI" not in caplog.text
            async with serving(place) as served:
                await settled(served, agent, client.request_id(), "client_gone")

    run(story())


def test_shutdown_lets_open_calls_end(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=40, pause=0.02))
            place = setup(tmp_path, upstream)
            async with serving(place) as served:
                agent = await served.agent()
                client = RawClient(served, agent, stream=True)
                await client.send()
                await client.read_until(b" word")
                served.stop()
                await client.read_all()
                assert b"data: [DONE]\n\n" in client.got
                client.leave()
            async with serving(place) as served:
                await settled(served, agent, client.request_id(), "complete")

    run(story())


@BOTH
def test_the_receipt_is_settled_before_the_last_byte(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(setup(tmp_path, upstream)) as served:
                agent = await served.agent()
                for _ in range(20):
                    client = RawClient(served, agent, stream=stream)
                    await client.send()
                    await client.read_until(b"[DONE]" if stream else b"HTTP/1.1 200")
                    await client.read_until(b"\r\n\r\n")
                    query = f"SELECT state FROM hold WHERE id = '{client.request_id()}'"
                    assert served.setup.rows(query) == [("settled",)]
                    client.leave()
                await served.verified()

    run(story())


def test_free_calls_end_the_same_way(tmp_path: Path) -> None:
    async def story() -> None:
        models = "[models.m]\nfree = true"
        with Upstream() as upstream:
            place = write(tmp_path, instance("x", upstream.url, models))
            async with serving(place) as served:
                agent = await served.agent(fund=0)
                answer = await served.call(agent)
                assert answer.status_code == 200
                receipt = await served.ended(answer.headers["x-request-id"])
                assert (receipt["state"], receipt["charged_msat"], receipt["held_msat"]) == ("settled", 0, 0)
                await served.verified()

    run(story())
