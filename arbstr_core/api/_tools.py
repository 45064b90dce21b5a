"""What the kernel hands a plugin, and all it hands it: no database, no vault, no web framework."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

import httpx

from arbstr_core.api._replies import Outbound, Reply
from arbstr_core.types import Secret, SecretRef


class Clock(Protocol):
    """Time, so that tests can replace it."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class Upstream(Protocol):
    """The fast HTTP client, for inference."""

    async def send(self, outbound: Outbound) -> Reply:
        """POST `outbound` to its `url` with its `key` and return once status and headers are in.

        Raises ConnectFailed, ReplyTimedOut, or AddressRefused where the guard does not allow the address.
        """
        ...


class Store(Protocol):
    """Durable keys and values of this plugin alone; values are encrypted at rest. Keys are text, values bytes."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def put(self, items: Mapping[str, bytes | None], *, where: Mapping[str, bytes | None] | None = None) -> bool:
        """Write all of `items` (None deletes) in one transaction, if all keys of `where` are as said (None: absent).

        True where it was written; durable when it returns. Of several processes that want the same keys, each sees
        what the others wrote.
        """
        ...

    async def compare_and_set(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """`put` for one key: write `new` (None deletes) if the value is `old` (None: absent). True where it was."""
        ...

    async def scan(self, prefix: str) -> dict[str, bytes]:
        """All pairs whose key starts with `prefix`, in key order."""
        ...


class Tasks(Protocol):
    """Background work that the kernel supervises: a failure is logged and shown by doctor, and cancelled at the end."""

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it ends or the plugin closes."""
        ...


class Tools(Protocol):
    """All a plugin gets. `http` is for the control plane (discovery, mints, LNURL), `upstream` for inference."""

    @property
    def http(self) -> httpx.AsyncClient: ...

    @property
    def upstream(self) -> Upstream: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def log(self) -> logging.Logger: ...

    @property
    def store(self) -> Store: ...

    @property
    def tasks(self) -> Tasks: ...

    @property
    def data_dir(self) -> str:
        """A folder of this plugin's own, made on first use."""
        ...

    def secret(self, ref: SecretRef) -> Secret | None:
        """What `ref` points to; None where the environment variable is unset or the file is absent."""
        ...

    def secret_bytes(self, ref: SecretRef) -> bytes | None:
        """What `ref` points to, as it is: for what is no line of text, such as a certificate. None as for `secret`.

        Read each time, so that a file that was replaced is seen.
        """
        ...

    def port(self) -> int:
        """A free loopback port; from now on this plugin may connect to it."""
        ...
