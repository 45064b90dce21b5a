"""The fast client, for inference: aiohttp, pooled, one POST at a time to a provider.

Why aiohttp: docs/decisions/001-hot-path-libraries.md.
"""

from __future__ import annotations

import io
import socket
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp

from arbstr_core.api import Outbound, Reply
from arbstr_core.net._guard import Guard, require_public
from arbstr_core.types import AddressRefused, ConnectFailed, ReplyCut, ReplyTimedOut, Secret

_LARGE_BYTES = 2**19


class UpstreamPools:
    """Connection pools shared by all plugins: one for addresses the guard trusts, one that only connects in public."""

    def __init__(self, *, connect_seconds: float) -> None:
        # How long a reply may be silent is for whoever waits for it; a second clock here would only cost.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._trusted: aiohttp.ClientSession | None = None
        self._public: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._trusted = self._session()
        self._public = self._session(socket_factory=_public_socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._trusted, self._public):
            if session is not None:
                await session.close()

    def client(self, guard: Guard) -> GuardedUpstream:
        """The client of one plugin."""
        assert self._trusted is not None, "the pools are not open"
        assert self._public is not None, "the pools are not open"
        return GuardedUpstream(guard, self._trusted, self._public)

    def _session(self, **how: Any) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=60, **how)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            headers={"accept-encoding": "identity", "user-agent": "arbstr"},
        )


def _public_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    """A socket for an address that is about to be connected to; the one place where it is known for certain."""
    family, kind, protocol, _, address = addr_info
    require_public(str(address[0]), str(address[0]))
    return socket.socket(family, kind, protocol)


class GuardedUpstream:
    """`tools.upstream` of one plugin."""

    def __init__(self, guard: Guard, trusted: aiohttp.ClientSession, public: aiohttp.ClientSession) -> None:
        self._guard = guard
        self._trusted = trusted
        self._public = public
        self._known: dict[str, aiohttp.ClientSession] = {}

    async def send(self, outbound: Outbound) -> Reply:
        """POST and return once status and headers are in. Raises ConnectFailed, ReplyTimedOut or AddressRefused."""
        url = outbound.url
        assert url is not None, "a provider sends an Outbound without a url"
        session = self._known.get(url) or self._choose(url)
        headers = dict(outbound.headers)
        if outbound.key is not None:
            headers["authorization"] = f"Bearer {outbound.key.reveal()}"
        try:
            response = await session.post(url, data=_payload(outbound.body), headers=headers, allow_redirects=False)
        except AddressRefused:
            raise
        except (TimeoutError, aiohttp.ServerTimeoutError) as late:
            raise ReplyTimedOut(f"no answer from {url}") from late
        except (aiohttp.ClientError, OSError, ValueError) as broken:
            raise ConnectFailed(f"{url}: {broken or type(broken).__name__}") from broken
        return _HttpReply(response, outbound.key)

    def _choose(self, url: str) -> aiohttp.ClientSession:
        if not self._guard.trusts(url):
            return self._public
        self._known[url] = self._trusted
        return self._trusted


def _payload(body: bytes) -> bytes | io.BytesIO:
    """A large body goes out in pieces, so that other calls go on meanwhile."""
    return body if len(body) <= _LARGE_BYTES else io.BytesIO(body)


class _HttpReply(Reply):
    """A reply over HTTP."""

    def __init__(self, response: aiohttp.ClientResponse, key: Secret | None) -> None:
        # Names compare without case here; a copy in lower case would cost more than the rest of this.
        super().__init__(response.status, response.headers, _chunks(response))
        self._response = response
        self._key = key

    @property
    def ended(self) -> bool:
        """True once the whole body is here."""
        return self._response.content.is_eof()

    async def read(self, limit: int) -> bytes:
        """The whole body; read at once where its length is known and allowed. Our key is taken out of an error."""
        if (self._response.content_length or limit) < limit:
            try:
                body = await self._response.read()
            except _BROKEN as broken:
                raise _in_our_words(self._response, broken) from broken
        else:
            body = await super().read(limit)
        if self.status >= 400 and self._key is not None:
            body = body.replace(self._key.reveal().encode(), b"***")
        return body

    async def aclose(self) -> None:
        """A reply read to its end has given its connection back already; any other takes the connection with it."""
        self._response.close()


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    content = response.content
    while True:
        try:
            chunk = await content.readany()
        except _BROKEN as broken:
            raise _in_our_words(response, broken) from broken
        if not chunk:
            return
        yield chunk


_BROKEN = (TimeoutError, aiohttp.ClientError, OSError)
"""What goes wrong while a body comes."""


def _in_our_words(response: aiohttp.ClientResponse, broken: Exception) -> ReplyTimedOut | ReplyCut:
    if isinstance(broken, TimeoutError):
        return ReplyTimedOut(f"{response.url} went silent")
    return ReplyCut(f"{response.url} broke off: {broken or type(broken).__name__}")
