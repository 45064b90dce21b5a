"""Payouts that die: at a commit or a call that goes out, and a second life that goes on with what the first has left.

A world is a rail and what is behind it: `rail` opens it for one life, `left` says what has left it in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from mortal import Life, MortalDatabase, MovedClock
from payout_house import FUND, PayoutHouse, open_database

from arbstr_core.api import Network, WalletRail
from arbstr_core.flow import SenderRules
from arbstr_core.storage import Cipher, Database

AMOUNT = 21_000
RULES = SenderRules(stop_seconds=0.05, pay_seconds=5, look_seconds=5)


class World:
    """A rail that pays, or fails, for an agent of its realm; and what a payout to somebody there is."""

    realm = "regtest"
    name = ""
    stock = FUND
    """on the rail, by the ledger"""
    pays = True
    may_fail = False
    """what was about to be asked for may be given up, with evidence, instead of asked for again"""
    trouble = 0
    """what the rail itself may have paid for that, in msat: the operator's cost, and not the agent's"""

    async def __aenter__(self) -> World:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def begin(self, database: Any, cipher: Cipher) -> None:
        """What the rail needs before the first life."""

    async def asks(self) -> dict[str, Any]:
        """What is to be paid."""
        raise NotImplementedError

    def rail(self, database: Any, cipher: Cipher, life: Life) -> contextlib.AbstractAsyncContextManager[WalletRail]:
        """The rail, in one life."""
        raise NotImplementedError

    async def left(self, database: Any, cipher: Cipher) -> int:
        """What has left it, for one payment at most."""
        raise NotImplementedError


class _Named(msgspec.Struct):
    """Stands for a rail where only its name is wanted."""

    name: str
    network: Network


async def lives(folder: Path, world: World, clock: MovedClock, at: int, when: str) -> int:
    """One life that ends there, and another that goes on; how many steps the first one took, 0 where it ended well."""
    cipher = Cipher(bytes(32))
    wanted = await world.asks()
    async with open_database(folder, clock) as database:
        named: Any = _Named(world.name, Network(world.realm))
        await PayoutHouse(database, clock, [named], cipher, realm=world.realm).agent()
        await world.begin(database, cipher)
    life = Life(at, when)
    async with one_life(folder, world, clock, life, cipher) as house:
        died = await life.until_over(pay_once(house, wanted, clock))
    if died:
        async with one_life(folder, world, clock, rest := Life(), cipher, boot="two") as house:
            assert not await rest.until_over(pay_once(house, wanted, clock))
    async with open_database(folder, clock) as database:
        await agreed(PayoutHouse(database, clock, [], cipher, boot="three", realm=world.realm), world, database)
    return life.steps if died else 0


@asynccontextmanager
async def one_life(
    folder: Path, world: World, clock: MovedClock, life: Life, cipher: Cipher, boot: str = "one"
) -> AsyncIterator[PayoutHouse]:
    async with open_database(folder, clock) as database:
        mortal = MortalDatabase(database, life)
        async with world.rail(mortal, cipher, life) as rail:
            yield PayoutHouse(mortal, clock, [rail], cipher, boot=boot, realm=world.realm, rules=RULES)


async def pay_once(house: PayoutHouse, wanted: dict[str, Any], clock: MovedClock) -> None:
    """What a client and the sender do, until the payment has its end."""
    await house.pay(**wanted, key="k")
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


async def agreed(house: PayoutHouse, world: World, database: Database) -> None:
    """Exactly one payment, or none where it failed; and the ledger says the same."""
    verified = await house.vault.verify()
    assert verified.first_bad is None, verified
    (payment,) = await house.requests.payments()
    left = await world.left(database, house.cipher)
    assert payment.state in ("succeeded", "failed"), payment
    assert payment.state == ("succeeded" if world.pays else "failed") or world.may_fail, payment
    if payment.state == "failed":
        assert left <= world.trouble, f"{left} msat have left for a payment that failed"
        left = 0
    assert await house.spent() == (left, 0)
    owed = (await house.treasury.owed())[world.realm]
    assert owed.assets[payment.rail] == world.stock - left


def every(folder: Path, make: Callable[[MovedClock], World], when: str, *, first: int = 1, step: int = 1) -> list[int]:
    """Let payouts die at steps `first`, `first + step`, ... until one ends unharmed; where they died."""

    async def whole() -> list[int]:
        died = []
        for at in range(first, 200, step):
            clock = MovedClock()
            place = folder / f"{at}"
            place.mkdir()
            async with make(clock) as world:
                if not await lives(place, world, clock, at, when):
                    return died
                died.append(at)
        raise AssertionError("no run ended unharmed")

    return asyncio.run(whole())
