"""A large body is read beside the loop, so that nobody else waits for all of it; a small one is not worth a thread."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from arbstr_core.types import BadRequest, Caller, Endpoint
from arbstr_core.web import CallDoor, _calls


class Anyone:
    """A flow that knows everybody."""

    credentials: frozenset[str] = frozenset()

    async def caller(self, *_: Any) -> Caller:
        return Caller()

    def refused(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(("size", "beside"), [(1_000, False), (2_000_000, True)])
def test_where_a_body_is_read(size: int, beside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def read(body: bytes, *_: Any) -> Any:
        threads.append(threading.current_thread())
        assert len(body) == size
        raise BadRequest("read it")

    monkeypatch.setattr(_calls, "read_call", read)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * size, "more_body": False}

    async def story() -> None:
        door = CallDoor(Anyone(), lambda: "req_1", max_body_bytes=10**7, client_stall_seconds=1)  # type: ignore[arg-type]
        await door({"type": "http", "headers": [], "method": "POST"}, receive, send, Endpoint.CHAT)

    asyncio.run(story())
    assert sent[0]["status"] == 400
    assert (threads[0] is not threading.main_thread()) is beside
