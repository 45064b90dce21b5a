"""The provider on real sockets, without the kernel: calls it as the kernel does, and moves money to and from nodes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import arbstr_providers_routstr
import httpx
import msgspec
from arbstr_providers_routstr import RoutstrProvider
from purses import Wallet

from arbstr_core.api import (
    CallFacts,
    Credited,
    EcashRequest,
    FundingDenied,
    Msat,
    Offer,
    Outbound,
    Store,
    Swept,
)
from arbstr_core.net import Guard, UpstreamPools, control_client, origins_in
from arbstr_core.plugins import LoopClock
from arbstr_core.testing import FakeClock, KitTools, MemoryStore, an_outbound, configure, kit_tools
from routstr.node import SAT, Model, Node

NO_TLS = ssl.create_default_context()


class Still(FakeClock):
    """A clock that stands still, but for `advance`: whoever sleeps waits for the end."""

    async def sleep(self, seconds: float) -> None:
        """Wait until the test is over."""
        await LoopClock().sleep(3600)


class Buyer:
    """A provider and what the kernel does with it."""

    def __init__(self, provider: RoutstrProvider, tools: KitTools, wallet: Wallet | None) -> None:
        self.provider = provider
        self.tools = tools
        self.wallet = wallet
        self._keys = 0

    async def offer(self, node: Node | None = None, model: str = "m") -> Offer:
        """The offer of a node, or the only one."""
        found = [each for each in await self.provider.offers() if each.model == model]
        [offer] = [each for each in found if node is None or each.node == node.name]
        return offer

    async def call(self, offer: Offer, text: str = "Say hello", **more: Any) -> tuple[int, bytes, CallFacts]:
        """One call, read to its end: its status, its body or events, and the facts."""
        reply = await self.provider.open(self.outbound(offer, text, **more), offer)
        try:
            if more.get("stream") and reply.status == 200:
                body = b"".join([batch async for batch in reply.batches()])
            else:
                body = await reply.read(1 << 20)
            return reply.status, body, reply.facts()
        finally:
            await reply.aclose()

    def outbound(
        self, offer: Offer, text: str = "Say hello", *, limit: int = 100, others: bool = True, **more: Any
    ) -> Outbound:
        """A call as the kernel writes it."""
        made = an_outbound(text, model=offer.upstream, **more)
        body = msgspec.json.decode(made.body) | {"max_tokens": limit}
        return msgspec.structs.replace(made, body=msgspec.json.encode(body), others=others)

    async def fund(self, node: Node, sat: int) -> Credited | FundingDenied:
        """Bring ecash to a node, as the kernel does."""
        assert self.wallet is not None, "there is a wallet"
        self._keys += 1
        key = f"topup-{self._keys}"
        mints = (await self.wallet.rail.limits()).mints
        await self.provider.offers()
        asked = await self.provider.funding(node.name, Msat(sat * SAT), key=key, bolt11=False, mints=mints)
        assert isinstance(asked, EcashRequest), "it is paid with ecash"
        token = await self.wallet.token(sat, key, mint=asked.mints[0])
        said = await self.wallet.again(lambda: self.provider.funded(node.name, token, key=key))
        await self.provider.done(node.name, key=key)
        return said

    async def sweep(self, node: Node) -> Swept | None:
        """Take everything back, and redeem it."""
        assert self.wallet is not None, "there is a wallet"
        self._keys += 1
        key = f"sweep-{self._keys}"
        swept = await self.wallet.again(lambda: self.provider.sweep(node.name, key=key))
        if swept is not None:
            await self.wallet.rail.receive(swept.token, key=key)
            await self.provider.done(node.name, key=key)
        return swept

    async def settled(self, node: Node) -> int:
        """What lies at a node by our own books, once it was asked."""
        ours = self.provider.nodes[node.name]
        await self.provider.balances.ask(ours)
        return ours.record.balance_msat


@asynccontextmanager
async def buying(
    *nodes: Node, wallet: Wallet | None = None, store: Store | None = None, **table: Any
) -> AsyncIterator[Buyer]:
    """A provider that buys at these nodes; on a store that was used before, the same after a restart."""
    urls = [node.url for node in nodes]
    config = configure(arbstr_providers_routstr, {"network": "regtest", "nodes": urls, "wait_seconds": 0, **table})
    async with AsyncExitStack() as stack:
        pools = await stack.enter_async_context(UpstreamPools(connect_seconds=5))
        upstream = pools.client(Guard(frozenset(origins_in(urls))))
        http = httpx.AsyncClient(trust_env=False, timeout=20, verify=NO_TLS)
        tools = kit_tools(upstream=upstream.send, http=http, clock=Still(), store=store or MemoryStore())
        stack.push_async_callback(tools.aclose)
        provider = RoutstrProvider(config, tools)
        await provider.start()
        stack.push_async_callback(provider.aclose)
        yield Buyer(provider, tools, wallet)


@asynccontextmanager
async def serving_nodes(*nodes: Node) -> AsyncIterator[Sequence[Node]]:
    """Nodes that answer until the end."""
    try:
        for node in nodes:
            await node.server.start()
        yield nodes
    finally:
        for node in nodes:
            await node.server.stop()


def _public(request: httpx.Request) -> httpx.Response:
    """The nodes of the public internet: they all sell one model."""
    if request.url.path == "/v1/info":
        return httpx.Response(200, json={"mints": []})
    return httpx.Response(200, json={"data": [Model().row]})


def tools_for(table: dict[str, Any], *, guarded: bool) -> KitTools:
    """Real sockets to what is on this machine, and a public internet; or what the guard leaves of that."""
    if guarded:
        http = control_client(Guard(frozenset(origins_in(table))))
    else:
        mounts = {"https://": httpx.MockTransport(_public)}
        http = httpx.AsyncClient(mounts=mounts, verify=NO_TLS, trust_env=False, timeout=20)
    return kit_tools(http=http, clock=Still(), store=MemoryStore())
