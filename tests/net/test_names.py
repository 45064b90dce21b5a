"""Names: asked for once, remembered for a while; and of several addresses the first that answers is taken."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from ports import free_port

from arbstr_core.api import Endpoint, Outbound
from arbstr_core.net import Guard, UpstreamPools, origins_in
from arbstr_core.net._names import Names, first_of
from arbstr_core.types import AddressRefused, ConnectFailed

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
Rows = list[tuple[Any, ...]]


def rows(*addresses: str) -> Rows:
    def row(address: str) -> tuple[Any, ...]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return (family, socket.SOCK_STREAM, 6, "", (address, 0))

    return [row(address) for address in addresses]


class Resolver:
    """Stands for the system's resolver."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, port: Any, *_: Any, **__: Any) -> Rows:
        name = host if isinstance(host, str) else host.decode()
        if name.replace(".", "").replace(":", "").isdigit() or ":" in name:
            return rows(name)  # what is an address already
        self.asked.append(name)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return rows(*self.addresses)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(WHOLE)
    writer.close()


async def ask(pools: UpstreamPools, url: str, *, own: bool = True) -> int:
    client = pools.client(Guard(frozenset(origins_in({"url": url} if own else {}))))
    reply = await client.send(Outbound(endpoint=Endpoint.CHAT, headers={}, body=b"").to(url))
    await reply.read(100)
    await reply.aclose()
    return reply.status


def test_localhost_whose_first_address_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where `localhost` is ::1 first, and the server listens on 127.0.0.1 alone."""
    resolver = Resolver(monkeypatch, "::1", "127.0.0.2", "127.0.0.1")

    async def story() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, UpstreamPools(connect_seconds=30) as pools:
            url = f"http://localhost:{server.sockets[0].getsockname()[1]}/v1"
            for _ in range(3):
                assert await ask(pools, url) == 200

    asyncio.run(story())
    assert resolver.asked == ["localhost"]


def test_the_real_localhost() -> None:
    async def story() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, UpstreamPools(connect_seconds=30) as pools:
            assert await ask(pools, f"http://localhost:{server.sockets[0].getsockname()[1]}/v1") == 200

    asyncio.run(story())


def test_a_name_that_led_nowhere_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, "127.0.0.2")

    async def story() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, UpstreamPools(connect_seconds=30) as pools:
            url = f"http://moved.example:{server.sockets[0].getsockname()[1]}/v1"
            with pytest.raises(ConnectFailed):
                await ask(pools, url)
            resolver.addresses = ("127.0.0.1",)
            assert await ask(pools, url) == 200

    asyncio.run(story())
    assert resolver.asked == ["moved.example"] * 2


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch)

    async def story() -> None:
        async with UpstreamPools(connect_seconds=30) as pools:
            with pytest.raises(ConnectFailed, match="not known"):
                await ask(pools, f"http://nobody.example:{free_port()}/v1")

    asyncio.run(story())


def test_a_name_that_leads_inside_as_well_is_refused_before_anything_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, "2606:4700::1", "10.0.0.1")

    async def story() -> None:
        async with UpstreamPools(connect_seconds=30) as pools:
            with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
                await ask(pools, "https://rebound.example/v1", own=False)

    asyncio.run(story())


def test_many_who_want_one_name_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, "127.0.0.1", "127.0.0.1", "::1")

    async def story() -> None:
        names = Names()
        found = await asyncio.gather(*(names.addresses("one.example") for _ in range(20)))
        assert set(found) == {("127.0.0.1", "::1")}
        assert await names.addresses("127.0.0.9") == ("127.0.0.9",)

    asyncio.run(story())
    assert resolver.asked == ["one.example"]


def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, "::1", "::2", "::3", "127.0.0.1")
    assert asyncio.run(Names().addresses("many.example")) == ("::1", "127.0.0.1", "::2", "::3")


def test_whoever_gives_up_waiting_for_a_name_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, "127.0.0.1")

    async def story() -> None:
        names = Names()
        first, second = (asyncio.create_task(names.addresses("one.example")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == ("127.0.0.1",)
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(story())


# -- the first that answers ------------------------------------------------------------------------------------------

Connect = Callable[[str], Awaitable[str]]


def connecting(tried: list[str], *, silent: str = "", refuses: str = "") -> Connect:
    async def connect(address: str) -> str:
        tried.append(address)
        if address in silent.split():
            await asyncio.Event().wait()
        if address in refuses.split():
            raise ConnectionRefusedError(address)
        return address

    return connect


def test_one_that_keeps_silent_is_not_waited_for() -> None:
    tried: list[str] = []
    assert asyncio.run(first_of(("a", "b", "c"), connecting(tried, silent="a"), print)) == "b"
    assert tried == ["a", "b"]


def test_those_that_refuse_are_passed_over() -> None:
    tried: list[str] = []
    assert asyncio.run(first_of(("a", "b", "c"), connecting(tried, refuses="a b"), print)) == "c"
    with pytest.raises(ConnectionRefusedError, match="c"):
        asyncio.run(first_of(("a", "b", "c"), connecting([], refuses="a b c"), print))


def test_what_connects_too_late_is_let_go() -> None:
    """The first one answers in the same moment as the second, and cannot be called back any more."""
    dropped: list[str] = []

    async def story() -> None:
        go = asyncio.Event()

        async def connect(address: str) -> str:
            if address == "b":
                go.set()
            else:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            return address

        assert await first_of(("a", "b"), connect, dropped.append) == "b"
        while not dropped:
            await asyncio.sleep(0)

    asyncio.run(story())
    assert dropped == ["a"]
