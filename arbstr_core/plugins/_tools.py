"""What a plugin is handed, assembled from parts of other rooms."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from arbstr_core.api import Clock, Store, Tasks, Upstream
from arbstr_core.types import Secret, SecretRef


class LoopClock:
    """api.Clock on the machine's time."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)
    """Seconds from an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        await asyncio.sleep(seconds)


class PluginTools:
    """api.Tools of one plugin."""

    def __init__(
        self,
        *,
        http: httpx.AsyncClient,
        upstream: Upstream,
        clock: Clock,
        log: logging.Logger,
        store: Store,
        tasks: Tasks,
        data_dir: Path,
        secret: Callable[[SecretRef], Secret | None],
        secret_bytes: Callable[[SecretRef], bytes | None],
        port: Callable[[], int],
    ) -> None:
        self.http = http
        self.upstream = upstream
        self.clock = clock
        self.log = log
        self.store = store
        self.tasks = tasks
        self._data_dir = data_dir
        self._secret = secret
        self._secret_bytes = secret_bytes
        self._port = port

    @property
    def data_dir(self) -> str:
        """A folder of this plugin's own, made on first use, for the operator's eyes alone."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(self._data_dir)

    def secret(self, ref: SecretRef) -> Secret | None:
        """What `ref` points to; None where there is nothing."""
        return self._secret(ref)

    def secret_bytes(self, ref: SecretRef) -> bytes | None:
        """What `ref` points to, as it is."""
        return self._secret_bytes(ref)

    def port(self) -> int:
        """A free loopback port; from now on this plugin may connect to it."""
        return self._port()
