"""The store fails, as a database does now and then: no money goes with what could not be written down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell
from mints import outstanding
from purses import Wallet, wallet
from routstr.node import Node
from routstr.stage import Buyer, buying, serving_nodes

from arbstr_core.api import ArbstrError
from arbstr_core.testing import MemoryStore

T = TypeVar("T")


class Failing(MemoryStore):
    """Fails once, at its `at`-th write, counted from 1; `done` says whether that was written all the same."""

    def __init__(self, at: int, *, done: bool) -> None:
        super().__init__()
        self.at = at
        self.done = done
        self.writes = 0

    async def put(self, items: Mapping[str, bytes | None], *, where: Mapping[str, bytes | None] | None = None) -> bool:
        self.writes += 1
        written = await super().put(items, where=where) if self.writes != self.at or self.done else False
        if self.writes == self.at:
            raise ArbstrError("the database is full")
        return written


async def insist(step: Callable[[], Awaitable[T]]) -> T:
    """As the kernel does: again, with the same key."""
    for _ in range(5):
        try:
            return await step()
        except ArbstrError:
            await asyncio.sleep(0)
    return await step()


async def tale(buyer: Buyer, node: Node, prefix: str) -> None:
    """Money is brought, added to, used, and taken back."""
    assert buyer.wallet is not None
    wallet, provider = buyer.wallet, buyer.provider
    mints = (await wallet.rail.limits()).mints
    offer = await buyer.offer()
    for key in (f"{prefix}-one", f"{prefix}-two"):
        await insist(lambda key=key: provider.funding(node.name, 50_000, key=key, bolt11=False, mints=mints))
        token = await wallet.token(50, key, mint=mints[0])
        await insist(lambda key=key, token=token: provider.funded(node.name, token, key=key))
        await insist(lambda key=key: provider.done(node.name, key=key))
    await insist(lambda: buyer.call(offer))
    await insist(provider.tend)
    number = 0
    while any(funds.balance_msat >= 3_000 for funds in await provider.funds()):
        await insist(provider.tend)
        number += 1
        key = f"{prefix}-back-{number}"
        assert number < 9, "it does not come back"
        provider.nodes[node.name].wish_sweep = True
        swept = await insist(lambda key=key: provider.sweep(node.name, key=key))
        if swept is not None:
            await wallet.rail.receive(swept.token, key=key)
        await insist(lambda key=key: provider.done(node.name, key=key))


@pytest.mark.parametrize("privacy", [False, True])
@pytest.mark.parametrize("done", [False, True])
def test_a_write_that_fails_loses_nothing(mint: Nutshell, privacy: bool, done: bool) -> None:
    """Whichever it is, and whether it was written or not."""

    async def with_a_failure(at: int, ours: Wallet, theirs: Wallet) -> bool:
        had, before = await ours.held(), outstanding(mint) - await theirs.held()
        node, store = Node(rail=theirs.rail, mint=mint.url), Failing(at, done=done)
        async with serving_nodes(node), buying(node, wallet=ours, store=store, privacy=privacy) as buyer:
            await tale(buyer, node, f"at-{at}")
            [funds] = await buyer.provider.funds()
            assert not funds.claims, at
            assert not (await buyer.offer()).withheld, at
            assert node.held < 1_000, at
        assert outstanding(mint) - await theirs.held() - before == await ours.held() - had, at
        assert await ours.held() >= had - 10, at
        return store.writes >= at

    async def whole() -> None:
        async with wallet(mint) as ours, wallet(mint) as theirs:
            await ours.fund(1_000)
            await theirs.fund(200)
            at = 1
            while await with_a_failure(at, ours, theirs):
                at += 1
            assert at > 6, "there are more writes than that"

    asyncio.run(whole())
