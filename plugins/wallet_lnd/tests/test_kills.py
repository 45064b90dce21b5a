"""Killed at any outgoing call, and shaken at random: each payment is made once, and its end is what the node has."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from lightning import PERMISSIONS, Fault, Way
from lightning.book import SUCCEEDED
from lightning.stage import AMOUNT, Stage, play

from arbstr_core.api import Failed, InvoiceTarget, Msat, Paid, Payment, RailUnavailable, Unknown

Driver = Callable[[Stage, InvoiceTarget], Awaitable[Payment]]
MOST_CALLS = 100


async def asks_again(stage: Stage, target: InvoiceTarget) -> Payment:
    """What a sender does that knows only that it has to pay: the same key again, until there is an end."""
    await stage.pay(target)
    return await stage.found(target)


async def looks_first(stage: Stage, target: InvoiceTarget) -> Payment:
    """What a careful one does: look; pay under another key what was never sent; go on with what may have been."""
    found = await stage.look(target)
    if isinstance(found, Failed):
        return await stage.pay(target, "pay-2")
    if isinstance(found, Unknown):
        await stage.pay(target)
        return await stage.found(target)
    return found


async def killed_at(stage: Stage, at: int, when: str, work: Awaitable[Any]) -> tuple[bool, asyncio.Event]:
    """Let `work` run to call number `at`, and kill it there: whether it came so far, and what lets that call go on."""
    reached, late = asyncio.Event(), asyncio.Event()
    before = len(stage.node.calls)

    async def hook(path: str, moment: str, number: int) -> None:
        if (number - before, moment) == (at, when):
            stage.node.hook = None
            reached.set()
            await late.wait()

    stage.node.hook = hook
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(reached.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    stage.node.hook = None
    waiting.cancel()
    working.cancel()
    await asyncio.gather(waiting, working, return_exceptions=True)
    await stage.restart()
    return reached.is_set(), late


@pytest.mark.parametrize("driver", [asks_again, looks_first])
@pytest.mark.parametrize("when", ["before", "after"])
def test_t3_killed_at_every_call_of_a_payment_it_is_made_once(driver: Driver, when: str) -> None:
    async def scenario(stage: Stage) -> int:
        for at in range(1, MOST_CALLS):
            stage.store._values = {key: value for key, value in stage.store._values.items() if key == "node"}
            target = await stage.target()
            paid = stage.paid()
            killed, _ = await killed_at(stage, at, when, stage.pay(target))
            end = await driver(stage, target)
            assert isinstance(end, Paid), f"killed {when} call {at}: {end}"
            assert stage.paid() == paid + 1, f"killed {when} call {at}: paid {stage.paid() - paid} times"
            assert stage.arrived(target) == AMOUNT
            if not killed:
                return at
        raise AssertionError("no run ended unharmed")

    assert play(scenario) > 8


def test_t3_a_request_that_arrives_after_all_makes_no_second_payment() -> None:
    """The process was killed while its request was held up; another one paid; then the request arrives."""

    async def scenario(stage: Stage) -> None:
        for at in range(1, MOST_CALLS):
            target = await stage.target()
            key = f"pay-{at}"
            killed, late = await killed_at(stage, at, "before", stage.pay(target, key))
            first = await stage.pay(target, key)
            late.set()
            end = await stage.found(target, key)
            assert isinstance(end, Paid)
            assert not isinstance(first, Failed)
            assert stage.paid() == at
            if not killed:
                return
        raise AssertionError("no run ended unharmed")

    play(scenario)


@pytest.mark.parametrize("when", ["before", "after"])
def test_t3_killed_at_every_call_of_a_payment_that_fails_it_has_failed(when: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.default = Way(end="failed")
        for at in range(1, MOST_CALLS):
            target = await stage.target()
            key = f"pay-{at}"
            killed, _ = await killed_at(stage, at, when, stage.pay(target, key))
            found = await stage.pay(target, key)
            if isinstance(found, Unknown):  # two requests: it is over when neither can arrive any more
                stage.clock.advance(3_600 + 601)
            assert isinstance(await stage.look(target, key), Failed)
            assert stage.paid() == 0
            if not killed:
                return
        raise AssertionError("no run ended unharmed")

    play(scenario)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_call_for_an_invoice_there_is_one(when: str) -> None:
    async def scenario(stage: Stage) -> None:
        for at in range(1, MOST_CALLS):
            made = len(stage.node.book.invoices)
            key = f"invoice-{at}"
            killed, _ = await killed_at(stage, at, when, stage.rail.invoice(Msat(AMOUNT), "kit", key=key))
            await stage.rail.invoice(Msat(AMOUNT), "kit", key=key)
            assert len(stage.node.book.invoices) == made + 1
            if not killed:
                return
        raise AssertionError("no run ended unharmed")

    play(scenario)


# --- at random ---


class Shaken:
    """Payments that are asked for, looked up and shaken in any order. An end, once told, must stay."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.targets: dict[str, InvoiceTarget] = {}
        self.ends: dict[str, Payment] = {}

    async def step(self) -> None:
        """One thing that may happen."""
        acts = (self.begin, self.ask, self.look, self.fault, self.resolve, self.wait, self.restart, self.power_cut)
        await self.random.choices(acts, (10, 10, 10, 6, 6, 2, 1, 1))[0]()

    async def begin(self) -> None:
        """Another payment is asked for."""
        key = f"pay-{len(self.targets)}"
        expiry = self.random.choice((60, 3_600, 86_400))
        self.targets[key] = await self.stage.target(expiry=expiry)
        end = self.random.choices(("paid", "failed", "held"), (5, 3, 3))[0]
        self.stage.node.ways.append(Way(end=end, fee_msat=self.random.choice((0, 1_000, 2_001))))
        await self.note(key, self.stage.pay(self.targets[key], key))

    async def ask(self) -> None:
        """One is asked for again."""
        if self.targets:
            key = self.random.choice([*self.targets])
            await self.note(key, self.stage.pay(self.targets[key], key))

    async def look(self) -> None:
        """One is looked up."""
        if self.targets:
            key = self.random.choice([*self.targets])
            await self.note(key, self.stage.look(self.targets[key], key))

    async def fault(self) -> None:
        """Some call will go wrong."""
        code = self.random.choice([each for each in grpc.StatusCode if each is not grpc.StatusCode.OK])
        # LND gives NOT_FOUND to what it does not know, and to nothing else.
        code = grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.NOT_FOUND else code
        path = self.random.choice(sorted(PERMISSIONS))
        self.stage.node.faults.append(Fault(path, self.random.choice(("before", "after", "first")), code, "shaken"))

    async def resolve(self) -> None:
        """A payment that is held ends."""
        held = [key for key, sent in self.stage.node.book.payments.items() if sent.status == 1]
        if held:
            await self.stage.node.resolve(self.random.choice(held), reason=self.random.choice((None, 1, 4)))

    async def wait(self) -> None:
        """Time passes."""
        self.stage.clock.advance(self.random.choice((1, 60, 700, 4_000, 90_000)))

    async def restart(self) -> None:
        """This process dies and comes back."""
        await self.stage.restart()

    async def power_cut(self) -> None:
        """The node does."""
        await self.stage.node.die()
        await self.stage.node.start()

    async def note(self, key: str, asked: Awaitable[Payment]) -> None:
        """What was said of `key`, held against what was said before and what the node has."""
        try:
            found = await asked
        except RailUnavailable:
            return
        if key in self.ends:
            assert found == self.ends[key], f"{key} was {self.ends[key]} and is {found}"
        if isinstance(found, Unknown):
            return
        self.ends[key] = found
        sent = self.stage.node.book.payments.get(self.targets[key].reference)
        succeeded = sent is not None and sent.status == SUCCEEDED
        assert isinstance(found, Paid) == succeeded, f"{key} is {found}, and the node has {sent}"

    async def calm(self) -> None:
        """Nothing goes wrong any more, and all has ended: then every end is known."""
        self.stage.node.faults.clear()
        for payment_hash, sent in list(self.stage.node.book.payments.items()):
            if sent.status == 1:
                await self.stage.node.resolve(payment_hash, reason=self.random.choice((None, 1)))
        self.stage.clock.advance(2 * 86_400)
        for key, target in self.targets.items():
            end = await self.stage.found(target, key)
            await self.note(key, self.stage.look(target, key))
            assert self.ends[key] == end


def shake(seed: int, steps: int) -> Shaken:
    async def scenario(stage: Stage) -> Shaken:
        shaken = Shaken(stage, seed)
        for _ in range(steps):
            await shaken.step()
        await shaken.calm()
        return shaken

    return play(scenario, wait_seconds=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_shaken_at_random_no_end_is_wrong_and_none_changes(seed: int) -> None:
    shaken = shake(seed, 150)
    assert {type(each) for each in shaken.ends.values()} == {Paid, Failed}


@pytest.mark.campaign
def test_shaken_for_long_no_end_is_wrong_and_none_changes() -> None:
    payments = 0
    for seed in range(1_000, 1_000 + 10 * int(os.environ.get("CAMPAIGN_N", "20"))):
        payments += len(shake(seed, 300).ends)
    print(f"{payments} payments, none paid twice or called failed without evidence")
