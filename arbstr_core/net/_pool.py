"""Who connects to a provider, and which connections are kept for the next call."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from functools import partial
from urllib.parse import quote, unquote, urlsplit

import msgspec

from arbstr_core.net._guard import origin_of
from arbstr_core.net._http1 import Connection
from arbstr_core.net._names import Names, first_of

_KEPT_SECONDS = 30.0
"""How long a connection is kept that nobody uses; most servers wait longer than that."""
_IN_A_PATH = "/%:@!$&'()*+,;=~?-._"


class Target(msgspec.Struct, frozen=True):
    """Where a URL leads: what to connect to, how each request to it begins, and who asks where there is no key."""

    host: str
    port: int
    tls: bool
    head: bytes
    login: str = ""


def target_of(url: str) -> Target:
    """The target of a URL; raises AddressRefused for what is none."""
    scheme, host, port = origin_of(url)
    parts = urlsplit(url)
    where = quote(parts.path or "/", safe=_IN_A_PATH) + (
        f"?{quote(parts.query, safe=_IN_A_PATH)}" if parts.query else ""
    )
    name = host if ":" in host or host.isascii() else host.encode("idna").decode()
    shown = f"[{name}]" if ":" in name else name
    if parts.port is not None:
        shown += f":{port}"
    lines = [f"POST {where} HTTP/1.1", f"host: {shown}", "accept-encoding: identity", "user-agent: arbstr"]
    login = ""
    if parts.username:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        login = f"authorization: Basic {base64.b64encode(known).decode()}\r\n"
    return Target(name, port, scheme == "https", "\r\n".join([*lines, ""]).encode(), login)


class Pool:
    """Connections to any target. `allow` is asked about each address before it is connected to."""

    def __init__(self, *, connect_seconds: float, allow: Callable[[str], None] | None = None) -> None:
        self._connect_seconds = connect_seconds
        self._allow = allow
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[Target, list[tuple[float, Connection]]] = {}
        self._all: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._names = Names()

    def idle(self, target: Target) -> Connection | None:
        """One that is free, the one used last."""
        idle = self._idle.get(target)
        while idle:
            _, connection = idle.pop()
            if connection.usable:
                return connection
        return None

    async def connection(self, target: Target) -> Connection:
        """One that is free, or a new one. Raises OSError or AddressRefused."""
        return self.idle(target) or await self._connect(target)

    def close(self) -> None:
        """Close all of them."""
        for connection in tuple(self._all):
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()

    async def _connect(self, target: Target) -> Connection:
        try:
            async with asyncio.timeout(self._connect_seconds):
                addresses = await self._names.addresses(target.host)
                if self._allow is not None:
                    for address in addresses:
                        self._allow(address)
                return await first_of(addresses, partial(self._connect_to, target), Connection.abort)
        except OSError as broken:
            # It may have moved.
            self._names.forget(target.host)
            if isinstance(broken, TimeoutError):
                raise OSError(f"no connection within {self._connect_seconds:g} s") from None
            raise

    async def _connect_to(self, target: Target, address: str) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(lambda free: self._keep(target, free), self._all.discard),
            address,
            target.port,
            ssl=self._context() if target.tls else None,
            server_hostname=target.host if target.tls else None,
        )
        self._all.add(connection)
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _keep(self, target: Target, connection: Connection) -> None:
        loop = connection.loop
        self._idle.setdefault(target, []).append((loop.time(), connection))
        if self._sweep is None:
            self._sweep = loop.call_later(_KEPT_SECONDS / 2, self._swept)

    def _swept(self) -> None:
        """Close those that were not used for long."""
        loop = asyncio.get_running_loop()
        limit = loop.time() - _KEPT_SECONDS / 2
        for target, idle in tuple(self._idle.items()):
            for since, connection in idle:
                if since < limit:
                    connection.abort()
            kept = [each for each in idle if each[1].usable]
            if kept:
                self._idle[target] = kept
            else:
                del self._idle[target]
        self._sweep = loop.call_later(_KEPT_SECONDS / 2, self._swept) if self._idle else None
