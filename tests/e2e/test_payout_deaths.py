"""T3: a payout dies at its k-th commit or outgoing call, before or after it, for k = 1, 2, ... until one ends unharmed.

Each time another life goes on: it makes exactly one payment, and the ledger says what the node says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import arbstr_wallet_simulated
import pytest
from arbstr_wallet_lnd import _lnd_pb2 as pb
from lightning.node import FakeLnd, Way
from lightning.world import rail_at, secrets_for
from mortal import Life, MortalDatabase, MovedClock
from payout_house import FUND, PayoutHouse, open_database

from arbstr_core.api import Network, WalletRail
from arbstr_core.flow import SenderRules
from arbstr_core.storage import Cipher, Database, PluginStore
from arbstr_core.testing import configure, kit_tools

AMOUNT = 21_000
RULES = SenderRules(stop_seconds=0.05, pay_seconds=5, look_seconds=5)


class Lightning:
    """A node, whose calls are steps."""

    realm = "regtest"
    stock = FUND

    def __init__(self, folder: Path, clock: MovedClock, way: Way) -> None:
        self.node = FakeLnd(clock)
        self.node.default = way
        self.way = way
        self.clock = clock

    async def __aenter__(self) -> Lightning:
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.die()

    async def asks(self) -> str:
        return self.node.asks(AMOUNT)

    @asynccontextmanager
    async def rail(self, database: Any, cipher: Cipher, life: Life) -> AsyncIterator[WalletRail]:
        async def hook(path: str, moment: str, number: int) -> None:
            if moment == "before":
                steps[number] = await life.before(path)
            else:
                await life.after(steps[number])

        steps: dict[int, int] = {}
        self.node.hook = hook
        store = PluginStore(database, cipher, "wallet_lnd")
        tools = kit_tools(clock=self.clock, store=store, secrets=secrets_for(self.node))
        rail = rail_at(self.node, tools)
        await rail.start()
        try:
            yield rail
        finally:
            self.node.hook = None
            await rail.aclose()
            await tools.aclose()

    async def left(self, database: Any, cipher: Cipher) -> int:
        """What has left the node; one payment at most."""
        paid = [each for each in self.node.book.payments.values() if each.status == pb.Payment.SUCCEEDED]
        assert len(paid) <= 1, "paid twice"
        return sum(each.value_msat + each.fee_msat for each in paid)


class Simulated:
    """The simulated rail: its journal is in the same database, so all its steps are commits."""

    realm = "sim"
    stock = 2 * FUND
    """funding an agent makes simulated money"""

    def __init__(self, folder: Path, clock: MovedClock, way: Way) -> None:
        self.clock = clock
        self.way = way

    async def __aenter__(self) -> Simulated:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def asks(self) -> str:
        tools = kit_tools(clock=self.clock)
        made = arbstr_wallet_simulated.arbstr_commands(configure(arbstr_wallet_simulated, {}), tools)
        (make,) = [each.run for each in made if each.name == "make-invoice"]
        return str((await make({"amount": f"{AMOUNT}msat"}))["invoice"])

    @asynccontextmanager
    async def rail(self, database: Any, cipher: Cipher, life: Life) -> AsyncIterator[WalletRail]:
        script = ["unknown_then_paid"] if self.way.end == "paid" else ["unknown_then_failed"]
        config = configure(arbstr_wallet_simulated, {"fee": "1 %", "script": script})
        tools = kit_tools(clock=self.clock, store=PluginStore(database, cipher, "wallet_simulated"))
        (rail,) = arbstr_wallet_simulated.arbstr_wallet_rails(config, tools)
        yield rail
        await tools.aclose()

    async def left(self, database: Any, cipher: Cipher) -> int:
        """What has left it."""
        async with self.rail(database, cipher, Life()) as rail:
            return 100_000_000_000 - (await rail.balance()).most_msat


WORLDS = {"lightning": Lightning, "simulated": Simulated}


async def lives(folder: Path, world: Lightning | Simulated, clock: MovedClock, at: int, when: str) -> int:
    """One life that ends there, and another that goes on; how many steps the first one took, 0 where it ended well."""
    cipher = Cipher(bytes(32))
    invoice = await world.asks()
    async with open_database(folder, clock) as database:
        await PayoutHouse(database, clock, [_Named(world)], cipher, realm=world.realm).agent()
    life = Life(at, when)
    async with one_life(folder, world, clock, life, cipher) as house:
        died = await life.until_over(pay_once(house, invoice, clock))
    if died:
        async with one_life(folder, world, clock, rest := Life(), cipher, boot="two") as house:
            assert not await rest.until_over(pay_once(house, invoice, clock))
    async with open_database(folder, clock) as database:
        await agreed(PayoutHouse(database, clock, [], cipher, boot="three", realm=world.realm), world, database)
    return life.steps if died else 0


@asynccontextmanager
async def one_life(
    folder: Path, world: Any, clock: MovedClock, life: Life, cipher: Cipher, boot: str = "one"
) -> AsyncIterator[PayoutHouse]:
    async with open_database(folder, clock) as database:
        mortal = MortalDatabase(database, life)
        async with world.rail(mortal, cipher, life) as rail:
            yield PayoutHouse(mortal, clock, [rail], cipher, boot=boot, realm=world.realm, rules=RULES)


async def pay_once(house: PayoutHouse, invoice: str, clock: MovedClock) -> None:
    """What a client and the sender do, until the payment has its end."""
    await house.pay(invoice, key="k")
    working = asyncio.create_task(house.sender.run())
    try:
        while True:
            (payment,) = await house.requests.payments()
            if payment.state.final:
                break
            # Nothing expires meanwhile: time is moved on only to the next look.
            clock.moved += max(0, payment.due_ms - clock.now_ms()) / 1000
            house.sender.wake()
            await asyncio.sleep(0.01)
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def agreed(house: PayoutHouse, world: Any, database: Database) -> None:
    """Exactly one payment, or none where it failed; and the ledger says the same."""
    verified = await house.vault.verify()
    assert verified.first_bad is None, verified
    (payment,) = await house.requests.payments()
    expected = "succeeded" if world.way.end == "paid" else "failed"
    left = await world.left(database, house.cipher)
    assert (payment.state, bool(left)) == (expected, expected == "succeeded"), payment
    assert await house.spent() == (left, 0)
    owed = (await house.treasury.owed())[world.realm]
    assert owed.assets[payment.rail] == world.stock - left


class _Named:
    """Stands for the rail where only its name is wanted."""

    def __init__(self, world: Any) -> None:
        self.name = "wallet_lnd" if world.realm == "regtest" else "wallet_simulated"
        self.network = Network(world.realm)


def every(folder: Path, kind: str, way: Way, when: str, first: int, step: int) -> list[int]:
    """Let payouts die at steps `first`, `first + step`, ... until one ends unharmed; where they died."""

    async def whole() -> list[int]:
        died = []
        for at in range(first, 200, step):
            clock = MovedClock()
            place = folder / f"{at}"
            place.mkdir()
            async with WORLDS[kind](place, clock, way) as world:
                if not await lives(place, world, clock, at, when):
                    return died
                died.append(at)
        raise AssertionError("no run ended unharmed")

    return asyncio.run(whole())


SOME = [("lightning", "paid", 1, 5), ("lightning", "failed", 3, 7), ("simulated", "paid", 2, 3)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "end", "first", "step"), SOME)
def test_t3_a_payout_that_dies_at_some_points_is_one_payment(
    tmp_path: Path, kind: str, end: str, first: int, step: int, when: str
) -> None:
    died = every(tmp_path, kind, Way(end=end), when, first=first, step=step)
    assert len(died) >= 2, f"unharmed beyond {died}"


@pytest.mark.campaign
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("end", ["paid", "failed"])
@pytest.mark.parametrize("kind", WORLDS)
def test_t3_a_payout_that_dies_at_any_point_is_one_payment(tmp_path: Path, kind: str, end: str, when: str) -> None:
    died = every(tmp_path, kind, Way(end=end), when, first=1, step=1)
    assert died == [*range(1, len(died) + 1)]
    assert len(died) >= 6, f"unharmed beyond {died}"
