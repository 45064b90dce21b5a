"""Every step of every operation goes wrong once: the answer of a mint is lost, or arbstr dies there. Not one satoshi is
lost or made, nothing happens twice, and asking again with the same key ends it."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
from arbstr_wallet_cashu._nutshell import Nutshell
from mints import Lossy, outstanding
from purses import SAT, Wallet, wallet

from arbstr_core.api import (
    Failed,
    Msat,
    Paid,
    PaymentRef,
    RailUnavailable,
    Unknown,
)
from arbstr_core.testing import MemoryStore

FUNDS = 60_000
AMOUNT = 777
MOST_STEPS = 60
OF_A_LIFE = 40


class Scenario:
    """One run of an operation: our wallet had `start` before, `hers` has money at the same mint, `given` is what was
    prepared, and keys are of this run alone."""

    def __init__(self, run: int, mint: Nutshell, other: Nutshell, hers: Wallet) -> None:
        self.run = run
        self.mint = mint
        self.other = other
        self.hers = hers
        self.start = 0
        self.given: Any = None

    def key(self, what: str) -> str:
        return f"{what}-{self.run}"


async def nothing(scene: Scenario, mine: Wallet) -> None:
    """No preparation."""


async def end_of(mine: Wallet, target: Any, key: str) -> Paid | Failed:
    """As the kernel does: pay for what was quoted, and look where that is not the end."""
    limit = (await mine.again(lambda: mine.rail.quote(target, target.amount_msat))).fee_limit_msat

    async def once() -> Paid | Failed:
        found = await mine.rail.pay(target, target.amount_msat, fee_limit=limit, key=key)
        if isinstance(found, Unknown):
            found = await mine.rail.lookup(PaymentRef(key=key, target=target, fee_limit_msat=limit, sent_ms=1))
        if isinstance(found, Unknown):
            raise RailUnavailable(found.reason)
        return found

    return await mine.again(once)


async def deposit(scene: Scenario, mine: Wallet) -> None:
    async def once() -> None:
        await mine.rail.invoice(Msat(AMOUNT * SAT), "", key=scene.key("in"))
        await mine.collect()
        if (await mine.purse.book.job("invoice:" + scene.key("in"))).state != "done":
            raise RailUnavailable("not yet")

    await mine.again(once)
    assert await mine.held() == scene.start + AMOUNT


async def give(scene: Scenario, mine: Wallet) -> None:
    scene.given = await scene.hers.token(AMOUNT)


async def receive(scene: Scenario, mine: Wallet) -> None:
    took = await mine.again(lambda: mine.rail.receive(scene.given, key=scene.key("take")))
    assert await mine.held() == scene.start + took.amount_msat // SAT
    assert took.amount_msat + took.fee_msat == AMOUNT * SAT


async def send(scene: Scenario, mine: Wallet, **more: Any) -> None:
    target = mine.token_target(AMOUNT, scene.key("out"), **more)
    found = await end_of(mine, target, scene.key("out"))
    if isinstance(found, Failed):
        assert await mine.held() == scene.start
        return
    assert await mine.held() == scene.start - AMOUNT - found.fee_msat // SAT
    took = await scene.hers.again(lambda: scene.hers.rail.receive(found.token, key=scene.key("hers")))
    assert took.amount_msat + took.fee_msat == AMOUNT * SAT


async def send_locked(scene: Scenario, mine: Wallet) -> None:
    await send(scene, mine, lock=(await scene.hers.purse.open()).seed.identity)


async def ask(scene: Scenario, mine: Wallet) -> None:
    scene.given = await mine.invoice_of(scene.other, AMOUNT)


async def melt(scene: Scenario, mine: Wallet) -> None:
    key = scene.key("melt")
    if await mine.purse.book.job(f"pay:{key}") is None:
        found: Any = await end_of(mine, scene.given, key)
    else:
        found = await mine.ended(scene.given, key, Unknown(reason="arbstr was started again"))
    assert await mine.look(scene.given, key) == found
    if isinstance(found, Failed):
        # It never reached the mint; what it cost to make sure of that is on record.
        cost = [each.amount_msat async for each in mine.rail.costs("") if each.reference == f"pay:{key}"]
        assert await mine.held() == scene.start - sum(cost) // SAT
        assert paid_by(scene.mint, scene.given.text) == 0
    else:
        assert await mine.held() == scene.start - AMOUNT - found.fee_msat // SAT
        assert paid_by(scene.mint, scene.given.text) == 1


def paid_by(mint: Nutshell, invoice: str) -> int:
    from mints import asked

    return len(asked(mint, "SELECT quote FROM melt_quotes WHERE request = ? AND state = 'PAID'", invoice))


async def issue(scene: Scenario, mine: Wallet) -> None:
    key = scene.key("mine")
    target = mine.token_target(AMOUNT, key)
    limit = (await mine.rail.quote(target, target.amount_msat)).fee_limit_msat
    assert isinstance(await mine.rail.pay(target, target.amount_msat, fee_limit=limit, key=key), Paid)
    scene.given = PaymentRef(key=key, target=target, fee_limit_msat=limit)


async def reclaim(scene: Scenario, mine: Wallet) -> None:
    before = (await mine.purse.book.job(f"pay:{scene.given.key}")).fee
    back = await mine.again(lambda: mine.rail.reclaim(scene.given, key=scene.key("back")))
    assert back.amount_msat + back.fee_msat == AMOUNT * SAT
    assert await mine.held() == scene.start - before - back.fee_msat // SAT


async def crumble(scene: Scenario, mine: Wallet) -> None:
    """More coins than anybody wants."""
    for at in range(2):
        await mine.rail.receive(await scene.hers.token(127), key=scene.key(f"crumbs-{at}"))
    scene.start = await mine.held()
    scene.given = len([each async for each in mine.rail.costs("")])


async def tidy(scene: Scenario, mine: Wallet) -> None:
    async def once() -> None:
        place = mine.purse.places.all[0]
        await mine.purse.open()
        await place.ready()
        await mine.rail.watch.go_on()
        await mine.purse.quietly(place, lambda: mine.rail.watch._tidying.tidy(place))
        if await mine.purse.book.open_jobs():
            raise RailUnavailable("not yet")

    await mine.again(once)
    costs = [each.amount_msat async for each in mine.rail.costs("")][scene.given :]
    assert await mine.held() == scene.start - sum(costs) // SAT


OPERATIONS: Mapping[str, tuple[Any, Any]] = {
    "deposit": (nothing, deposit),
    "receive": (give, receive),
    "send": (nothing, send),
    "send_locked": (nothing, send_locked),
    "melt": (ask, melt),
    "reclaim": (issue, reclaim),
    "tidy": (crumble, tidy),
}


TABLES: Mapping[str, dict[str, int]] = {"tidy": {"most_coins": 16, "coins": 1}}


class Killed(BaseException):
    """arbstr ends here: nothing after it happens."""


class Death:
    """Counts the steps, and ends arbstr at one of them."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.died = False

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.died = True
            raise Killed


class MortalStore(MemoryStore):
    """Each write is two steps: before it is there, and after."""

    def __init__(self, inner: MemoryStore, death: Death) -> None:
        super().__init__()
        self._values = inner._values
        self._death = death

    async def put(self, items: Any, *, where: Any = None) -> bool:
        self._death.step()
        written = await super().put(items, where=where)
        self._death.step()
        return written


class MortalTransport(httpx.AsyncBaseTransport):
    """Each call is two steps: before the mint has it, and after it has done it."""

    def __init__(self, inner: httpx.AsyncBaseTransport, death: Death) -> None:
        self._inner = inner
        self._death = death

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._death.step()
        response = await self._inner.handle_async_request(request)
        await response.aread()
        self._death.step()
        return response


@pytest.fixture(scope="module")
def lossy(both: tuple[Nutshell, Nutshell]) -> Iterator[dict[str, Lossy]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Lossy(mint)) for name, mint in zip(("free", "dear"), both, strict=True)}


@pytest.mark.parametrize("fee", ["free", "dear"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_is_lost_once(
    both: tuple[Nutshell, Nutshell], lossy: dict[str, Lossy], operation: str, fee: str
) -> None:
    """Call k of the operation is done by the mint, and its answer dropped; k = 0, 1, ... until none is."""
    mint, other = both if fee == "free" else both[::-1]
    prepare, work = OPERATIONS[operation]

    async def story() -> int:
        proxy, before = lossy[fee], outstanding(mint)
        async with wallet(proxy) as hers, wallet(proxy, **TABLES.get(operation, {})) as mine:
            await hers.fund(FUNDS)
            await mine.fund(FUNDS)
            for number in range(MOST_STEPS):
                scene = Scenario(number, mint, other, hers)
                scene.start = await mine.held()
                await prepare(scene, mine)
                first = len(proxy.calls)
                proxy.lose(number)
                try:
                    await work(scene, mine)
                finally:
                    proxy.keep()
                assert outstanding(mint) - before == await mine.held() + await hers.held()
                if len(proxy.calls) - first <= number:
                    return number
        raise AssertionError("the operation does not end")

    assert asyncio.run(story()) >= 1, "an operation asks its mint"


DEATHS = [
    ("deposit", "free"),
    ("receive", "dear"),
    ("send", "free"),
    ("send_locked", "dear"),
    ("melt", "free"),
    ("melt", "dear"),
    ("reclaim", "dear"),
    ("tidy", "dear"),
]
"""With a fee where it makes a difference, and once without."""


@pytest.mark.parametrize(("operation", "fee"), DEATHS)
def test_dead_at_every_step(both: tuple[Nutshell, Nutshell], operation: str, fee: str) -> None:
    """arbstr dies at step k of the operation, before or after a write or a call, and comes back; k = 1, 2, ... until a
    run ends unharmed."""
    mint, other = both if fee == "free" else both[::-1]
    prepare, work = OPERATIONS[operation]
    more = TABLES.get(operation, {})

    async def story() -> int:
        store, before = MemoryStore(), outstanding(mint)
        async with wallet(mint) as hers, wallet(mint, store=store, **more) as first:
            await hers.fund(FUNDS)
            await first.fund(FUNDS)
            for number in range(1, MOST_STEPS):
                death, scene = Death(number), Scenario(number, mint, other, hers)
                async with wallet(mint, store=store, **more) as mine:
                    scene.start = await mine.held()
                    await prepare(scene, mine)
                async with wallet(mint, store=MortalStore(store, death), **more) as mine:
                    mine.tools.http._transport = MortalTransport(mine.tools.http._transport, death)
                    with suppress(Killed):
                        await work(scene, mine)
                async with wallet(mint, store=store, **more) as mine:
                    await mine.purse.open()
                    await mine.rail.watch.go_on()
                    await work(scene, mine)
                    assert outstanding(mint) - before == await mine.held() + await hers.held()
                if not death.died:
                    return number
        raise AssertionError("the operation does not end")

    assert asyncio.run(story()) > 4, "an operation writes and asks"


@pytest.mark.campaign
@pytest.mark.parametrize("fee", ["free", "dear"])
def test_a_long_life(both: tuple[Nutshell, Nutshell], lossy: dict[str, Lossy], fee: str) -> None:
    """`make campaign N=...`: a purse, operations in any order, a death and a lost answer in each, anywhere. After every
    one of them the mint and the purses agree to the satoshi. N lives, each with a seed, which is printed; SEED begins
    with another."""
    mint, other = both if fee == "free" else both[::-1]
    first = int(os.environ.get("SEED", random.randrange(10**6)))
    for seed in range(first, first + int(os.environ["CAMPAIGN_N"])):
        print(f"seed {seed}, {fee}", flush=True)
        asyncio.run(a_life(random.Random(seed), mint, other, lossy[fee]))


async def a_life(chance: random.Random, mint: Nutshell, other: Nutshell, proxy: Lossy) -> None:
    store, before = MemoryStore(), outstanding(mint)
    async with wallet(proxy) as hers, wallet(proxy, store=store) as first:
        await hers.fund(100_000)
        await first.fund(100_000)
        for number in range(OF_A_LIFE):
            name = chance.choice([each for each in OPERATIONS if each != "tidy"])
            prepare, work = OPERATIONS[name]
            scene, death = Scenario(number, mint, other, hers), Death(chance.randrange(1, 25))
            async with wallet(proxy, store=store) as mine:
                scene.start = await mine.held()
                await prepare(scene, mine)
            async with wallet(proxy, store=MortalStore(store, death)) as mine:
                mine.tools.http._transport = MortalTransport(mine.tools.http._transport, death)
                proxy.lose(chance.randrange(8))
                with suppress(Killed):
                    await work(scene, mine)
            async with wallet(proxy, store=store) as mine:
                proxy.lose(chance.randrange(8))
                await mine.purse.open()
                await mine.rail.watch.go_on()
                await work(scene, mine)
                proxy.keep()
                assert outstanding(mint) - before == await mine.held() + await hers.held(), (number, name)
