"""Owns the double of `Tools`: every tool a plugin gets, without network, disk or waiting."""

from __future__ import annotations

import asyncio
import inspect
import logging
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import httpx

from arbstr_core.api import Clock, Outbound, Reply, Secret, SecretRef, Store
from arbstr_core.testing._clock import FakeClock
from arbstr_core.testing._replies import answers
from arbstr_core.testing._store import MemoryStore

Answer = Callable[[Outbound], Reply | Awaitable[Reply]]
"""What an upstream does with a request: returns a Reply, or raises ConnectFailed or ReplyTimedOut."""
Page = Callable[[httpx.Request], httpx.Response]
"""What the control plane answers, as for httpx.MockTransport."""


class KitUpstream:
    """An `Upstream` driven by a function; `sent` holds what was sent, in order."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.sent: list[Outbound] = []

    async def send(self, outbound: Outbound) -> Reply:
        """Note `outbound`, give other tasks a turn, and answer."""
        self.sent.append(outbound)
        await asyncio.sleep(0)
        reply = self._answer(outbound)
        return await reply if inspect.isawaitable(reply) else reply


class KitTasks:
    """A `Tasks` that runs the work in the running loop until `aclose`."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it ends or the kit closes."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)

    @property
    def count(self) -> int:
        """How many were spawned and not yet closed."""
        return len(self._running)

    async def aclose(self) -> None:
        """Cancel what still runs, and raise what failed meanwhile."""
        ended, self._running = self._running, set()
        for task in ended:
            task.cancel()
        for outcome in await asyncio.gather(*ended, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


class KitTools:
    """A `Tools` for tests; make it with `kit_tools`, and end it with `await tools.aclose()`."""

    def __init__(
        self,
        *,
        http: httpx.AsyncClient,
        upstream: KitUpstream,
        clock: Clock,
        store: Store,
        secrets: Mapping[str, str | bytes],
    ) -> None:
        self.http = http
        self.upstream = upstream
        self.clock = clock
        self.store = store
        self.tasks = KitTasks()
        self.log = logging.getLogger("arbstr.kit")
        self._secrets = secrets
        self._folder: str | None = None

    @property
    def data_dir(self) -> str:
        """A folder of its own, made on first use and removed by `aclose`."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="arbstr-kit-")
        return self._folder

    def secret(self, ref: SecretRef) -> Secret | None:
        """What was given to `kit_tools(secrets=...)` for the whole reference, `env:NAME` or `file:PATH`."""
        value = self.secret_bytes(ref)
        return None if value is None else Secret(value.decode())

    def secret_bytes(self, ref: SecretRef) -> bytes | None:
        """What was given for the whole reference, as it is; text is UTF-8."""
        value = self._secrets.get(ref.ref)
        return value.encode() if isinstance(value, str) else value

    def port(self) -> int:
        """A loopback port that was free a moment ago."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    async def aclose(self) -> None:
        """End the tasks, close the client, remove the folder."""
        try:
            await self.tasks.aclose()
        finally:
            await self.http.aclose()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None


def kit_tools(
    *,
    upstream: Answer = answers,
    http: Page | httpx.AsyncClient | None = None,
    clock: Clock | None = None,
    store: Store | None = None,
    secrets: Mapping[str, str | bytes] | None = None,
) -> KitTools:
    """Tools for a test. `upstream` and `http` are functions from a request to its answer; the rest has doubles. `http`
    may be a real client too, for a real peer.

    Give two of them one `store` to test a restart.
    """
    if not isinstance(http, httpx.AsyncClient):
        http = httpx.AsyncClient(transport=httpx.MockTransport(http or _nothing_here))
    return KitTools(
        http=http,
        upstream=KitUpstream(upstream),
        clock=clock or FakeClock(),
        store=store or MemoryStore(),
        secrets={} if secrets is None else secrets,
    )


def _nothing_here(request: httpx.Request) -> httpx.Response:
    return httpx.Response(404, json={"error": {"message": f"the test answers nothing at {request.url}"}})
