"""Nodes that are found: by relays, which may be down or full of forgeries, and by nodes, whose word is hearsay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import arbstr_providers_routstr
import pytest
from arbstr_providers_routstr import RoutstrProvider, _node_api, _provider, _relay
from routstr.http import Answer, Request, Server, said
from routstr.node import Model, Node
from routstr.relay import MADE_S, Announcer, Relay, serving_relays
from routstr.stage import serving_nodes, tools_for

from arbstr_core.testing import KitTools, configure

A, B = "https://a.example", "https://b.example"


Story = Callable[[RoutstrProvider, KitTools], Any]


def told(story: Story, *relays: Relay, nodes: tuple[Node, ...] = (), guarded: bool = False, **table: Any) -> None:
    async def whole() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving_relays(*relays))
            await stack.enter_async_context(serving_nodes(*nodes))
            urls = {"relays": [relay.url for relay in relays], "nodes": [node.url for node in nodes], **table}
            tools = tools_for(urls, guarded=guarded)
            stack.push_async_callback(tools.aclose)
            provider = RoutstrProvider(configure(arbstr_providers_routstr, {"network": "regtest", **urls}), tools)
            await story(provider, tools)

    asyncio.run(whole())


async def sellers(provider: RoutstrProvider) -> list[str]:
    return sorted({offer.node for offer in await provider.offers()})


def test_what_relays_have_is_bought_at() -> None:
    """Verified, each once, whatever relay has it; and it is remembered."""
    one, other = Announcer(1), Announcer(2)
    first = Relay(one.event(A + "/v1/"), {"kind": 1}, one.event("https://x.example", kind=1))
    second = Relay(other.event("http://b.onion", B), one.event(A + "/v1/"))

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == ["a.example", "b.example"]
        assert first.asked == [["REQ", "arbstr", {"kinds": [38421], "limit": 1000}]]
        again = RoutstrProvider(provider.config, tools)
        assert sorted(await again.directory.load()) == ["a.example", "b.example"]

    told(story, first, second)


def test_the_newest_of_a_node_counts() -> None:
    """Whatever the order; another name of the same key is another node."""
    one = Announcer()
    new, old = one.event(B, at=MADE_S), one.event(A, at=MADE_S - 10)
    more = one.event("https://c.example", name="second", at=MADE_S - 20)

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == ["b.example", "c.example"]

    told(story, Relay(new, old, more), Relay(old))


def test_what_a_node_said_before_does_not_come_back() -> None:
    """A relay that has only an older announcement, or plays one back, leads to no address that a node has left."""
    one = Announcer()
    old, new = one.event(A, at=MADE_S - 10), one.event(B, at=MADE_S)
    first, second = Relay(old), Relay()

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == ["a.example"]
        second.events = [new]
        tools.clock.advance(1000)
        await provider.tend()
        assert await sellers(provider) == ["b.example"]
        second.mode = "closes"
        tools.clock.advance(1000)
        await provider.tend()
        assert await sellers(provider) == ["b.example"]
        again = RoutstrProvider(provider.config, tools)
        await again.directory.refresh()
        assert await again.directory.load() == {"b.example": B}

    told(story, first, second)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"content": "{}"}, "its id is not what it says"),
        ({"id": "00" * 32}, "its id is not what it says"),
        ({"sig": "00" * 64}, "its signature is none"),
        ({"sig": "zz"}, "it is no event"),
        ({"sig": "00" * 10}, "its signature is none"),
        ({"pubkey": "11" * 32}, "its id is not what it says"),
        ({"tags": [["d", "n"], ["u", "https://evil.example"]]}, "its id is not what it says"),
        ({"tags": "what"}, "it is no event"),
    ],
)
def test_forged_events_are_refused_and_said(change: dict[str, Any], why: str) -> None:
    relay = Relay(Announcer(1).event(A, **change), Announcer(2).event(B))

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == ["b.example"]
        assert provider.remarks()[f"relay {relay.url}"] == f"1 of its events were refused: {why}"

    told(story, relay)


def test_what_comes_from_the_future_is_refused() -> None:
    relay = Relay(Announcer().event(A, at=MADE_S + 100_000))

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == []
        assert "made in the future" in provider.remarks()[f"relay {relay.url}"]

    told(story, relay)


@pytest.mark.parametrize("mode", ["silent", "rubbish", "closes"])
def test_a_relay_that_is_not_well_holds_up_nobody(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trouble is said, what it had last stays, and the others are heard."""
    monkeypatch.setattr(_relay, "_SECONDS", 1.0)
    bad, good = Relay(Announcer(1).event(A)), Relay(Announcer(2).event(B))

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == ["a.example", "b.example"]
        bad.mode = mode
        tools.clock.advance(1000)
        await provider.tend()
        assert await sellers(provider) == ["a.example", "b.example"]
        assert (f"relay {bad.url}" in provider.remarks()) == (mode != "rubbish")

    told(story, bad, good)


def test_no_relay_at_all() -> None:
    async def page(request: Request) -> Answer:
        return said({"hello": "I am a web server"})

    async def whole() -> None:
        server = Server(page)
        await server.start()
        try:

            async def story(provider: RoutstrProvider, tools: KitTools) -> None:
                assert await sellers(provider) == []
                remarks = provider.remarks()
                assert "is no relay" in remarks[f"relay ws://127.0.0.1:{server.port}"]
                assert remarks["relay ws://127.0.0.1:1"]

            urls = {"relays": [f"ws://127.0.0.1:{server.port}", "ws://127.0.0.1:1"]}
            tools = tools_for(urls, guarded=False)
            provider = RoutstrProvider(configure(arbstr_providers_routstr, {"network": "regtest", **urls}), tools)
            await story(provider, tools)
            await tools.aclose()
        finally:
            await server.stop()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://a.example", "not https"),
        ("https://a.onion", "onion network"),
        ("https://u:p@a.example", "none that stands for a node"),
        ("https://a.example:99999999", "address is none"),
        ("file:///etc/passwd", "not https"),
    ],
)
def test_addresses_that_are_none_are_not_asked(url: str, why: str) -> None:
    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == []
        assert why in provider.remarks()[url]

    told(story, Relay(Announcer().event(url)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "[::1]"])
def test_a_found_address_in_the_private_network_is_refused(host: str) -> None:
    """By the kernel's guard, at the address that is really connected to; the relay is the operator's, and is asked."""

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == []
        assert "not a public address" in provider.remarks()[host]

    told(story, Relay(Announcer().event(f"https://{host}")), guarded=True)


def test_nodes_may_be_asked_for_others() -> None:
    node = Node()
    node.others = [A, "http://10.0.0.1"]

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == [node.name, "a.example"]
        assert "not https" in provider.remarks()["http://10.0.0.1"]

    told(story, nodes=(node,), ask_nodes=True)


def test_a_node_that_nobody_names_any_more_is_emptied() -> None:
    relay = Relay(Announcer().event(A))

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == ["a.example"]
        node = provider.nodes["a.example"]
        node.record.key, node.record.balance_msat, node.stale = "sk", 50_000, False
        relay.events.clear()
        tools.clock.advance(25 * 3600)
        await provider._find()
        node.stale = False
        assert await sellers(provider) == []
        [funds] = await provider.funds()
        assert funds.drain
        assert "not bought at any more" in funds.reason

    told(story, relay)


def test_more_nodes_than_are_looked_at() -> None:
    relay = Relay(*(Announcer(at + 1).event(f"https://n{at}.example") for at in range(30)))

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert len(await sellers(provider)) == 20
        assert provider.remarks()["directory"] == "it has 30 nodes; 20 are looked at"

    told(story, relay, most_nodes=20)


def test_newcomers_push_out_nobody() -> None:
    """Whoever announces a thousand nodes, with keys that come first, takes no place of one that is known."""
    known = Announcer(7)
    relay = Relay(known.event(A))

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert await sellers(provider) == ["a.example"]
        crowd = sorted((Announcer(at) for at in range(10, 60)), key=lambda each: each.pubkey)
        first = [each.event(f"https://{each.pubkey[:9]}.example") for each in crowd if each.pubkey < known.pubkey]
        assert len(first) > 5
        relay.events += first
        tools.clock.advance(1000)
        await provider.tend()
        assert "a.example" in await sellers(provider)

    told(story, relay, most_nodes=5)


# Nodes that answer strangely


async def _strange(kind: str, request: Request) -> Answer:
    if request.path == "/v1/info":
        return said({"mints": "none", "name": 7})
    match kind:
        case "html":
            return Answer(body=b"<html>hello</html>", headers={"content-type": "text/html"})
        case "wrong type":
            body = json.dumps({"data": [Model().row]}).encode()
            return Answer(body=body, headers={"content-type": "text/plain; charset=latin-1"})
        case "many":
            return said({"data": [Model(f"m{at}").row for at in range(300)]})
        case "huge":
            return Answer(body=b"[" + b" " * (5 * 1024 * 1024) + b"]")
        case "deep":
            return Answer(body=b"[" * 200_000)
        case "not a list":
            return said({"data": {"m": 1}})
        case "odd rows":
            rows = [None, 7, {"id": 7}, {"id": "off", "enabled": False}, {"id": "bare"}, Model("good").row]
            return said({"data": rows})
        case "redirect":
            return Answer(302, headers={"location": "http://127.0.0.1:1/v1/models"})
    await asyncio.Event().wait()
    raise AssertionError("waited for nothing")


@pytest.mark.parametrize(
    ("kind", "offers", "why"),
    [
        ("html", 0, "does not answer with JSON"),
        ("wrong type", 1, ""),
        ("many", 300, ""),
        ("huge", 0, "answers with more than"),
        ("deep", 0, "does not answer with JSON"),
        ("not a list", 0, "list of models is none"),
        ("odd rows", 2, ""),
        ("redirect", 0, "answered 302"),
        ("hangs", 0, "no answer within"),
    ],
)
def test_strange_nodes_hold_up_nobody(kind: str, offers: int, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `arbstr offers` says what is wrong with them."""
    monkeypatch.setattr(_node_api, "_LOOK_SECONDS", 1.0)
    well = Node(Model("well"))

    async def whole() -> None:
        server = Server(lambda request: _strange(kind, request))
        await server.start()
        async with serving_nodes(well):
            urls = {"nodes": [server.url, well.url]}
            tools = tools_for(urls, guarded=True)
            provider = RoutstrProvider(configure(arbstr_providers_routstr, {"network": "regtest", **urls}), tools)
            found = [offer for offer in await provider.offers() if offer.model != "well"]
            assert len(found) == offers
            assert well.name in await sellers(provider)
            remark = provider.remarks().get(server.url.removeprefix("http://"), "")
            assert why in remark
            assert bool(remark) == bool(why)
            if kind == "odd rows":
                assert {offer.model: bool(offer.withheld) for offer in found} == {"bare": True, "good": False}
            await tools.aclose()
        await server.stop()

    asyncio.run(whole())


def test_nodes_that_hang_take_no_time_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: the market gives all of them together ten seconds."""
    monkeypatch.setattr(_provider, "_READ_SECONDS", 0.9)
    monkeypatch.setattr(_provider, "_ANSWER_SECONDS", 1.0)
    well, asked = Node(Model("well")), set()

    async def hang(request: Request) -> Answer:
        asked.add(request.path)
        await asyncio.Event().wait()
        raise AssertionError("waited for nothing")

    async def whole() -> None:
        server = Server(hang)
        await server.start()
        async with serving_nodes(well):
            urls = {"nodes": [*(f"{server.url}/n{at:02}" for at in range(60)), well.url]}
            tools = tools_for(urls, guarded=True)
            provider = RoutstrProvider(configure(arbstr_providers_routstr, {"network": "regtest", **urls}), tools)
            while len(provider.remarks()) < 60:
                # One after the other they would take 54 s.
                async with asyncio.timeout(30):
                    await provider.offers()
            tools.clock.advance(1)
            assert await sellers(provider) == [well.name]
            assert len(asked) == 60
            await tools.aclose()
        await server.stop()

    asyncio.run(whole())


def test_a_relay_that_hangs_takes_no_time_from_nodes_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_provider, "_ANSWER_SECONDS", 3.0)
    well = Node(Model("well"))

    async def story(provider: RoutstrProvider, tools: KitTools) -> None:
        assert [offer.model for offer in await provider.offers()] == ["well"]

    told(story, Relay(mode="silent"), nodes=(well,))


def test_a_slow_loris_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps nobody waiting: the whole answer has its time."""
    monkeypatch.setattr(_node_api, "_LOOK_SECONDS", 0.5)

    async def serve_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def whole() -> None:
        server = await asyncio.start_server(serve_slowly, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        tools = tools_for({"nodes": [url]}, guarded=True)
        provider = RoutstrProvider(configure(arbstr_providers_routstr, {"network": "regtest", "nodes": [url]}), tools)
        assert list(await provider.offers()) == []
        assert "no answer within" in provider.remarks()[url.removeprefix("http://")]
        await tools.aclose()
        server.close()
        await asyncio.sleep(0.2)

    asyncio.run(whole())
