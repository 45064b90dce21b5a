"""The client for the control plane (discovery, price lists, mints): httpx, through the guard, without redirects."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import httpx

from arbstr_core.net._guard import Guard, origins_in, require_public
from arbstr_core.types import AddressRefused, ConnectFailed

MAX_ANSWER_BYTES = 32 * 1024 * 1024


def control_client(guard: Guard, *, timeout_seconds: float = 20.0) -> httpx.AsyncClient:
    """`tools.http` of one plugin. Answers are bounded in size and time; redirects are answers, not followed."""
    return httpx.AsyncClient(
        transport=_GuardedTransport(guard), timeout=timeout_seconds, follow_redirects=False, trust_env=False
    )


class Fetcher:
    """GETs what the operator's own addresses `urls` say. Redirects are refused."""

    def __init__(self, urls: Sequence[str], *, timeout_seconds: float = 10.0) -> None:
        self._client = control_client(Guard(frozenset(origins_in(list(urls)))), timeout_seconds=timeout_seconds)

    async def __call__(self, url: str) -> bytes:
        """What `url` answers. Raises ConnectFailed, whose message never holds the address: a key may be part of it."""
        try:
            answer = await self._client.get(url, headers={"accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL) as failed:
            raise ConnectFailed(f"no answer ({type(failed).__name__})") from failed
        if answer.status_code != 200:
            raise ConnectFailed(f"the answer was {answer.status_code}")
        return answer.content

    async def aclose(self) -> None:
        """Let go of its connections."""
        await self._client.aclose()


class _GuardedTransport(httpx.AsyncBaseTransport):
    """Resolves a name once, checks what it leads to, and connects to just that."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = httpx.AsyncHTTPTransport(retries=0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._guard.trusts(str(request.url)):
            request = await _pinned(request)
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Bounded(response.stream, str(request.url))
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _pinned(request: httpx.Request) -> httpx.Request:
    host = request.url.host
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, request.url.port or 443, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except OSError as unknown:
        raise httpx.ConnectError(f"{host}: {unknown}", request=request) from unknown
    addresses = [str(row[4][0]) for row in found]
    for address in addresses:
        require_public(host, address)
    # The certificate is still checked against the name: TLS asks for `sni_hostname`, and the Host header keeps it.
    return httpx.Request(
        request.method,
        request.url.copy_with(host=addresses[0]),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, url: str) -> None:
        self._inner = inner
        self._url = url

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise AddressRefused(f"{self._url} answered with more than {MAX_ANSWER_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
