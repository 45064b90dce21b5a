"""The fast client, for inference: pooled connections, one POST at a time to a provider.

Why a client of our own: docs/decisions/001-hot-path-libraries.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from arbstr_core.api import Outbound, Reply
from arbstr_core.net._guard import Guard, require_public
from arbstr_core.net._http1 import Broken, Incoming
from arbstr_core.net._pool import Pool, Target, target_of
from arbstr_core.types import ConnectFailed, KeyHeader, ReplyCut, Secret


class UpstreamPools:
    """Connection pools shared by all plugins: one for addresses the guard trusts, one that only connects in public."""

    def __init__(self, *, connect_seconds: float) -> None:
        # How long a reply may be silent is for whoever waits for it; a second clock here would only cost.
        self._trusted = Pool(connect_seconds=connect_seconds)
        self._public = Pool(connect_seconds=connect_seconds, allow=_public)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._trusted.close()
        self._public.close()

    def client(self, guard: Guard) -> GuardedUpstream:
        """The client of one plugin."""
        return GuardedUpstream(guard, self._trusted, self._public)


def _public(address: str) -> None:
    """Asked about an address that is about to be connected to; the one place where it is known for certain."""
    require_public(address, address)


class GuardedUpstream:
    """`tools.upstream` of one plugin."""

    def __init__(self, guard: Guard, trusted: Pool, public: Pool) -> None:
        self._guard = guard
        self._trusted = trusted
        self._public = public
        self._known: dict[str, Target] = {}

    async def send(self, outbound: Outbound) -> Reply:
        """POST and return once status and headers are in. Raises ConnectFailed or AddressRefused."""
        url = outbound.url
        assert url is not None, "a provider sends an Outbound without a url"
        pool, target = self._choose(url)
        head = _head(target, outbound)
        try:
            connection = pool.idle(target) or await pool.connection(target)
            incoming = await connection.exchange(head, outbound.body)
        except (Broken, OSError, ValueError) as broken:
            raise ConnectFailed(f"{url}: {broken or type(broken).__name__}") from broken
        return _HttpReply(incoming, url, outbound.key)

    def _choose(self, url: str) -> tuple[Pool, Target]:
        known = self._known.get(url)
        if known is not None:
            return self._trusted, known
        if not self._guard.trusts(url):
            return self._public, target_of(url)
        self._known[url] = target_of(url)
        return self._trusted, self._known[url]


def _head(target: Target, outbound: Outbound) -> bytes:
    """The head of a request. Raises ConnectFailed for a header that no header can be."""
    lines = [f"{name}: {value}\r\n" for name, value in outbound.headers.items()]
    login = target.login if outbound.key is None else _login(outbound.key, outbound.key_header)
    if login:
        lines.append(login)
    said = "".join(lines)
    if said.count("\n") != len(lines) or said.count("\r") != len(lines) or "\0" in said:
        raise ConnectFailed(f"{outbound.url}: a header, or the key, has a line break in it; take that out")
    return b"%b%bcontent-length: %d\r\n\r\n" % (target.head, said.encode(), len(outbound.body))


def _login(key: Secret, header: KeyHeader) -> str:
    scheme = "Bearer " if header is KeyHeader.AUTHORIZATION else ""
    return f"{header}: {scheme}{key.reveal()}\r\n"


class _HttpReply(Reply):
    """A reply over HTTP."""

    def __init__(self, incoming: Incoming, url: str, key: Secret | None) -> None:
        super().__init__(incoming.status, incoming.headers, _pieces(incoming, url))
        self._incoming = incoming
        self._url = url
        self._key = key

    @property
    def ended(self) -> bool:
        """True once the whole body is here."""
        return self._incoming.ended

    async def read(self, limit: int) -> bytes:
        """The whole body. Our key is taken out of an error."""
        body = await self._whole(limit)
        if self.status >= 400 and self._key is not None:
            body = body.replace(self._key.reveal().encode(), b"***")
        return body

    async def _whole(self, limit: int) -> bytes:
        incoming, parts, size = self._incoming, [], 0
        try:
            while not incoming.drained:
                piece = await incoming.read()
                size += len(piece)
                if size > limit:
                    raise ReplyCut(f"the reply is larger than {limit} bytes")
                parts.append(piece)
        except Broken as broken:
            raise _broke_off(self._url, broken) from broken
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def aclose(self) -> None:
        """A reply read to its end has given its connection back already; any other takes the connection with it."""
        self._incoming.close()


# Not the reply's own: it keeps this iterator, which would keep it in turn.
async def _pieces(incoming: Incoming, url: str) -> AsyncIterator[bytes]:
    while piece := await _piece(incoming, url):
        yield piece


async def _piece(incoming: Incoming, url: str) -> bytes:
    try:
        return await incoming.read()
    except Broken as broken:
        raise _broke_off(url, broken) from broken


def _broke_off(url: str, broken: Broken) -> ReplyCut:
    return ReplyCut(f"{url} broke off: {broken}")
