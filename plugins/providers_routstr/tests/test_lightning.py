"""Money that goes to a node over its Lightning invoice: asked for, paid by somebody, and credited once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from routstr.node import SAT, Node
from routstr.stage import Buyer, buying, serving_nodes

from arbstr_core.api import Bolt11Request, Credited, EcashRequest, FundingDenied, Msat, RailUnavailable


def told(story: Any, node: Node, **table: Any) -> None:
    async def whole() -> None:
        paid: set[str] = set()
        node.makes_invoice = lambda sats: f"lnbcrt{sats}-{len(node.invoices)}"
        node.paid = lambda bolt11: bolt11 in paid
        node.mint = "https://mint.example"
        async with serving_nodes(node), buying(node, **table) as buyer:
            await buyer.provider.offers()
            await story(buyer, paid)

    asyncio.run(whole())


async def asked(buyer: Buyer, node: Node, key: str, sat: int = 50, **more: Any) -> Bolt11Request | EcashRequest:
    ways = {"bolt11": True, "mints": ("https://mint.example/",), **more}
    return await buyer.provider.funding(node.name, Msat(sat * SAT), key=key, **ways)


def test_an_invoice_is_credited_once_it_is_paid() -> None:
    """The first one opens a balance, the next ones add to it; the same key is the same invoice."""
    node = Node()

    async def story(buyer: Buyer, paid: set[str]) -> None:
        for number, key in enumerate(("a", "b")):
            made = await asked(buyer, node, key)
            assert made == await asked(buyer, node, key)
            assert isinstance(made, Bolt11Request)
            with pytest.raises(RailUnavailable, match="of our payment it says 'pending'"):
                await buyer.provider.funded(node.name, "", key=key)
            paid.add(made.text)
            for _ in range(2):
                assert await buyer.provider.funded(node.name, "00" * 32, key=key) == Credited(
                    amount_msat=Msat(50 * SAT)
                )
            await buyer.provider.done(node.name, key=key)
            assert node.held == await buyer.settled(node) == 50 * SAT * (number + 1)
        assert len(node.accounts) == 1

    told(story, node)


def test_one_at_a_time() -> None:
    """While one is under way no other is asked for, so that none opens a second balance."""
    node = Node()

    async def story(buyer: Buyer, paid: set[str]) -> None:
        await asked(buyer, node, "a")
        with pytest.raises(RailUnavailable, match="a is under way"):
            await asked(buyer, node, "b")
        await buyer.provider.done(node.name, key="a")
        await asked(buyer, node, "b")

    told(story, node)


def test_a_lost_id_is_found_by_the_invoice() -> None:
    node = Node()

    async def story(buyer: Buyer, paid: set[str]) -> None:
        made = await asked(buyer, node, "a")
        assert isinstance(made, Bolt11Request)
        paid.add(made.text)
        row = node.invoices.pop(next(iter(node.invoices)))
        node.invoices["other"] = {**row, "id": "other"}
        assert await buyer.provider.funded(node.name, "", key="a") == Credited(amount_msat=Msat(50 * SAT))

    told(story, node)


def test_what_is_not_credited_in_a_day_is_denied() -> None:
    node = Node()

    async def story(buyer: Buyer, paid: set[str]) -> None:
        await asked(buyer, node, "a")
        buyer.tools.clock.advance(25 * 3600)  # until it was paid
        with pytest.raises(RailUnavailable):
            await buyer.provider.funded(node.name, "00" * 32, key="a")
        buyer.tools.clock.advance(25 * 3600)
        denied = await buyer.provider.funded(node.name, "00" * 32, key="a")
        assert isinstance(denied, FundingDenied)
        assert "'pending'" in denied.evidence

    told(story, node)


@pytest.mark.parametrize(
    ("ways", "pay", "is_invoice"),
    [
        ({}, ["lightning", "ecash"], True),
        ({}, ["ecash", "lightning"], False),
        ({"bolt11": False}, ["lightning", "ecash"], False),
        ({"mints": ("https://other.example",)}, ["ecash", "lightning"], True),
        ({"bolt11": False, "mints": ()}, ["lightning", "ecash"], None),
    ],
)
def test_the_first_way_that_both_have(ways: dict[str, Any], pay: list[str], is_invoice: bool | None) -> None:
    node = Node()

    async def story(buyer: Buyer, paid: set[str]) -> None:
        if is_invoice is None:
            with pytest.raises(RailUnavailable, match="cannot be paid"):
                await asked(buyer, node, "a", **ways)
            return
        assert isinstance(await asked(buyer, node, "a", **ways), Bolt11Request) is is_invoice

    told(story, node, pay=pay)


def test_a_node_without_lightning_is_paid_in_ecash() -> None:
    node = Node()

    async def story(buyer: Buyer, paid: set[str]) -> None:
        node.makes_invoice = None
        assert isinstance(await asked(buyer, node, "a"), EcashRequest)

    told(story, node)
