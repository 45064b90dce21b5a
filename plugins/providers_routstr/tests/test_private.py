"""A token for each call: no key is seen twice, the change comes back, and what a node keeps is found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell
from mints import outstanding
from purses import Wallet, wallet
from routstr.node import Node
from routstr.stage import Buyer, buying, serving_nodes

from arbstr_core.api import BadRequest, ConnectFailed, NotFunded


@asynccontextmanager
async def world(mint: Nutshell) -> AsyncIterator[tuple[Node, Wallet, Wallet, Buyer]]:
    async with wallet(mint) as ours, wallet(mint) as theirs:
        await ours.fund(2_000)
        await theirs.fund(100)
        node = Node(rail=theirs.rail, mint=mint.url)
        async with serving_nodes(node), buying(node, wallet=ours, privacy=True) as buyer:
            await buyer.provider.offers()
            yield node, ours, theirs, buyer


async def swept(buyer: Buyer, node: Node, ours: Wallet) -> int:
    """Everything that is to come back; how many tokens that were."""
    count = 0
    while any(funds.drain for funds in await buyer.provider.funds()):
        assert await buyer.sweep(node) is not None
        count += 1
    return count


@pytest.mark.parametrize("stream", [False, True])
def test_each_call_has_a_token_of_its_own(mint: Nutshell, stream: bool) -> None:
    async def story() -> None:
        before = outstanding(mint)
        async with world(mint) as (node, ours, theirs, buyer):
            offer = await buyer.offer()
            with pytest.raises(NotFunded):
                await buyer.call(offer)
            for _ in range(2):
                await buyer.fund(node, 20)
            costs = 0
            for _ in range(2):
                status, body, facts = await buyer.call(offer, stream=stream)
                assert status == 200
                assert b"cost" not in body
                costs += facts.cost_msat or 0
            tokens = [call.headers["x-cashu"] for call in node.calls()]
            assert len(set(tokens)) == 2
            assert not any(call.bearer for call in node.calls())
            assert node.accounts == {}
            assert costs == node.single > 0
            assert await swept(buyer, node, ours) == 2
            assert (await buyer.provider.funds())[0].balance_msat == 0
            assert outstanding(mint) - before == await ours.held() + await theirs.held()

    asyncio.run(story())


def test_change_whose_reply_was_lost_is_asked_for(mint: Nutshell) -> None:
    """N3 and N4."""

    async def story() -> None:
        async with world(mint) as (node, ours, _, buyer):
            await buyer.fund(node, 20)
            node.fault = lambda request: "lost" if "chat" in request.path else ""
            with pytest.raises(ConnectFailed):
                await buyer.call(await buyer.offer())
            [funds] = await buyer.provider.funds()
            assert funds.reserved_msat
            assert not funds.drain
            await buyer.provider.tend()
            assert await swept(buyer, node, ours) == 1
            assert await ours.held() > 1_990

    asyncio.run(story())


@pytest.mark.parametrize("fault", ["500", "503", "429"])
def test_change_that_cannot_be_had_now_is_asked_for_again(mint: Nutshell, fault: str) -> None:
    """A node that is not well knows nothing of it: the token is spent, and its change is all that there is."""

    async def story() -> None:
        async with world(mint) as (node, ours, _, buyer):
            await buyer.fund(node, 20)
            node.fault = lambda request: "lost" if "chat" in request.path else fault
            with pytest.raises(ConnectFailed):
                await buyer.call(await buyer.offer())
            await buyer.provider.tend()
            assert not (await buyer.provider.funds())[0].drain
            node.fault = lambda request: ""
            await buyer.provider.tend()
            assert await swept(buyer, node, ours) == 1
            assert await ours.held() > 1_990

    asyncio.run(story())


def test_the_token_of_a_node_that_is_gone_is_tried(mint: Nutshell) -> None:
    """After a day; it was never redeemed, and comes back whole."""

    async def story() -> None:
        async with world(mint) as (node, ours, _, buyer):
            await buyer.fund(node, 20)
            had, offer = await ours.held(), await buyer.offer()
            await node.server.stop()
            with pytest.raises(ConnectFailed):
                await buyer.call(offer)
            await buyer.provider.tend()
            assert not (await buyer.provider.funds())[0].drain
            buyer.tools.clock.advance(25 * 3600)
            await buyer.provider.tend()
            assert await swept(buyer, node, ours) == 1
            assert await ours.held() >= had + 18
            await node.server.start()

    asyncio.run(story())


def test_a_token_that_a_node_keeps_is_tried_and_refused(mint: Nutshell) -> None:
    """N1 and N2: for a day its change is asked for; then the token itself is, which says that the node has it."""

    async def story() -> None:
        async with world(mint) as (node, _, _, buyer):
            await buyer.fund(node, 20)
            node.fault = lambda request: "keeps" if "chat" in request.path else ""
            assert (await buyer.call(await buyer.offer()))[0] == 500
            await buyer.provider.tend()
            assert not (await buyer.provider.funds())[0].drain
            buyer.tools.clock.advance(25 * 3600)
            await buyer.provider.tend()
            assert (await buyer.provider.funds())[0].drain
            with pytest.raises(BadRequest, match="spent"):
                await buyer.sweep(node)

    asyncio.run(story())


def test_a_call_that_never_arrived_costs_nothing(mint: Nutshell) -> None:
    async def story() -> None:
        async with world(mint) as (node, ours, _, buyer):
            await buyer.fund(node, 20)
            had = await ours.held()
            offer = await buyer.offer()
            await node.server.stop()
            with pytest.raises(ConnectFailed):
                await buyer.call(offer)
            await node.server.start()
            await buyer.provider.tend()
            assert await swept(buyer, node, ours) == 1
            assert await ours.held() >= had + 18

    asyncio.run(story())


def test_a_restart_remembers_tokens(mint: Nutshell) -> None:
    """Those to come, and those that were sent; without privacy they come back first."""

    async def story() -> None:
        async with world(mint) as (node, ours, _, buyer):
            await buyer.fund(node, 20)
            await buyer.fund(node, 21)
            node.fault = lambda request: "lost" if "chat" in request.path else ""
            with pytest.raises(ConnectFailed):
                await buyer.call(await buyer.offer())
            store = buyer.tools.store
            async with buying(node, wallet=ours, store=store, privacy=False) as again:
                assert await again.provider.offers() == []
                await again.provider.tend()
                assert await swept(again, node, ours) == 2

    asyncio.run(story())
