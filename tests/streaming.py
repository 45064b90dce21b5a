"""Many streams at a time: an upstream that is fast enough for them, and clients that do little."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from house import chat
from ports import free_port

MOCK = Path(__file__).parents[1] / "benchmarks" / "mock_upstream.c"


@contextmanager
def slow_upstream(folder: Path, events: int, *, pause_ms: int = 5) -> Iterator[str]:
    """A server whose streams have so many events, with a pause after each; its URL."""
    program = folder / "upstream"
    subprocess.run(["cc", "-O2", "-o", str(program), str(MOCK)], check=True, capture_output=True)
    port = free_port()
    with subprocess.Popen([str(program), "-p", str(port), "-n", str(events), "-d", str(pause_ms)]) as running:
        try:
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            running.kill()


class Reader(asyncio.Protocol):
    """One client: it asks, reads, and is done at the end of the stream."""

    def __init__(self, ask: bytes) -> None:
        self._ask = ask
        self._last = b""
        self.parts = 0
        self.whole: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._ask)

    def stop(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.parts += 1
        self._last = (self._last + data)[-40:]
        if b"data: [DONE]\n\n" in self._last and not self.whole.done():
            self.whole.set_result(True)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.whole.done():
            self.whole.set_result(False)


def asking(token: str, events: int) -> bytes:
    """A request as OpenAI's SDKs send it: they may come again, so that the answer is kept while it goes out."""
    body = json.dumps(chat(stream=True, max_tokens=events + 10)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
    head += "x-stainless-retry-count: 0\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def connected(port: int, ask: bytes, *, stopped: bool = False) -> Reader:
    _, reader = await asyncio.get_running_loop().create_connection(lambda: Reader(ask), "127.0.0.1", port)
    if stopped:
        reader.stop()
    return reader
