"""Tools for a plugin under test: real HTTP, a real clock, tasks that end with the test."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from arbstr_core.api import ConnectFailed, Outbound, Reply


class RealClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class HttpxUpstream:
    """`tools.upstream` on httpx: slower than the kernel's, and the same on the wire."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, outbound: Outbound) -> Reply:
        headers = dict(outbound.headers)
        if outbound.key is not None:
            headers["authorization"] = f"Bearer {outbound.key.reveal()}"
        assert outbound.url is not None
        request = self._client.build_request("POST", outbound.url, content=outbound.body, headers=headers)
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as broken:
            raise ConnectFailed(f"{outbound.url}: {broken}") from broken
        return Reply(answer.status_code, dict(answer.headers), answer.aiter_bytes(), close=answer.aclose)


class RunningTasks:
    def __init__(self) -> None:
        self.all: set[asyncio.Task[None]] = set()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.all.add(asyncio.create_task(work, name=name))

    async def aclose(self) -> None:
        for task in self.all:
            task.cancel()
        for ended in await asyncio.gather(*self.all, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError), repr(ended)


class ToolsOnDisk:
    """What the kernel would hand the plugin, apart from what this plugin never asks for."""

    def __init__(self, data_dir: Path, client: httpx.AsyncClient) -> None:
        self.http = client
        self.upstream = HttpxUpstream(client)
        self.clock = RealClock()
        self.log = logging.getLogger("arbstr.plugins.providers_local")
        self.tasks = RunningTasks()
        self.data_dir = str(data_dir)

    def port(self) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])


@asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[ToolsOnDisk]:
    async with httpx.AsyncClient(timeout=300, trust_env=False) as client:
        tools = ToolsOnDisk(data_dir, client)
        try:
            yield tools
        finally:
            await tools.tasks.aclose()


@pytest.fixture
def tools_in() -> Callable[[Path], Any]:
    """`async with tools_in(folder) as tools`."""
    return opened


def gone(pid: int) -> bool:
    """True once no process has this id, or only a zombie that nobody reaps here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.fixture
def until_gone() -> Callable[[int], None]:
    """Wait until a process is gone; the test fails where it stays."""

    def wait(pid: int) -> None:
        deadline = time.monotonic() + 60
        while not gone(pid):
            assert time.monotonic() < deadline, f"process {pid} still lives"
            time.sleep(0.02)

    return wait
