"""How far the word of nodes holds: who counts more than there was is found out, and within how many calls."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence

import msgspec
import pytest
from arbstr_providers_routstr._records import NodeRecord
from arbstr_providers_routstr._word import LEAST_REPUTATION, OfModel, Tally, Word, judge, reputation
from routstr.node import SAT, Account, Model, Node
from routstr.stage import Buyer, buying, serving_nodes

from arbstr_core.api import MsatPrice, Offer
from arbstr_core.testing import MemoryStore

WORDS = ("a", "the", "model", "language", "whereupon", "token", "of", "is", "unbelievable", "count")


def dear(offer: Offer) -> float:
    """What the strategies go by."""
    assert isinstance(offer.price, MsatPrice)
    return offer.price.output / offer.reputation


async def honest_trade(buyer: Buyer, nodes: Sequence[Node], seed: int) -> None:
    """Go on buying without the liar."""
    dice = random.Random(seed)
    for _ in range(60):
        for node in nodes:
            node.answer = " ".join(dice.choices(WORDS, k=dice.randint(20, 60)))
        offers = [each for each in await buyer.provider.offers() if not each.withheld]
        await buyer.call(min(offers, key=dear), " ".join(dice.choices(WORDS, k=dice.randint(20, 200))))


async def buys(buyer: Buyer, calls: int, liar: Node, others: Sequence[Node], seed: int) -> int | None:
    """Buy where it is cheapest, so many times; after how many calls the liar was given up."""
    dice = random.Random(seed)
    for call in range(calls):
        offers = [each for each in await buyer.provider.offers() if not each.withheld]
        if liar.name not in {each.node for each in offers}:
            return call
        text = " ".join(dice.choices(WORDS, k=dice.randint(20, 200)))
        for node in (liar, *others):
            node.answer = " ".join(dice.choices(WORDS, k=dice.randint(20, 60)))
        await buyer.call(min(offers, key=dear), text)
    return None


@pytest.mark.parametrize(("lies", "within"), [(1.2, 45), (2.0, 12), (10.0, 3)])
@pytest.mark.parametrize("seed", [1, 2])
def test_who_counts_more_is_drained(lies: float, within: int, seed: int) -> None:
    """By 1.2 within 45 calls, by 2 within 12, by 10 within 3; and who does not lie is not."""
    liar, honest, third = Node(Model()), Node(Model(completion=0.00046)), Node(Model(completion=0.0006))
    liar.lies = lies

    async def story() -> None:
        nodes = (liar, honest, third)
        async with serving_nodes(*nodes):
            store = MemoryStore()
            for node in nodes:
                node.accounts["sk-ours"] = Account(balance=10_000 * SAT)
                record = NodeRecord(url=node.url, key="sk-ours", balance_msat=10_000 * SAT, used_ms=2**50)
                store._values[f"node:{node.name}"] = msgspec.json.encode(record)
            async with buying(*nodes, store=store, cap="20000 sat", cap_all="60000 sat") as buyer:
                given_up = await buys(buyer, within + 1, liar, nodes[1:], seed)
                assert given_up is not None
                assert given_up <= within
                assert "times the" in buyer.provider.remarks()[liar.name]
                [drained] = [funds for funds in await buyer.provider.funds() if funds.drain or funds.node == liar.name]
                assert drained.node == liar.name
                asked = len(liar.calls())
                await honest_trade(buyer, nodes[1:], seed + 10)
                assert len(liar.calls()) == asked
                assert set(buyer.provider.remarks()) == {liar.name}

    asyncio.run(story())


def of(mean: float, calls: int) -> Word:
    tally = Tally()
    for _ in range(calls):
        tally.add(mean)
    return Word(models={"m": OfModel(input=tally, output=Tally(), calls=calls)})


def test_a_word_is_worth_what_it_costs() -> None:
    """Who counts twice as much is taken for twice as dear."""
    honest, liar = of(0.0, 50), of(math.log(2), 50)
    assert reputation(liar, "m", [honest], sold_elsewhere=True) == pytest.approx(0.5)
    assert reputation(honest, "m", [liar, of(0.0, 50)], sold_elsewhere=True) == 1.0
    assert reputation(Word(), "m", [honest], sold_elsewhere=True) == 1.0
    assert reputation(Word(broken="it lied"), "m", [], sold_elsewhere=False) == LEAST_REPUTATION


def test_whom_nobody_confirms_is_taken_for_a_little_dearer() -> None:
    """Until the next cheapest has served as many calls; where nobody else sells it, that says nothing."""
    alone = of(0.0, 20)
    assert reputation(alone, "m", [], sold_elsewhere=True) == 0.75
    assert reputation(alone, "m", [], sold_elsewhere=False) == 1.0
    assert reputation(alone, "m", [of(0.0, 8)], sold_elsewhere=True) == 1.0


def test_chance_is_no_lie() -> None:
    """A few calls that differ by chance break no word; and one that differs a little, for ever, does."""
    dice = random.Random(7)
    for _ in range(200):
        noisy, other = Word(), Word()
        for word in (noisy, other):
            for _ in range(10):
                word.used("m", asked=100 * math.exp(dice.gauss(0, 0.1)), reported_in=100, shown=None, reported_out=0)
        assert judge(noisy, [other]) == ""
    assert "1.10 times" in judge(of(math.log(1.1), 200), [of(0.0, 200)])
