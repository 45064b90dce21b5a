"""The operator's commands: what they wish for is done once, by the provider that serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from arbstr_providers_routstr._commands import commands
from arbstr_providers_routstr._records import Coin, NodeRecord
from arbstr_providers_routstr._word import Word
from routstr.node import SAT, Account, Node
from routstr.stage import Buyer, buying, serving_nodes

from arbstr_core.api import BadRequest, NotFunded, RailUnavailable
from arbstr_core.testing import MemoryStore

KEY = "sk-ours"
Asks = Callable[..., Any]


def told(story: Callable[[Buyer, Asks], Any], node: Node, *, broken: str = "", sat: int = 100, **table: Any) -> None:
    async def whole() -> None:
        store = MemoryStore()
        async with serving_nodes(node):
            node.accounts[KEY] = Account(balance=sat * SAT)
            key = KEY if sat else ""
            record = NodeRecord(url=node.url, key=key, balance_msat=sat * SAT, word=Word(broken=broken), used_ms=2**50)
            store._values[f"node:{node.name}"] = msgspec.json.encode(record)
            async with buying(node, store=store, **table) as buyer:
                await buyer.provider.tend()
                desk = {each.name: each for each in commands(buyer.provider.config, buyer.tools)}

                async def asks(name: str, **given: str) -> Any:
                    known: Mapping[str, str] = {param.name: "" for param in desk[name].params}
                    return await desk[name].run({**known, **given})

                await story(buyer, asks)

    asyncio.run(whole())


def test_money_is_wished_for_and_back() -> None:
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        assert await asks("fund", node=node.name, amount="300 sat") == {"node": node.name, "wanted_msat": 300 * SAT}
        [funds] = await buyer.provider.funds()
        assert (funds.wanted_msat, funds.drain) == (300 * SAT, False)
        await asks("sweep")
        [funds] = await buyer.provider.funds()
        assert (funds.wanted_msat, funds.drain) == (0, True)

    told(story, node)


def test_wishes_do_not_take_each_others_place() -> None:
    """To forgive a node calls nothing back that was wished for a moment before."""
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        await asks("sweep", node=node.name)
        await asks("verify", node=node.name, forgive="yes")
        [funds] = await buyer.provider.funds()
        assert funds.drain
        await asks("verify", node=node.name, forgive="yes")
        [funds] = await buyer.provider.funds()
        assert funds.drain

    told(story, node)


def test_a_wish_that_comes_while_others_are_read_is_not_lost() -> None:
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        scan = buyer.tools.store.scan

        async def slowly(prefix: str) -> dict[str, bytes]:
            found = await scan(prefix)
            buyer.tools.store.scan = scan  # type: ignore[method-assign]
            await asks("sweep", node=node.name)
            return found

        await asks("fund", node=node.name, amount="300 sat")
        buyer.tools.store.scan = slowly  # type: ignore[method-assign]
        await buyer.provider.funds()
        [funds] = await buyer.provider.funds()
        assert funds.drain

    told(story, node)


def test_no_money_is_promised_to_a_node_whose_word_is_broken() -> None:
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        with pytest.raises(BadRequest, match=r"it lied; `verify --node \S+ --forgive yes` buys there again"):
            await asks("fund", node=node.name, amount="300 sat")
        await asks("verify", node=node.name, forgive="yes")
        await buyer.provider.funds()
        await buyer.provider.tend()
        await asks("fund", node=node.name, amount="300 sat")

    told(story, node, broken="it lied")


@pytest.mark.parametrize("privacy", [False, True])
def test_where_nothing_lies_nothing_is_waited_for(privacy: bool) -> None:
    """What an operator wants back from all nodes keeps no money from those that had none."""
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        await asks("sweep")
        [funds] = await buyer.provider.funds()
        assert not funds.drain
        with pytest.raises(NotFunded):
            await buyer.call(await buyer.offer())
        [funds] = await buyer.provider.funds()
        assert funds.wanted_msat > 0

    told(story, node, sat=0, privacy=privacy)


def test_what_lies_at_a_node_that_is_gone_is_given_up_and_forgotten() -> None:
    """A claim first, which the ledger books and the operator writes off; then nobody is told of it any more."""
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        await node.server.stop()
        assert await asks("give-up", node=node.name) == {"node": node.name, "balance_msat": 100 * SAT}
        busy = buyer.provider.nodes[node.name]
        busy.open_calls = 1
        [funds] = await buyer.provider.funds()
        await buyer.provider.tend()
        assert funds.claims == ()
        busy.open_calls = 0
        await buyer.provider.tend()
        [funds] = await buyer.provider.funds()
        [claim] = funds.claims
        assert (claim.amount_msat, claim.reason) == (100 * SAT, "it was given up")
        assert (funds.balance_msat, funds.reserved_msat, funds.drain, funds.wanted_msat) == (0, 0, False, 0)
        [row] = await asks("nodes")
        assert (row["funded"], row["broken"], [each["id"] for each in row["claims"]]) == (
            *(False, "it was given up"),
            [claim.id],
        )
        kept = msgspec.json.decode(buyer.tools.store._values[f"node:{node.name}"], type=NodeRecord)
        assert kept.lost == [KEY]
        busy.claim("later", 7, "it was not there when the operator looked")
        said = await asks("forget", node=node.name)
        assert [each["id"] for each in said["forgotten"]] == [claim.id]
        [funds] = await buyer.provider.funds()
        assert [each.id for each in funds.claims] == ["later"]
        await node.server.start()

    told(story, node)


def test_a_node_that_died_while_it_was_emptied_is_given_up() -> None:
    """It never says what became of the balance that it was asked to give back; nobody waits for that any more."""
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        provider, name = buyer.provider, node.name
        node.fault = lambda request: "503" if request.path == "/v1/balance/refund" else ""
        with pytest.raises(RailUnavailable):
            await provider.sweep(name, key="s")
        await node.server.stop()
        buyer.tools.clock.advance(10 * 24 * 3600)
        with pytest.raises(RailUnavailable):
            await provider.sweep(name, key="s")
        await asks("give-up", node=name)
        [funds] = await provider.funds()
        assert funds.sweeping == "s"
        assert await provider.sweep(name, key="s") is None
        await provider.done(name, key="s")
        await provider.tend()
        [funds] = await provider.funds()
        assert [(claim.amount_msat, claim.reason) for claim in funds.claims] == [(100 * SAT, "it was given up")]
        assert (funds.balance_msat, funds.sweeping, funds.drain) == (0, "", False)
        assert provider.nodes[name].record.lost == [KEY]
        await node.server.start()

    told(story, node)


def test_a_node_is_given_up_after_a_restart_too() -> None:
    """What is under way there may take a day to end. Until then nothing more goes there, and no call."""
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        busy = buyer.provider.nodes[node.name]
        offer = await buyer.offer()
        busy.open_calls, busy.wish_msat = 1, 300 * SAT
        await asks("give-up", node=node.name)
        [funds] = await buyer.provider.funds()
        assert funds.wanted_msat == 0
        with pytest.raises(NotFunded):
            await buyer.call(offer)
        assert node.calls() == []
        async with buying(node, store=buyer.tools.store) as again:
            await again.provider.tend()
            [funds] = await again.provider.funds()
            assert [claim.amount_msat for claim in funds.claims] == [100 * SAT]

    told(story, node)


def test_tokens_that_lie_here_are_not_given_up() -> None:
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        record = NodeRecord(url=node.url, balance_msat=9 * SAT, pocket={"a": Coin(token="cashu", msat=9 * SAT)})
        buyer.tools.store._values[f"node:{node.name}"] = msgspec.json.encode(record)
        with pytest.raises(BadRequest, match=r"which lie here: `sweep --node \S+` takes them back"):
            await asks("give-up", node=node.name)

    told(story, node, privacy=True)


@pytest.mark.parametrize("name", ["give-up", "forget"])
def test_where_nothing_is_ours_nothing_is_given_up(name: str) -> None:
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        with pytest.raises(BadRequest, match=f"nothing .* {node.name}; `nodes` shows what"):
            await asks(name, node=node.name)

    told(story, node, sat=0)


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("fund", {"node": "nowhere", "amount": "1 sat"}, "there is no node 'nowhere'"),
        ("fund", {"amount": "0 sat"}, "from 1 sat to"),
        ("fund", {"amount": "3000 sat"}, "the cap"),
        ("fund", {"amount": "much"}, "much"),
        ("sweep", {"node": "x\u0000"}, "there is no node"),
        ("verify", {"forgive": "no"}, "leave it out, or say yes"),
    ],
)
def test_what_cannot_be_wished_for_is_refused(name: str, given: dict[str, str], why: str) -> None:
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        with pytest.raises(BadRequest, match=why):
            await asks(name, **{"node": node.name, **given})

    told(story, node)


def test_what_nodes_say_stands_beside_our_books() -> None:
    node = Node()

    async def story(buyer: Buyer, asks: Asks) -> None:
        node.accounts[KEY].balance -= 500
        [said] = await asks("verify")
        assert (said["balance_msat"], said["node_says_msat"], said["differs_msat"]) == (100_000, 99_500, -500)
        [row] = await asks("nodes")
        assert (row["node"], row["funded"], row["balance_msat"]) == (node.name, True, 100 * SAT)
        assert KEY not in str(row)
        await node.server.stop()
        [said] = await asks("verify")
        assert said["problem"]
        await node.server.start()

    told(story, node)
