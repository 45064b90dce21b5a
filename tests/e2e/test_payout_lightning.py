"""Payouts through a node that misbehaves: real gRPC, TLS and macaroons, from the agent's door to the ledger.

Whatever the node does, the agent's money stays held until it is known what became of the payment, and it costs what it
cost, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from arbstr_wallet_lnd import _lnd_pb2 as pb
from lightning import OTHER_PUBKEY
from lightning.node import FakeLnd, Fault, Way
from lightning.world import SEND, rail_at, secrets_for
from mortal import MovedClock
from payout_house import FUND, PayoutHouse, open_database

from arbstr_core.api import read_bolt11
from arbstr_core.flow import SenderRules
from arbstr_core.storage import Cipher, PluginStore
from arbstr_core.testing import kit_tools
from arbstr_core.vault import _events

SAT = 1_000
AMOUNT = 100 * SAT
HOUR = 3_600


class Scene:
    """An agent that pays 100 sat to somebody, through the node."""

    def __init__(self, node: FakeLnd, house: PayoutHouse, clock: MovedClock) -> None:
        self.node = node
        self.house = house
        self.clock = clock
        self.id = ""
        self.hash = ""

    async def begin(self) -> None:
        invoice = self.node.asks(AMOUNT, expiry=48 * HOUR)
        self.hash = read_bolt11(invoice).payment_hash
        self.id = (await self.house.pay(invoice))["id"]
        await self.house.round()

    async def later(self, seconds: float) -> None:
        self.clock.moved += seconds
        await self.house.round()

    async def state(self) -> str:
        return str((await self.house.show(self.id))["state"])

    async def known(self) -> str:
        """How it ends, once the node can be asked again."""
        for _ in range(200):
            await self.later(300)
            if (await self.house.show(self.id))["ended_ms"]:
                break
            await asyncio.sleep(0.01)
        return await self.state()

    async def frozen(self) -> list[str]:
        return [each.scope for each in await self.house.treasury.frozen()]

    def left(self) -> int:
        paid = [each for each in self.node.book.payments.values() if each.status == pb.Payment.SUCCEEDED]
        assert len(paid) <= 1, "paid twice"
        return sum(each.value_msat + each.fee_msat for each in paid)

    def sends(self) -> int:
        return len(self.node.sent(SEND))


def told(folder: Path, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        clock = MovedClock()
        node = FakeLnd(clock)
        await node.start()
        cipher = Cipher(bytes(32))
        async with open_database(folder, clock) as database:
            store = PluginStore(database, cipher, "wallet_lnd")
            tools = kit_tools(clock=clock, store=store, secrets=secrets_for(node))
            rail = rail_at(node, tools)
            await rail.start()
            rules = SenderRules(pay_seconds=10, look_seconds=10)
            house = PayoutHouse(database, clock, [rail], cipher, realm="regtest", rules=rules)
            await house.agent()
            try:
                await story(Scene(node, house, clock))
                assert (await house.vault.verify()).first_bad is None
            finally:
                await rail.aclose()
                await tools.aclose()
                await node.die()

    asyncio.run(whole())


def test_t2_one_that_settles_after_an_hour_is_held_for_an_hour(tmp_path: Path) -> None:
    async def story(it: Scene) -> None:
        it.node.default = Way(end="held")
        await it.begin()
        for _ in range(13):
            await it.later(300)
            assert await it.state() == "unknown"
            assert (await it.house.spent())[0] == 0
        await it.node.resolve(it.hash)
        assert await it.known() == "succeeded"
        assert (it.sends(), await it.house.spent()) == (1, (AMOUNT + 1_000, 0))

    told(tmp_path, story)


def test_t2_a_hold_invoice_that_is_let_go_in_the_end_costs_nothing(tmp_path: Path) -> None:
    async def story(it: Scene) -> None:
        it.node.default = Way(end="held")
        await it.begin()
        await it.later(20 * HOUR)
        assert (await it.state(), (await it.house.spent())[1] > AMOUNT) == ("unknown", True)
        await it.node.resolve(it.hash, reason=pb.INCORRECT_PAYMENT_DETAILS)
        assert (await it.known(), await it.house.spent()) == ("failed", (0, 0))

    told(tmp_path, story)


FAULTS = {
    "dies in the middle of its stream": Fault(SEND, when="first"),
    "loses its answer": Fault(SEND, when="after"),
    "answers UNKNOWN": Fault(SEND, when="after", code=grpc.StatusCode.UNKNOWN, text="something"),
    "says ALREADY_EXISTS": Fault(SEND, when="after", code=grpc.StatusCode.ALREADY_EXISTS, text="exists"),
    "ends its stream as if that were all": Fault(SEND, when="after", eof=True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_t2_a_node_that_does_not_say_has_not_failed(tmp_path: Path, fault: str) -> None:
    async def story(it: Scene) -> None:
        it.node.faults.append(FAULTS[fault])
        await it.begin()
        assert await it.state() in ("unknown", "succeeded")
        assert await it.known() == "succeeded"
        assert it.left() == AMOUNT + 1_000
        assert await it.house.spent() == (it.left(), 0)

    told(tmp_path, story)


def test_a_node_that_dies_with_a_payment_open_is_asked_when_it_is_back(tmp_path: Path) -> None:
    async def story(it: Scene) -> None:
        it.node.default = Way(end="held")
        await it.begin()
        await it.node.die()
        for _ in range(3):
            await it.later(300)
            assert await it.state() == "unknown"
        await it.node.start()
        await it.node.resolve(it.hash)
        assert (await it.known(), await it.house.spent()) == ("succeeded", (AMOUNT + 1_000, 0))

    told(tmp_path, story)


def test_a_locked_wallet_sends_nothing_and_fails_nothing(tmp_path: Path) -> None:
    async def story(it: Scene) -> None:
        invoice = it.node.asks(AMOUNT, expiry=48 * HOUR)
        it.id = (await it.house.pay(invoice))["id"]
        it.node.state = pb.WALLET_LOCKED
        await it.house.round()
        await it.later(300)
        shown = await it.house.show(it.id)
        assert (shown["state"], it.sends(), "locked" in shown["reason"]) == ("reserved", 0, True)
        it.node.state = pb.WALLET_SERVER_ACTIVE
        assert (await it.known(), it.sends()) == ("succeeded", 1)

    told(tmp_path, story)


def test_t31_another_nodes_key_fails_nothing_and_freezes_the_rail(tmp_path: Path) -> None:
    async def story(it: Scene) -> None:
        it.node.default = Way(end="held")
        await it.begin()
        first, book = it.node.pubkey, it.node.book
        it.node.pubkey = OTHER_PUBKEY
        await it.node.roll_back(type(book)())
        second = (await it.house.pay(it.node.asks(AMOUNT, expiry=48 * HOUR)))["id"]
        for _ in range(5):
            await it.later(HOUR)
        assert (await it.state(), (await it.house.show(second))["state"]) == ("unknown", "reserved")
        assert (await it.frozen(), it.sends()) == (["rail:wallet_lnd"], 1)
        it.node.pubkey = first
        await it.node.roll_back(book)
        await it.node.resolve(it.hash)
        assert await it.known() == "succeeded"

    told(tmp_path, story)


def test_a_node_whose_records_were_rolled_back_fails_nothing(tmp_path: Path) -> None:
    async def story(it: Scene) -> None:
        before = it.node.book.copy()
        it.node.default = Way(end="held")
        await it.begin()
        await it.later(300)
        await it.node.roll_back(before)
        await it.later(60 * HOUR)
        assert (await it.state(), (await it.house.spent())[1] > AMOUNT) == ("unknown", True)

    told(tmp_path, story)


def test_t10_a_fee_above_its_limit_is_the_operators_and_freezes_the_rail(tmp_path: Path) -> None:
    async def story(it: Scene) -> None:
        it.node.default = Way(fee_msat=50_000, overcharges=True)
        capital = _events.Capital(rail="wallet_lnd", msat=100_000)
        await it.house.vault.post(capital, realm="regtest", key="the operator's own")
        await it.begin()
        assert await it.known() == "succeeded"
        held = (await it.house.show(it.id))["fee_limit_msat"]
        assert (await it.house.spent(), it.left()) == ((AMOUNT + held, 0), AMOUNT + 50_000)
        assert await it.frozen() == ["rail:wallet_lnd"]
        assert (await it.house.treasury.owed())["regtest"].assets["wallet_lnd"] == FUND + 100_000 - AMOUNT - 50_000

    told(tmp_path, story)


@pytest.mark.parametrize("reason", [pb.NO_ROUTE, pb.TIMEOUT, pb.INSUFFICIENT_BALANCE])
def test_what_the_node_says_has_failed_is_the_agents_again(tmp_path: Path, reason: int) -> None:
    async def story(it: Scene) -> None:
        it.node.default = Way(end="failed", reason=reason)
        await it.begin()
        assert (await it.known(), await it.house.spent(), it.left()) == ("failed", (0, 0), 0)
        (payment,) = await it.house.requests.payments()
        assert b"evidence" in payment.story

    told(tmp_path, story)
