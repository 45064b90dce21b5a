"""arbstr buys at Routstr nodes, over sockets, with ecash of a real mint: no sat is lost, whatever nodes do."""

from __future__ import annotations

from pathlib import Path

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from house import run, until_true
from mints import Mints
from routstr.market import trading
from routstr.node import SAT, Node


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
