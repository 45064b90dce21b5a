"""arbstr dies at the k-th step of bringing money to a node, adding to it, calling, and taking it back, for every k: it
is started again, and every sat is found."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from mints import Mints
from purses import wallet
from routstr.books import Books, Death, Life, books
from routstr.node import SAT, Node

from arbstr_core.testing import an_outbound

EVERY = 23
"""steps from one death to the next, in a quick run"""


@pytest.fixture(scope="module")
def mint(mints: Mints) -> Nutshell:
    """A mint that takes 100 ppk for each coin spent."""
    return mints.start(dear=Options(fee_ppk=100))[0]


async def funds(life: Life, node: Node, sat: int) -> None:
    """Bring so much to a node, and let it come to rest."""
    life.ours(node).wish_msat = sat * SAT

    async def there() -> bool:
        return node.held >= sat * SAT * 9 // 10

    await life.until(there)


async def calls(life: Life, node: Node) -> None:
    """One call, as the ledger is told of it when nobody settles it: by what is left at the node."""
    [offer] = [each for each in await life.provider.offers() if each.node == node.name]
    reply = await life.provider.open(an_outbound(model="m"), offer)
    await reply.read(1 << 20)
    await reply.aclose()


async def sweeps(life: Life, node: Node) -> None:
    """Take everything back."""
    life.ours(node).wish_sweep = True

    async def gone() -> bool:
        await life.topup.check()
        assets = (await life.treasury.owed())["regtest"].assets
        return node.held < SAT and assets.get(f"prepaid:providers_routstr/{node.name}", 0) == node.held

    await life.until(gone)


async def tale(life: Life, node: Node) -> None:
    """All of it: a balance is opened, added to, used, and taken back."""
    await life.provider.offers()
    await funds(life, node, 60)
    await calls(life, node)
    await funds(life, node, 120)
    await calls(life, node)
    await sweeps(life, node)


async def died_at(made: Books, at: int) -> bool:
    """A tale with a death in it, and the end that a second life brings it to; False where it was over before."""
    node = await made.node()
    death = Death(at)
    async with made.life(death) as life:
        await tale(life, node)
    async with made.life() as again:
        await again.provider.offers()
        await sweeps(again, node)
        await made.right(again)
    return death.came


def told(folder: Path, mint: Nutshell, story: Callable[[Books], Awaitable[None]], sat: int = 3_000) -> None:
    async def whole() -> None:
        async with wallet(mint) as theirs, books(folder, mint, theirs) as made:
            await theirs.fund(1_000)
            await made.found(sat)
            await story(made)

    asyncio.run(whole())


def test_unharmed(tmp_path: Path, mint: Nutshell) -> None:
    async def story(made: Books) -> None:
        assert not await died_at(made, 0)

    told(tmp_path, mint, story)


def test_killed_now_and_then(tmp_path: Path, mint: Nutshell) -> None:
    """At every so many steps; a campaign dies at each."""

    async def story(made: Books) -> None:
        at, deaths = 3, 0
        while await died_at(made, at):
            at, deaths = at + EVERY, deaths + 1
        assert deaths > 2, "there are more steps than that"

    told(tmp_path, mint, story)


@pytest.mark.campaign
def test_killed_at_every_step(tmp_path: Path, mint: Nutshell) -> None:
    async def story(made: Books) -> None:
        unharmed = Death()
        node = await made.node()
        async with made.life(unharmed) as life:
            await tale(life, node)
        for at in range(1, unharmed.steps + 1):
            assert await died_at(made, at)
        print(f"killed at each of {unharmed.steps} steps")  # for docs/evidence.md

    told(tmp_path, mint, story, sat=5_000 + 30 * int(os.environ.get("CAMPAIGN_N", "20")))
