"""What a plugin may connect to: the operator's own addresses, its children, and the public internet over https."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from upstream import Act, Upstream

from arbstr_core.net import Guard, UpstreamPools, control_client, origins_in
from arbstr_core.net._guard import is_public, origin_of
from arbstr_core.testing import an_outbound
from arbstr_core.types import AddressRefused, ConnectFailed, Secret

TABLE = {
    "url": "http://10.0.0.7:11434/v1",
    "instances": {"a": {"url": "https://API.example.com/v1"}, "b": {"list": ["http://lan.example/x", "no url", 7]}},
    "relays": ["wss://relay.example", "ws://127.0.0.1:7000/path"],
    "broken": "http://[",
}


def guard(**table: Any) -> Guard:
    return Guard(frozenset(origins_in(table)))


PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "64:ff9b:1::1.1.1.1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "2606:4700::1111",
    "::ffff:1.1.1.1",
    "2002:0101:0101::",
    "64:ff9b::1.1.1.1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


def test_the_origins_of_a_table() -> None:
    assert set(origins_in(TABLE)) == {
        ("http", "10.0.0.7", 11434),
        ("https", "api.example.com", 443),
        ("http", "lan.example", 80),
        ("https", "relay.example", 443),
        ("http", "127.0.0.1", 7000),
    }


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://10.0.0.7:11434/v1/chat/completions", True),
        ("http://10.0.0.7:11434", True),
        ("https://api.example.com/anything", True),
        ("https://API.EXAMPLE.COM:443/", True),
        ("http://lan.example/", True),
        ("https://10.0.0.7:11434/", False),
        ("https://api.example.com:8443/", False),
        ("https://other.example/", False),
        ("https://127.0.0.1/", False),
    ],
)
def test_whose_an_address_is(url: str, trusted: bool) -> None:
    assert guard(**TABLE).trusts(url) is trusted


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/",
        "http://10.0.0.7/",
        "http://10.0.0.7:80/",
        "http://api.example.com/",
        "http://127.0.0.1:9/",
        "ftp://lan.example/",
        "file:///etc/passwd",
        "lan.example",
        "",
        "http://",
        "http://lan.example:99999/",
        "http://user@10.0.0.7:1/",
    ],
)
def test_t29_what_is_refused_by_its_url(url: str) -> None:
    with pytest.raises(AddressRefused):
        guard(**TABLE).trusts(url)


def test_a_name_that_pretends() -> None:
    own = guard(url="http://10.0.0.7:11434/v1")
    for url in (
        "http://10.0.0.7:11434@evil.example/",
        "http://evil.example/10.0.0.7:11434",
        "http://10.0.0.7.evil:11434/",
    ):
        with pytest.raises(AddressRefused):
            own.trusts(url)
    assert origin_of("http://10.0.0.7:11434@evil.example/") == ("http", "evil.example", 80)


def test_a_childs_port_is_for_its_plugin_alone() -> None:
    mine, other = guard(), guard()
    port = mine.port()
    assert mine.trusts(f"http://127.0.0.1:{port}/v1")
    with pytest.raises(AddressRefused):
        other.trusts(f"http://127.0.0.1:{port}/v1")
    for url in (f"http://localhost:{port}/", f"http://127.0.0.2:{port}/", f"http://127.0.0.1:{port + 1}/"):
        with pytest.raises(AddressRefused):
            mine.trusts(url)
    assert len({mine.port() for _ in range(20)}) > 1


# Nothing listens with TLS here: what is refused, is refused before a connection is made.
Sending = Callable[[str], Awaitable[Any]]


async def by_upstream(url: str) -> Any:
    async with UpstreamPools(connect_seconds=5) as pools:
        return await pools.client(guard()).send(an_outbound().to(url))


async def by_control(url: str) -> Any:
    async with control_client(guard()) as client:
        return await client.get(url)


@pytest.mark.parametrize("send", [by_upstream, by_control])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_t29_a_public_address_that_leads_here_is_refused(send: Sending, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"https://{host}:{listening.getsockname()[1]}/v1/chat/completions"
        with pytest.raises(AddressRefused, match="not a public address"):
            asyncio.run(send(url))
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("send", [by_upstream, by_control])
def test_http_to_a_stranger_is_refused(send: Sending) -> None:
    with Upstream() as upstream:
        with pytest.raises(AddressRefused, match="no table"):
            asyncio.run(send(upstream.url))
        assert upstream.hits() == 0


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(ConnectFailed):
        asyncio.run(by_upstream("https://nobody.invalid/"))
    with pytest.raises(httpx.ConnectError):
        asyncio.run(by_control("https://nobody.invalid/"))


def test_the_operators_own_address_and_no_further() -> None:
    """A redirect is an answer; cookies are forgotten; the environment's proxies do not count."""

    async def story() -> None:
        with Upstream() as upstream:
            own = guard(url=upstream.url)
            moved = Act(
                how="status",
                status=307,
                headers=(("location", "http://127.0.0.1:1/"), ("set-cookie", "a=b")),
            )
            upstream.script("model-a", moved)
            async with UpstreamPools(connect_seconds=5) as pools:
                client = pools.client(own)
                for _ in range(2):
                    call = an_outbound().to(f"{upstream.url}/chat/completions", Secret("key"))
                    reply = await client.send(call)
                    assert reply.status == 307
                    await reply.aclose()
            assert upstream.hits() == 2
            assert all("cookie" not in seen.headers for seen in upstream.seen)
            assert upstream.seen[0].headers["authorization"] == "Bearer key"
            async with control_client(own) as http:
                assert (await http.get(f"{upstream.url}/models")).json()["object"] == "list"

    asyncio.run(story())
