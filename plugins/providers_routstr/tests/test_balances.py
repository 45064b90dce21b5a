"""What nodes say of our money there: asked for where it is not certain, and believed as far as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from arbstr_providers_routstr._records import NodeRecord
from arbstr_wallet_cashu._nutshell import Nutshell
from purses import wallet
from routstr.http import Answer, Request, said
from routstr.node import SAT, Account, Model, Node
from routstr.stage import Buyer, buying, serving_nodes

from arbstr_core.api import ArbstrError, Credited, FundingDenied, Msat, RailUnavailable
from arbstr_core.testing import MemoryStore

KEY = "sk-ours"
DAY = 24 * 3600


def told(story: Callable[[Buyer], Any], *nodes: Node, **table: Any) -> None:
    """With 1000 sat of ours at each node."""

    async def whole() -> None:
        store = MemoryStore()
        async with serving_nodes(*nodes):
            for node in nodes:
                node.accounts[KEY] = Account(balance=1000 * SAT)
                record = NodeRecord(url=node.url, key=KEY, balance_msat=1000 * SAT)
                store._values[f"node:{node.name}"] = msgspec.json.encode(record)
            async with buying(*nodes, store=store, **table) as buyer:
                await buyer.provider.tend()
                await story(buyer)

    asyncio.run(whole())


def in_front(node: Node, answer: Answer) -> Callable[[], None]:
    """Something else answers in its place, until what comes back is called."""
    own = node.server._handler

    async def other(request: Request) -> Answer:
        return answer

    node.server._handler = other

    def gone() -> None:
        node.server._handler = own

    return gone


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("silent", ["usage", "left"])
def test_who_does_not_say_what_is_left_is_asked(silent: str, stream: bool) -> None:
    """A node that takes money and says nothing of it is found out, too."""
    node = Node()
    node.takes, node.old_costs = 20 * SAT, silent == "left"
    node.fault = lambda request: "nousage" if silent == "usage" and "chat" in request.path else ""

    async def story(buyer: Buyer) -> None:
        await buyer.call(await buyer.offer(), stream=stream)
        await buyer.provider.tend()
        assert buyer.provider.nodes[node.name].record.balance_msat == node.held
        assert "msat are gone" in (await buyer.offer()).withheld

    told(story, node)


def test_what_calls_before_a_crash_took_breaks_no_word() -> None:
    """They were billed, and we died before we could write that down."""
    node = Node()

    async def story(buyer: Buyer) -> None:
        node.accounts[KEY].balance -= 300 * SAT
        async with buying(node, store=buyer.tools.store) as again:
            await again.provider.tend()
            assert again.provider.nodes[node.name].record.balance_msat == node.held
            assert not (await again.offer()).withheld
            node.accounts[KEY].balance -= 300 * SAT
            await again.settled(node)
            assert "300000 msat are gone" in (await again.offer()).withheld

    told(story, node)


def test_what_calls_took_while_a_node_was_asked_breaks_no_word() -> None:
    """Its answer is of a moment that nobody knows: it is asked again."""
    node = Node(Model("m", prompt=0.1, completion=0.4))

    async def story(buyer: Buyer) -> None:
        offer, ours, own = await buyer.offer(), buyer.provider.nodes[node.name], node.server._handler
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(request: Request) -> Answer:
            if request.path == "/v1/balance/info":
                asked.set()
                await go_on.wait()
            return await own(request)

        node.server._handler = slowly
        ours.stale = True
        asking = asyncio.ensure_future(buyer.provider.balances.ask(ours))
        await asked.wait()
        for _ in range(2):
            await buyer.call(offer, limit=200)
        assert node.spent > 10 * SAT
        go_on.set()
        await asking
        assert not (await buyer.offer()).withheld
        assert ours.stale
        assert await buyer.settled(node) == node.held
        assert not (await buyer.offer()).withheld

    told(story, node)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tokens", [None, 1.5, "7", -5, 10**30, 10**400])
def test_tokens_that_are_none_hide_no_cost(tokens: Any, stream: bool) -> None:
    node = Node()
    usage = node._usage
    node._usage = lambda *said: usage(*said) | {"prompt_tokens": tokens}  # type: ignore[method-assign]

    async def story(buyer: Buyer) -> None:
        _, _, facts = await buyer.call(await buyer.offer(), stream=stream)
        assert facts.cost_msat == node.spent > 0
        assert buyer.provider.nodes[node.name].record.balance_msat == node.held

    told(story, node)


def test_a_cost_without_usage_is_held_against_the_text() -> None:
    """Who names a price for tokens that it does not count takes more than it quotes, beyond a token for each byte."""
    node = Node()
    node.overcharges = 100.0
    usage = node._usage
    node._usage = lambda *said: usage(*said) | {"completion_tokens": None}  # type: ignore[method-assign]

    async def story(buyer: Buyer) -> None:
        for _ in range(3):
            await buyer.call(await buyer.offer())
        assert "takes more than it quotes" in (await buyer.offer()).withheld

    told(story, node)


def test_a_key_that_is_not_known_for_a_while_is_kept() -> None:
    """Nothing is bought there meanwhile; once it knows the key again nothing has happened."""
    node = Node()

    async def story(buyer: Buyer) -> None:
        ours = buyer.provider.nodes[node.name]
        await buyer.offer()
        ours.stale = True
        well = in_front(node, said({"detail": {"error": {"code": "invalid_api_key"}}}, 401))
        for _ in range(20):
            buyer.tools.clock.advance(600)
            await buyer.provider.tend()
        assert (ours.record.key, ours.record.claims) == (KEY, [])
        assert "does not know the key" in (await buyer.offer()).withheld
        well()
        buyer.tools.clock.advance(600)
        await buyer.provider.tend()
        assert (ours.record.balance_msat, ours.record.unknown_ms) == (1000 * SAT, 0)
        assert not (await buyer.offer()).withheld

    told(story, node)


def test_who_does_not_answer_is_asked_less_and_less_often() -> None:
    node = Node()

    async def story(buyer: Buyer) -> None:
        ours = buyer.provider.nodes[node.name]
        ours.stale = True
        node.fault = lambda request: "503"
        for _ in range(100):
            buyer.tools.clock.advance(1)
            await buyer.provider.tend()
        assert 5 < len(node.calls("/v1/balance/info")) < 12
        node.fault = lambda request: ""
        buyer.tools.clock.advance(60)
        await buyer.provider.tend()
        assert not ours.stale

    told(story, node)


@pytest.mark.parametrize("answer", [Answer(404, b"<h1>404</h1>"), Answer(401, b'{"message":"no route"}')])
def test_what_stands_before_a_node_is_not_the_node(answer: Answer, mint: Nutshell) -> None:
    """A proxy whose node is down knows nothing of money: what it says denies nothing, and loses no key."""
    node = Node()

    async def whole() -> None:
        async with wallet(mint) as ours, wallet(mint) as theirs, serving_nodes(node):
            await ours.fund(200)
            node.rail, node.mint = theirs.rail, mint.url
            async with buying(node, wallet=ours) as buyer:
                provider, mints = buyer.provider, (await ours.rail.limits()).mints
                await provider.offers()
                await provider.funding(node.name, Msat(50 * SAT), key="k", bolt11=False, mints=mints)
                token = await ours.token(50, "k", mint=mints[0])
                well = in_front(node, answer)
                for _ in range(5):
                    with pytest.raises(RailUnavailable, match="something that is no node answered"):
                        await provider.funded(node.name, token, key="k")
                well()
                credited = await provider.funded(node.name, token, key="k")
                assert credited == Credited(amount_msat=node.held)
                in_front(node, answer)
                known = provider.nodes[node.name]
                for _ in range(5):
                    await provider.balances.ask(known)
                assert known.record.key
                assert not known.record.word.broken

    asyncio.run(whole())


@pytest.mark.parametrize(("given_up", "why"), [(False, "for a day it did not say"), (True, "it was given up")])
def test_a_node_that_says_nothing_for_a_day_denies(given_up: bool, why: str, mint: Nutshell) -> None:
    """It is gone, with a token or without: the kernel tries the token itself then. So it does once it is given up."""
    node = Node()

    async def whole() -> None:
        async with wallet(mint) as ours, serving_nodes(node):
            await ours.fund(200)
            node.mint = mint.url
            async with buying(node, wallet=ours) as buyer:
                provider, mints = buyer.provider, (await ours.rail.limits()).mints
                await provider.offers()
                await provider.funding(node.name, Msat(50 * SAT), key="k", bolt11=False, mints=mints)
                token = await ours.token(50, "k", mint=mints[0])
                await node.server.stop()
                with pytest.raises(RailUnavailable):
                    await provider.funded(node.name, token, key="k")
                if given_up:
                    provider.nodes[node.name].record.giving_up = True
                else:
                    buyer.tools.clock.advance(DAY)
                denied = await provider.funded(node.name, token, key="k")
                assert isinstance(denied, FundingDenied)
                assert why in denied.evidence
                await node.server.start()

    asyncio.run(whole())


def test_what_is_on_its_way_to_a_node_that_is_listed_no_more_comes_back(mint: Nutshell) -> None:
    """Nothing lay there before, and nobody buys there now: of its first money the kernel is told all the same."""
    node = Node()

    async def whole() -> None:
        async with wallet(mint) as ours, serving_nodes(node):
            await ours.fund(200)
            node.mint = mint.url
            async with buying(node, wallet=ours) as buyer:
                mints = (await ours.rail.limits()).mints
                await buyer.provider.offers()
                await buyer.provider.funding(node.name, Msat(50 * SAT), key="k", bolt11=False, mints=mints)
                buyer.provider.nodes[node.name].listed = False
                assert [funds.funding for funds in await buyer.provider.funds()] == ["k"]
            async with buying(wallet=ours, store=buyer.tools.store) as again:
                [funds] = await again.provider.funds()
                assert (funds.node, funds.funding, funds.wanted_msat) == (node.name, "k", 0)
                await again.provider.done(node.name, key="k")
                assert await again.provider.funds() == []

    asyncio.run(whole())


@pytest.mark.parametrize(("msat", "noted"), [(10**30, 1000 * SAT), (10**17, 2000 * SAT), (1500 * SAT, 1500 * SAT)])
def test_more_than_can_have_been_brought_is_a_tale(msat: int, noted: int) -> None:
    node = Node()

    async def story(buyer: Buyer) -> None:
        node.accounts[KEY].balance = msat
        assert await buyer.settled(node) == noted

    told(story, node)


def test_a_token_is_credited_with_no_more_than_it_is_worth() -> None:
    node = Node()

    async def credits(token: str, fault: str) -> Answer:
        return said({"api_key": "sk-new", "balance": 10**15})

    node._create = credits  # type: ignore[method-assign]
    node.accounts.clear()

    async def story(buyer: Buyer) -> None:
        ours = buyer.provider.nodes[node.name]
        ours.record.key, ours.record.balance_msat, node.mint = "", 0, "https://mint.example"
        buyer.tools.clock.advance(600)
        await buyer.provider.offers()
        mints = ("https://mint.example",)
        await buyer.provider.funding(node.name, Msat(50 * SAT), key="k", bolt11=False, mints=mints)
        credited = await buyer.provider.funded(node.name, "cashuA", key="k")
        assert credited == Credited(amount_msat=Msat(50 * SAT))
        assert ours.record.balance_msat == 50 * SAT

    told(story, node)


def test_a_node_that_hangs_holds_up_no_other() -> None:
    hangs, well = Node(), Node()

    async def story(buyer: Buyer) -> None:
        for node in (hangs, well):
            buyer.provider.nodes[node.name].stale = True
        well.accounts[KEY].balance -= 500
        hangs.fault = lambda request: "hang"
        tending = asyncio.ensure_future(buyer.provider.tend())
        while buyer.provider.nodes[well.name].record.balance_msat != 1000 * SAT - 500:
            await asyncio.sleep(0.01)
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)

    told(story, hangs, well)


def test_a_store_that_fails_ends_no_care(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next second is another one."""
    node = Node()

    async def story(buyer: Buyer) -> None:
        ours, store = buyer.provider.nodes[node.name], buyer.tools.store
        put, failed, slept = store.put, asyncio.Event(), asyncio.Event()

        async def broken(*said: Any, **more: Any) -> bool:
            failed.set()
            raise ArbstrError("the database is full")

        async def sleep(seconds: float) -> None:
            slept.set()
            await asyncio.sleep(0)

        monkeypatch.setattr(store, "put", broken)
        monkeypatch.setattr(buyer.tools.clock, "sleep", sleep)
        ours.unsaved = True
        keeping = asyncio.ensure_future(buyer.provider._keep())
        await failed.wait()
        await slept.wait()
        monkeypatch.setattr(store, "put", put)
        while ours.unsaved:
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    told(story, node)
