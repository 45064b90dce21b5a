"""A bug of ours is answered in JSON as well, and nothing of it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arbstr_core.types import Endpoint
from arbstr_core.web import CallDoor


class Broken:
    """A flow that has a bug."""

    credentials: frozenset[str] = frozenset()

    async def caller(self, *_: Any) -> Any:
        raise ZeroDivisionError("a secret")


async def asked(sent: list[Any], *, begun: bool) -> None:
    door = CallDoor(Broken(), lambda: "req_1", max_body_bytes=10, client_stall_seconds=1)  # type: ignore[arg-type]

    async def send(message: Any) -> None:
        if begun:
            raise RuntimeError("the response has begun")
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    await door({"type": "http", "headers": [], "method": "POST"}, receive, send, Endpoint.CHAT)


def test_it_is_answered_and_raised() -> None:
    sent: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        asyncio.run(asked(sent, begun=False))
    start, body = sent
    assert start["status"] == 500
    assert (b"content-type", b"application/json") in start["headers"]
    assert (b"x-request-id", b"req_1") in start["headers"]
    assert b'"type":"api_error"' in body["body"]
    assert b"secret" not in body["body"]


def test_where_the_answer_has_begun_the_bug_is_raised_alone() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(asked([], begun=True))
