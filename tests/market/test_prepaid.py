"""What is prepaid at nodes: sold to agents of its realm alone, or withheld for a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from selling import Sells, market

from arbstr_core.api import (
    Credited,
    Msat,
    Network,
    NodeFunds,
    NotSupported,
    Offer,
    Outbound,
    Prepaid,
    Reply,
)
from arbstr_core.routing import Router
from arbstr_core.testing import FakeClock, a_call, a_caller, an_offer
from arbstr_core.types import NothingQualifies, Plan, Standing


class Nodes(Prepaid):
    """A prepaid provider of these offers."""

    network = Network.REGTEST

    def __init__(self, name: str, *offers: Offer, remarks: Mapping[str, str] | Exception | None = None) -> None:
        self.name = name
        self._offers = offers
        self._remarks = remarks or {}

    async def offers(self) -> Sequence[Offer]:
        return self._offers

    def remarks(self) -> Mapping[str, str]:
        if isinstance(self._remarks, Exception):
            raise self._remarks
        return self._remarks

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        raise NotSupported("nobody asks")

    async def funds(self) -> Sequence[NodeFunds]:
        return ()

    async def funding(self, node: str, amount: Msat, *, key: str, bolt11: bool, mints: Sequence[str]):  # type: ignore[no-untyped-def]
        raise NotSupported("nobody asks")

    async def funded(self, node: str, proof: str, *, key: str) -> Credited:
        raise NotSupported("nobody asks")

    async def sweep(self, node: str, *, key: str) -> None:
        return None

    async def done(self, node: str, *, key: str) -> None:
        return None


def of_node(node: str = "n", **more: object) -> Offer:
    return an_offer(provider="nodes", node=node, **{"prepaid": Network.REGTEST, **more})  # type: ignore[arg-type]


def planned(*offers: Offer, realm: str = "regtest") -> Plan:
    """A plan for an agent of `realm` past a prepaid provider."""

    async def story() -> Plan:
        found = market(Nodes("nodes", *offers), clock=FakeClock())
        await found.refresh()
        rows = found.snapshot.models.values()
        listings, out = ([each for row in rows for each in getattr(row, name)] for name in ("listings", "out"))
        router = Router([], {}, strategy="cheapest", output_tokens=100, keep=3)
        return router.plan(a_call(), a_caller(realm=realm), listings, out, Standing())

    return asyncio.run(story())


@pytest.mark.parametrize("realm", ["regtest", ""])
def test_it_is_sold_to_its_realm(realm: str) -> None:
    """And shown to an operator who asks for nobody's account."""
    assert [quote.offer.node for quote in planned(of_node(), realm=realm).candidates] == ["n"]


@pytest.mark.parametrize("realm", ["sim", "mainnet"])
def test_it_is_not_sold_for_other_money(realm: str) -> None:
    with pytest.raises(NothingQualifies, match=f"is paid with money of regtest, and the agent's is of {realm}"):
        planned(of_node(), realm=realm)


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        (of_node(withheld="it has lied of what it used"), "it has lied of what it used"),
        (of_node(prepaid=Network.MAINNET), "money of mainnet pays it, and its provider's is of regtest"),
        (of_node(prepaid=None), "money of None pays it"),
        (of_node(reputation=0.0), "its reputation is 0.0"),
        (of_node(reputation=1.5), "its reputation is 1.5"),
        (of_node(withheld=None), "does not say why"),
    ],
)
def test_what_is_not_for_sale_says_why(offer: Offer, said: str) -> None:
    with pytest.raises(NothingQualifies) as refused:
        planned(offer)
    assert [said in out.reason for out in refused.value.out] == [True], refused.value.out


def test_nobody_else_says_that_it_is_prepaid() -> None:
    async def story() -> None:
        found = market(Sells("nodes", [of_node()]), clock=FakeClock())
        await found.refresh()
        [row] = found.snapshot.models.values()
        assert "its provider's is of None" in row.out[0].reason

    asyncio.run(story())


def test_parts_of_a_provider_say_what_is_wrong_with_them() -> None:
    fine = Nodes("nodes", of_node(), remarks={"relay a": "it does not answer"})
    broken = Nodes("broken", remarks=LookupError("no memory"))
    assert market(fine, broken, clock=FakeClock()).remarks() == {
        "nodes relay a": "it does not answer",
        "broken": "LookupError: no memory",
    }
