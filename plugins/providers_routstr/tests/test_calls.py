"""Calls at a node: what is sent, what is shown, what is believed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from arbstr_providers_routstr._records import NodeRecord
from routstr.node import SAT, Account, Model, Node
from routstr.stage import Buyer, buying, serving_nodes

from arbstr_core.api import ConnectFailed, MsatPrice, NotFunded, ProviderError, ReplyCut
from arbstr_core.testing import MemoryStore

KEY = "sk-ours"


def with_money(*nodes: Node, sat: int = 1000) -> MemoryStore:
    """A store in which there is money of ours at these nodes."""
    store = MemoryStore()
    for node in nodes:
        node.accounts[KEY] = Account(balance=sat * SAT)
        record = NodeRecord(url=node.url, key=KEY, balance_msat=sat * SAT)
        store._values[f"node:{node.name}"] = msgspec.json.encode(record)
    return store


def run(story: Any, *nodes: Node, **table: Any) -> None:
    async def whole() -> None:
        async with serving_nodes(*nodes), buying(*nodes, store=with_money(*nodes), **table) as buyer:
            await buyer.provider.tend()
            await story(buyer)

    asyncio.run(whole())


def test_prices_are_decimals_and_never_max_cost() -> None:
    node = Node(Model("m", prompt=0.000105, completion=0.00042), Model("tiny", prompt=1e-9, completion=2e-9))

    async def story(buyer: Buyer) -> None:
        offer = await buyer.offer(model="m")
        assert offer.price == MsatPrice(input=105_000, cached_input=105_000, output=420_000)
        assert (await buyer.offer(model="tiny")).price == MsatPrice(input=1, cached_input=1, output=2)
        assert (offer.context_window, offer.max_output_tokens) == (32_000, 16_000)
        assert offer.as_of_ms == buyer.tools.clock.now_ms()

    run(story, node)


@pytest.mark.parametrize(
    ("pricing", "why"),
    [
        (None, "names no price"),
        ({"prompt": None, "completion": 0.1}, "names no price"),
        ({"prompt": "0.1", "completion": 0.1}, "no number"),
        ({"prompt": -0.1, "completion": 0.1}, "no number"),
        ({"prompt": 1e300, "completion": 0.1}, "no number"),
        ({"prompt": True, "completion": 0.1}, "no number"),
        ({"max_cost": 8.4}, "names no price"),
    ],
)
def test_what_is_no_price_says_so(pricing: Any, why: str) -> None:
    async def story(buyer: Buyer) -> None:
        offer = await buyer.offer()
        assert offer.price is None
        assert why in offer.withheld

    run(story, Node(Model("m", more={"sats_pricing": pricing})))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_cost_fields_are_taken_out_and_kept(stream: bool, old: bool) -> None:
    node = Node()
    node.old_costs = old

    async def story(buyer: Buyer) -> None:
        status, body, facts = await buyer.call(await buyer.offer(), stream=stream)
        assert status == 200
        for word in (b"cost", b"remaining", b"metadata", b'"provider"', b"routstr"):
            assert word not in body, body
        assert b'"completion_tokens":20' in body.replace(b" ", b"")
        assert facts.cost_msat == (None if old and stream else node.spent)
        assert set(facts.told) == ({"cost"} if old else {"cost", "cost_sats", "remaining_balance_msats"})
        if stream:
            assert body.endswith(b"data: [DONE]\n\n")
        else:
            assert json.loads(body)["choices"][0]["message"]["content"] == node.answer

    run(story, node)


def test_a_limit_is_an_integer_and_the_key_goes_as_bearer() -> None:
    node = Node()

    async def story(buyer: Buyer) -> None:
        await buyer.call(await buyer.offer(), limit=77)
        [call] = node.calls()
        assert call.json["max_tokens"] == 77
        assert call.bearer == KEY
        assert "x-cashu" not in call.headers

    run(story, node)


def test_no_call_runs_into_402() -> None:
    """N12: more calls at once than there is money for: those that the node would refuse are not sent."""
    node = Node()
    node.open.clear()

    async def story(buyer: Buyer) -> None:
        offer = await buyer.offer()
        calls = [asyncio.ensure_future(buyer.call(offer, limit=16_000)) for _ in range(200)]
        await asyncio.sleep(0)
        while sum(call.done() for call in calls) + len(node.calls()) < 200:
            await asyncio.sleep(0.01)
        node.open.set()
        done = await asyncio.gather(*calls, return_exceptions=True)
        sent = [each for each in done if not isinstance(each, BaseException)]
        assert {status for status, _, _ in sent} == {200}
        assert len(sent) == len(node.calls()) == 148
        assert all(isinstance(each, NotFunded) for each in done if isinstance(each, BaseException))
        [funds] = await buyer.provider.funds()
        assert funds.wanted_msat > funds.balance_msat

    run(story, node)


def test_a_402_all_the_same_is_no_failure() -> None:
    """The node has less than we think: it is asked how much, and the call goes elsewhere."""
    node = Node()

    async def story(buyer: Buyer) -> None:
        offer = await buyer.offer()
        node.accounts[KEY].balance = 0
        with pytest.raises(NotFunded):
            await buyer.call(offer)
        assert await buyer.settled(node) == 0

    run(story, node)


def test_a_model_that_is_sold_no_more_is_no_mistake_of_the_agent() -> None:
    """The call goes elsewhere, and the node's list is read again; what is the agent's mistake stays that."""
    node = Node()
    sold = dict(node.models)

    async def story(buyer: Buyer) -> None:
        offer = await buyer.offer()
        node.models.clear()
        with pytest.raises(ProviderError, match="does not sell m now: it answered 400: Model 'm' not found"):
            await buyer.call(offer)
        assert buyer.provider.nodes[node.name].available == 1000 * SAT
        assert await buyer.provider.offers() == []
        node.models.update(sold)
        status, body, _ = await buyer.call(offer, limit="7")
        assert (status, json.loads(body)["error"]["message"]) == (400, "max_tokens must be an integer")

    run(story, node)


@pytest.mark.parametrize("fault", ["500", "429", "503"])
def test_what_an_upstream_refuses_costs_nothing(fault: str) -> None:
    node = Node()
    node.fault = lambda request: fault if "chat" in request.path else ""

    async def story(buyer: Buyer) -> None:
        assert (await buyer.call(await buyer.offer()))[0] == int(fault)
        assert buyer.provider.nodes[node.name].available == 1000 * SAT

    run(story, node)


@pytest.mark.parametrize("stream", [False, True])
def test_what_ends_without_a_word_is_asked_about(stream: bool) -> None:
    """A reply that breaks off may be billed in full: until the node says, so much counts as gone."""
    node = Node()
    node.fault = lambda request: "cut" if "chat" in request.path else ""

    async def story(buyer: Buyer) -> None:
        offer, ours = await buyer.offer(), buyer.provider.nodes[node.name]
        with pytest.raises((ConnectFailed, ReplyCut)):
            await buyer.call(offer, stream=stream)
        assert ours.stale
        assert await buyer.settled(node) == node.held == 1000 * SAT - node.spent
        assert node.spent
        assert ours.unsure == 0
        assert not ours.record.word.broken

    run(story, node)


def test_an_answer_that_is_lost_may_have_been_billed() -> None:
    """Even where that is much of what lies there: it breaks no word."""
    node = Node(Model("m", prompt=0.1, completion=0.4))
    node.fault = lambda request: "lost" if "chat" in request.path else ""

    async def story(buyer: Buyer) -> None:
        with pytest.raises(ConnectFailed):
            await buyer.call(await buyer.offer(), limit=200)
        assert node.spent > 5 * SAT
        assert await buyer.settled(node) == node.held
        assert not (await buyer.offer()).withheld

    run(story, node)


def test_no_usage_costs_nothing() -> None:
    node = Node()
    node.fault = lambda request: "nousage" if "chat" in request.path else ""

    async def story(buyer: Buyer) -> None:
        _, _, facts = await buyer.call(await buyer.offer(), stream=True)
        assert facts.cost_msat == 0 == node.spent

    run(story, node)


def test_money_that_no_call_used_breaks_the_word() -> None:
    """N14, and theft: what is left is less than calls took."""
    node = Node()
    node.takes = 20 * SAT

    async def story(buyer: Buyer) -> None:
        await buyer.call(await buyer.offer())
        await buyer.settled(node)
        assert "20000 msat are gone" in (await buyer.offer()).withheld
        [funds] = await buyer.provider.funds()
        assert funds.drain
        assert "are gone" in funds.reason
        assert funds.balance_msat == node.held

    run(story, node)


def test_a_price_raised_since_the_quote_is_not_paid() -> None:
    """The first call at the new price is caught, and no second one is sent at the old one."""
    node = Node()

    async def story(buyer: Buyer) -> None:
        offer = await buyer.offer()
        node.models["m"] = Model("m", prompt=0.0003, completion=0.0012)
        await buyer.call(offer)
        dearer = await buyer.offer()
        assert isinstance(dearer.price, MsatPrice)
        assert dearer.price.output == 1_200_000
        assert dearer.reputation < 0.5
        with pytest.raises(ProviderError, match="asks more for m now than was quoted"):
            await buyer.call(offer)
        assert len(node.calls()) == 1

    run(story, node)


def test_who_takes_more_than_quoted_is_drained_at_the_third_time() -> None:
    node = Node()
    node.overcharges = 1.5

    async def story(buyer: Buyer) -> None:
        for _ in range(3):
            assert not (await buyer.offer()).withheld
            await buyer.call(await buyer.offer())
        assert "takes more than it quotes" in (await buyer.offer()).withheld
        [funds] = await buyer.provider.funds()
        assert funds.drain

    run(story, node)


def test_the_last_good_list_stays_with_its_age() -> None:
    node = Node()

    async def story(buyer: Buyer) -> None:
        first = await buyer.offer()
        await node.server.stop()
        buyer.tools.clock.advance(300)
        again = await buyer.offer()
        assert (again.price, again.as_of_ms) == (first.price, first.as_of_ms)
        assert "failed" in buyer.provider.remarks()[node.name] or buyer.provider.remarks()[node.name]
        await node.server.start()
        buyer.tools.clock.advance(300)
        assert (await buyer.offer()).as_of_ms > first.as_of_ms
        assert buyer.provider.remarks() == {}

    run(story, node)
