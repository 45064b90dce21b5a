"""T3: a payout dies at its k-th commit or outgoing call, before or after it, for k = 1, 2, ... until one ends unharmed.

Each time another life goes on: it makes exactly one payment, and the ledger says what the node says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import arbstr_wallet_simulated
import pytest
from arbstr_wallet_lnd import _lnd_pb2 as pb
from dying import AMOUNT, World, every
from lightning.node import FakeLnd, Way
from lightning.world import rail_at, secrets_for
from mortal import Life, MovedClock
from payout_house import FUND

from arbstr_core.api import WalletRail
from arbstr_core.storage import Cipher, PluginStore
from arbstr_core.testing import configure, kit_tools


class Lightning(World):
    """A node, whose calls are steps."""

    name = "wallet_lnd"

    def __init__(self, clock: MovedClock, *, pays: bool) -> None:
        self.node = FakeLnd(clock)
        self.node.default = Way(end="paid" if pays else "failed")
        self.pays = pays
        self.clock = clock

    async def __aenter__(self) -> Lightning:
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.die()

    async def asks(self) -> dict[str, Any]:
        return {"to": self.node.asks(AMOUNT)}

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


class Simulated(World):
    """The simulated rail: its journal is in the same database, so all its steps are commits."""

    realm = "sim"
    name = "wallet_simulated"
    stock = 2 * FUND
    """funding an agent makes simulated money"""

    def __init__(self, clock: MovedClock, *, pays: bool) -> None:
        self.clock = clock
        self.pays = pays

    async def asks(self) -> dict[str, Any]:
        tools = kit_tools(clock=self.clock)
        made = arbstr_wallet_simulated.arbstr_commands(configure(arbstr_wallet_simulated, {}), tools)
        (make,) = [each.run for each in made if each.name == "make-invoice"]
        return {"to": (await make({"amount": f"{AMOUNT}msat"}))["invoice"]}

    @asynccontextmanager
    async def rail(self, database: Any, cipher: Cipher, life: Life) -> AsyncIterator[WalletRail]:
        script = ["unknown_then_paid"] if self.pays else ["unknown_then_failed"]
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
SOME = [("lightning", True, 1, 5), ("lightning", False, 3, 7), ("simulated", True, 2, 3)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "pays", "first", "step"), SOME)
def test_t3_a_payout_that_dies_at_some_points_is_one_payment(
    tmp_path: Path, kind: str, pays: bool, first: int, step: int, when: str
) -> None:
    died = every(tmp_path, partial(WORLDS[kind], pays=pays), when, first=first, step=step)
    assert len(died) >= 2, f"unharmed beyond {died}"


@pytest.mark.campaign
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize("kind", WORLDS)
def test_t3_a_payout_that_dies_at_any_point_is_one_payment(tmp_path: Path, kind: str, pays: bool, when: str) -> None:
    died = every(tmp_path, partial(WORLDS[kind], pays=pays), when)
    assert died == [*range(1, len(died) + 1)]
    assert len(died) >= 6, f"unharmed beyond {died}"
