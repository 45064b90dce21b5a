"""Money at a node, as real ecash of a real mint: brought, used, and taken back; to the msat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell
from mints import outstanding
from purses import Wallet, wallet
from routstr.node import SAT, Node
from routstr.stage import Buyer, buying, serving_nodes

from arbstr_core.api import Credited, FundingDenied, Msat, NotFunded, RailUnavailable, Store


class World:
    """A node with a purse of its own, and a buyer with another, at one mint."""

    def __init__(self, mint: Nutshell, node: Node, ours: Wallet, theirs: Wallet) -> None:
        self.mint, self.node, self.ours, self.theirs = mint, node, ours, theirs

    @asynccontextmanager
    async def buyer(self, store: Store | None = None) -> AsyncIterator[Buyer]:
        async with buying(self.node, wallet=self.ours, store=store) as buyer:
            yield buyer


@asynccontextmanager
async def world(mint: Nutshell, funds: int = 2_000) -> AsyncIterator[World]:
    async with wallet(mint) as ours, wallet(mint) as theirs:
        await ours.fund(funds)
        await theirs.fund(100)  # a node pays the fee of making a token
        node = Node(rail=theirs.rail, mint=mint.url)
        async with serving_nodes(node):
            yield World(mint, node, ours, theirs)


def test_brought_used_and_taken_back(mint: Nutshell) -> None:
    """Nothing is there before it is wanted, and afterwards everything is accounted for."""

    async def story() -> None:
        before = outstanding(mint)
        async with world(mint) as all_, all_.buyer() as buyer:
            node = all_.node
            offer = await buyer.offer()
            with pytest.raises(NotFunded):
                await buyer.call(offer)
            assert node.calls() == []
            [funds] = await buyer.provider.funds()
            assert funds.wanted_msat == 100 * SAT
            had = await all_.ours.held()
            credited = await buyer.fund(node, 100)
            assert credited == Credited(amount_msat=node.held)
            status, body, facts = await buyer.call(offer)
            assert status == 200
            assert b"routstr" not in body
            assert "cost" not in json.loads(body)["usage"]
            assert facts.cost_msat == node.spent
            assert facts.told["remaining_balance_msats"] == node.held
            assert await buyer.settled(node) == node.held
            swept = await buyer.sweep(node)
            assert swept is not None
            assert swept.token_msat <= swept.balance_msat
            assert node.held == 0
            dust = swept.balance_msat - swept.token_msat
            assert 0 <= dust < SAT
            assert await buyer.sweep(node) is None
            ours, theirs = await all_.ours.held(), await all_.theirs.held()
            assert (had - ours) * SAT >= node.spent + (100 * SAT - credited.amount_msat) + dust
            assert outstanding(mint) - before == ours + theirs

    asyncio.run(story())


@pytest.mark.parametrize("lost", ["/v1/balance/create", "/v1/balance/refund", "/v1/balance/info"])
def test_lost_answers_are_asked_for_again(mint: Nutshell, lost: str) -> None:
    """N6: what a node did, and could not say, is the same the second time."""

    async def story() -> None:
        async with world(mint) as all_, all_.buyer() as buyer:
            node, asked = all_.node, 0

            def fault(request):
                nonlocal asked
                asked += request.path == lost
                return "lost" if request.path == lost and asked == 1 else ""

            node.fault = fault
            await buyer.offer()
            credited = await buyer.fund(node, 50)
            assert credited == Credited(amount_msat=node.held)
            swept = await buyer.sweep(node)
            assert swept is not None
            assert swept.balance_msat == credited.amount_msat
            assert node.held == 0
            assert asked > 1

    asyncio.run(story())


def test_what_is_not_booked_is_not_used(mint: Nutshell) -> None:
    """A call that was settled before the money for it is in the ledger would be a bill: so it waits for that."""

    async def story() -> None:
        async with world(mint) as all_, all_.buyer() as buyer:
            name, mints = all_.node.name, (await all_.ours.rail.limits()).mints
            offer = await buyer.offer()
            await buyer.provider.funding(name, Msat(50 * SAT), key="k", bolt11=False, mints=mints)
            token = await all_.ours.token(50, "k", mint=mints[0])
            await buyer.provider.funded(name, token, key="k")
            store = buyer.tools.store
            with pytest.raises(NotFunded):
                await buyer.call(offer)
            async with all_.buyer(store) as again:
                with pytest.raises(NotFunded):
                    await again.call(await again.offer())
                await again.provider.done(name, key="k")
                assert (await again.call(offer))[0] == 200

    asyncio.run(story())


@pytest.mark.parametrize("lost", [False, True])
def test_a_token_is_added_once(mint: Nutshell, lost: bool) -> None:
    """Adding to a balance cannot be done again: where the answer is lost, what is there tells."""

    async def story() -> None:
        async with world(mint) as all_, all_.buyer() as buyer:
            node, asked = all_.node, 0

            def fault(request):
                nonlocal asked
                asked += request.path == "/v1/balance/topup"
                return "lost" if lost and asked == 1 and request.path == "/v1/balance/topup" else ""

            node.fault = fault
            first = await buyer.fund(node, 50)
            await buyer.call(await buyer.offer())
            second = await buyer.fund(node, 40)
            assert isinstance(first, Credited)
            assert isinstance(second, Credited)
            assert node.held == first.amount_msat + second.amount_msat - node.spent
            assert await buyer.settled(node) == node.held

    asyncio.run(story())


def test_a_token_that_a_node_ate_is_denied(mint: Nutshell) -> None:
    """N5: it redeemed the token, and says that it has nothing."""

    async def story() -> None:
        async with world(mint) as all_, all_.buyer() as buyer:
            all_.node.fault = lambda request: "consumed" if request.path == "/v1/balance/create" else ""
            denied = await buyer.fund(all_.node, 50)
            assert isinstance(denied, FundingDenied)
            assert "cashu_token_consumed" in denied.evidence

    asyncio.run(story())


def test_a_balance_that_a_node_keeps_is_a_claim(mint: Nutshell) -> None:
    """N7: it took the balance, gave no token for it, and gives none."""

    async def story() -> None:
        async with world(mint) as all_, all_.buyer() as buyer:
            credited = await buyer.fund(all_.node, 50)
            assert isinstance(credited, Credited)
            all_.node.fault = lambda request: "debited" if request.path == "/v1/balance/refund" else ""
            with pytest.raises(RailUnavailable):
                await buyer.provider.sweep(all_.node.name, key="s")
            all_.node.fault = lambda request: ""
            buyer.tools.clock.advance(25 * 3600)
            assert await buyer.provider.sweep(all_.node.name, key="s") is None
            [funds] = await buyer.provider.funds()
            assert [claim.amount_msat for claim in funds.claims] == [credited.amount_msat]
            assert funds.balance_msat == 0

    asyncio.run(story())


def test_a_node_that_forgot_us_is_a_claim(mint: Nutshell) -> None:
    """N9: its database is lost. Three times asked, and three times it does not know our key: nothing is bought there;
    a day later what lies there is a claim."""

    async def story() -> None:
        async with world(mint) as all_, all_.buyer() as buyer:
            credited = await buyer.fund(all_.node, 50)
            all_.node.forget()
            offer = await buyer.offer()
            assert (await buyer.call(offer))[0] == 401
            ours = buyer.provider.nodes[all_.node.name]
            for _ in range(3):
                await buyer.provider.balances.ask(ours)
            assert "does not know the key" in (await buyer.offer()).withheld
            assert ours.record.key
            buyer.tools.clock.advance(24 * 3600)
            await buyer.provider.tend()
            [funds] = await buyer.provider.funds()
            assert [claim.amount_msat for claim in funds.claims] == [credited.amount_msat]
            assert "does not know the key" in (await buyer.offer()).withheld

    asyncio.run(story())


def test_a_restart_forgets_nothing(mint: Nutshell) -> None:
    """The key, the balance and a sweep that was begun are in the store."""

    async def story() -> None:
        async with world(mint) as all_:
            async with all_.buyer() as buyer:
                store = buyer.tools.store
                await buyer.fund(all_.node, 50)
                all_.node.fault = lambda request: "lost" if request.path == "/v1/balance/refund" else ""
                with pytest.raises(RailUnavailable):
                    await buyer.provider.sweep(all_.node.name, key="s")
            all_.node.fault = lambda request: ""
            async with all_.buyer(store) as again:
                assert again.provider.nodes[all_.node.name].sweeping == "s"
                swept = await again.provider.sweep(all_.node.name, key="s")
                assert swept == await again.provider.sweep(all_.node.name, key="s")
                assert swept is not None
                await all_.ours.rail.receive(swept.token, key="back")
                await again.provider.done(all_.node.name, key="s")
                assert [funds.sweeping for funds in await again.provider.funds()] == [""]
            kept = "".join(key for key in store._values)
            assert "sk-" not in kept

    asyncio.run(story())
