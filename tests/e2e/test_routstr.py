"""arbstr buys at Routstr nodes, over sockets, with ecash of a real mint: no sat is lost, whatever nodes do."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from house import run, until, until_true
from mints import Mints, outstanding
from routstr.http import Request
from routstr.market import trading
from routstr.node import SAT, Model, Node
from routstr.relay import Announcer, Relay, serving_relays


@pytest.fixture(scope="module")
def mint(mints: Mints) -> Nutshell:
    """A mint that takes 100 ppk for each coin spent."""
    return mints.start(dear=Options(fee_ppk=100))[0]


def test_a_call_brings_its_money_and_idleness_takes_it_back(tmp_path: Path, mint: Nutshell) -> None:
    """The first call waits until its money is there; the operator wants it back, and it comes."""

    async def story() -> None:
        node = Node()
        async with trading(tmp_path, mint, node) as market:
            agent = await market.agent()
            answer = await market.served.call(agent, max_tokens=50)
            assert answer.status_code == 200, answer.text
            assert "cost" not in answer.json()["usage"]
            receipt = await market.served.ended(answer.headers["x-request-id"])
            assert receipt["told"]["cost"]["total_msats"] == receipt["cost_msat"] == node.spent
            ledger = await market.settled()
            assert ledger[market.prepaid(node)] == node.held > 0
            assert ledger["cost:provider"] == node.spent

            await market.command("sweep")
            await until_true(lambda: node.held < SAT)
            ledger = await market.settled()
            assert ledger["cost:dust"] + ledger.get(market.prepaid(node), 0) < SAT
            assert (await market.command("nodes"))[0]["balance_msat"] == node.held

    run(story())


def test_a_node_that_is_gone_for_good_is_given_up(tmp_path: Path, mint: Nutshell) -> None:
    """What lay there is a claim, is written off, and is told of no more; and nobody else's money is touched."""

    async def story() -> None:
        node = Node()
        async with trading(tmp_path, mint, node) as market:
            agent = await market.agent()
            answer = await market.served.call(agent, max_tokens=50)
            assert answer.status_code == 200, answer.text
            await market.served.ended(answer.headers["x-request-id"])
            before = await market.settled()
            lay, claim = before[market.prepaid(node)], market.prepaid(node).replace("prepaid", "claim")
            await node.server.stop()
            assert (await market.command("give-up", node=node.name))["node"] == node.name
            await until_true(lambda: market.ledger().get(claim) == lay)
            asked = {"realm": "regtest", "asset": claim, "amount_msat": lay, "reason": "its host says so"}
            answer = await market.served.admin.post("/admin/money/loss", json=asked)
            assert answer.status_code == 200, answer.text

            async def claimed() -> list[int]:
                return [each["amount_msat"] for each in (await market.command("nodes"))[0]["claims"]]

            async def forgotten() -> bool:
                return await claimed() == []

            assert await until(claimed) == [lay]
            await market.command("forget", node=node.name)
            await until(forgotten)
            after = {**before, "cost:loss": lay}
            del after[market.prepaid(node)]
            assert market.ledger() == after
            assert (await market.served.admin.get("/admin/solvency", params={"now": "true"})).json()["frozen"] == []
            await market.served.verified()
            await node.server.start()

    run(story())


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
CALLS_GO_WRONG = ("", "", "", "lost", "cut", "500", "429", "nousage")
MONEY_GOES_WRONG = ("", "", "lost", "503")


class Troubles:
    """What goes wrong with each request to a node, by dice."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.on = True
        self.count = 0

    def __call__(self, request: Request) -> str:
        if not self.on or request.method == "GET":
            return ""
        found = self._dice.choice(CALLS_GO_WRONG if "chat" in request.path else MONEY_GOES_WRONG)
        self.count += bool(found)
        return found


async def with_faults(folder: Path, mint: Nutshell, calls: int, seed: int) -> None:
    """So many calls at a node where things go wrong all the time; at rest everything is accounted for."""
    node, troubles, dice = Node(), Troubles(seed), random.Random(seed)
    node.fault = troubles
    async with trading(folder, mint, node, more='topup = "20 sat"\ncap = "60 sat"') as market:
        agent = await market.agent()

        async def one(number: int) -> None:
            more = STREAMED if dice.random() < 0.5 else {}
            limit, answer = dice.randint(1, 200), None
            # What a circuit keeps from the node is no call there.
            while answer is None or (answer.status_code == 503 and "circuit is open" in answer.text):
                await asyncio.sleep(0 if answer is None else 0.02)
                answer = await market.served.call(agent, max_tokens=limit, **more)
            assert answer.status_code in (200, 429, 502, 503, 504), answer.text
            if number % 25 == 24:
                await market.command("sweep")

        for at in range(0, calls, 5):
            await asyncio.gather(*(one(number) for number in range(at, min(calls, at + 5))))
        troubles.on = False
        ledger = await market.settled()
        assert len(node.calls()) >= calls * 9 // 10
        assert troubles.count > calls // 3
        assert ledger["cost:provider"] > 0
        await market.command("sweep")
        await until_true(lambda: node.held < 3 * SAT, 60)
        await market.settled()


def test_calls_with_faults(tmp_path: Path, mint: Nutshell) -> None:
    """Some tens; a campaign makes a thousand."""
    run(with_faults(tmp_path, mint, 60, seed=1))


@pytest.mark.campaign
def test_a_thousand_calls_with_faults(tmp_path: Path, mint: Nutshell) -> None:
    run(with_faults(tmp_path, mint, 1_000, seed=2))


def test_what_is_wrong_is_explained(tmp_path: Path, mint: Nutshell) -> None:
    """By `arbstr offers`: a relay that is down, an address in the private network, a model without a price, a node that
    cannot be paid."""

    async def story() -> None:
        priced, bare = Node(Model("m"), Model("bare", more={"sats_pricing": None})), Node(Model("other"))
        relay = Relay(Announcer().event("https://127.0.0.1", at=int(time.time())))
        async with serving_relays(relay):
            more = f'relays = ["{relay.url}", "ws://127.0.0.1:1"]\nwait_seconds = 0.5'
            async with trading(tmp_path, mint, priced, bare, more=more, capital=0) as market:
                await market.command("fund", node=priced.name, amount="100sat")

                async def said() -> dict[str, str] | None:
                    offers = (await market.served.admin.get("/admin/offers")).json()
                    found = {row["provider"]: row["reason"] for row in offers["failing"]}
                    found |= {row["model"]: row["reason"] for row in offers["out"]}
                    wanted = (f"providers_routstr/{priced.name}", "providers_routstr 127.0.0.1", "bare")
                    return found if found.keys() >= {*wanted, "providers_routstr relay ws://127.0.0.1:1"} else None

                found = await until(said, 60)
                assert "cannot be paid" in found[f"providers_routstr/{priced.name}"]
                assert found["providers_routstr relay ws://127.0.0.1:1"]
                assert "not a public address" in found["providers_routstr 127.0.0.1"]
                assert "names no price" in found["bare"]

    run(story())


def test_the_cheapest_honest_one_wins(tmp_path: Path, mint: Nutshell) -> None:
    """Of five: the cheapest counts twice, the next one fails half of the time, the third one is bought from."""

    async def story() -> None:
        nodes = [Node(Model(completion=0.00042 * times)) for times in (1.0, 1.05, 1.1, 1.4, 2.0)]
        liar, shaky = nodes[:2]
        liar.lies = 2.0
        shaky.fault = lambda request: "500" if "chat" in request.path and len(shaky.requests) % 2 else ""
        async with trading(tmp_path, mint, *nodes, more='topup = "20 sat"\noverpriced = 10.0') as market:
            agent = await market.agent()

            async def served(calls: int) -> dict[str, int]:
                before = [len(node.calls()) for node in nodes]
                for _ in range(calls):
                    answer = await market.served.call(agent, max_tokens=60, text="Say " + "hello and again " * 20)
                    assert answer.status_code in (200, 502, 503), answer.text
                names = ("liar", "shaky", "honest", "dear", "dearest")
                return {name: len(node.calls()) - was for name, node, was in zip(names, nodes, before, strict=True)}

            # What is learned of nodes is in the offers a second later.
            await served(20)

            async def drained() -> bool:
                await served(5)
                return bool(liar.calls()) and liar.held < SAT

            await until(drained, 90)
            # The next dearer one is asked now and then, until it has confirmed what the cheaper ones say.
            for _ in range(20):
                late = await served(20)
                assert late["liar"] == late["dearest"] == 0
                if late["honest"] + late["shaky"] >= 19:
                    break
            assert late["honest"] + late["shaky"] >= 19, late

            async def explained() -> bool:
                out = (await market.served.admin.get("/admin/offers")).json()["out"]
                return any("times the" in row["reason"] and row["node"] == liar.name for row in out)

            await until(explained, 60)
            route = (await market.served.admin.post("/admin/route", json={"model": "m"})).json()
            told = {row["node"] for part in ("candidates", "beaten", "out") for row in route[part]}
            assert told == {node.name for node in nodes}
            await market.settled()

    run(story())


def test_a_token_for_each_call(tmp_path: Path, mint: Nutshell) -> None:
    """What is kept for a node lies here; the change is redeemed; what a call took beyond its cost is fees and dust."""

    async def story() -> None:
        node = Node()
        async with trading(tmp_path, mint, node, more='privacy = true\ntopup = "20 sat"') as market:
            agent = await market.agent()
            answer = await market.served.call(agent, max_tokens=50)
            assert answer.status_code == 200, answer.text
            assert node.accounts == {}

            async def back() -> dict[str, int] | None:
                await market.command("sweep")
                ledger = market.ledger()
                moving = [name for name in ledger if name.startswith(("asset:prepaid:", "asset:transit:"))]
                return None if moving or ledger["asset:wallet_cashu"] != await market.purse() else ledger

            ledger = await until(back, 60)
            assert ledger["cost:provider"] == node.single > 0
            costs = sum(msat for name, msat in ledger.items() if name.startswith("cost:"))
            assert await market.purse() + costs == market.capital
            [purse] = market.purses
            assert outstanding(mint) - market.before == await purse.held() + await market.purse() // SAT
            await market.served.verified()

    run(story())
