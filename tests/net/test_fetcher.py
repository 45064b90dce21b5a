"""What the operator's own addresses answer: all of it, or a reason that never holds the address."""

from __future__ import annotations

import asyncio

import pytest

from arbstr_core.net import Fetcher
from arbstr_core.types import AddressRefused, ConnectFailed


def fetched(answer: bytes, path: str = "/p?key=hush", *, other: str = "") -> bytes:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def story() -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
            fetch = Fetcher([url])
            try:
                return await fetch(other or url)
            finally:
                await fetch.aclose()

    return asyncio.run(story())


def test_the_answer_is_handed_on_as_it_came() -> None:
    assert fetched(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1.5") == b"1.5"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "the answer was 503"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "the answer was 302"),
        (b"nonsense\r\n\r\n", "no answer"),
        (b"", "no answer"),
    ],
)
def test_why_there_is_no_answer(answer: bytes, said: str) -> None:
    with pytest.raises(ConnectFailed, match=said) as failed:
        fetched(answer)
    assert "hush" not in str(failed.value)


def test_nothing_else_is_reached() -> None:
    with pytest.raises(AddressRefused):
        fetched(b"", other="http://10.0.0.1/p")
