"""What changes under a purse: keysets that rotate, a database that is lost or old, another process on the same."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import arbstr_wallet_cashu
import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from arbstr_wallet_cashu._seed import Seed, new_words
from mints import Mints, outstanding
from purses import SAT, Wallet, shared, table, wallet

from arbstr_core.api import (
    BadRequest,
    Msat,
    Paid,
    RailState,
    RailUnavailable,
)
from arbstr_core.testing import MemoryStore, configure

WORDS = "half depart obvious quality work element tank gorilla view sugar picture humble"


@pytest.fixture(scope="module")
def turning(mints: Mints) -> Nutshell:
    """A mint whose keysets the tests rotate."""
    return mints.start(turning=Options())[0]


def copied(store: MemoryStore) -> MemoryStore:
    """A backup of a store."""
    made = MemoryStore()
    made._values = dict(store._values)
    return made


async def command(mine: Wallet, mint: Nutshell, name: str, **given: str) -> Any:
    """Run an operator's command on the purse of `mine`, as from another process."""
    config = configure(arbstr_wallet_cashu, table(mint, seed="env:SEED"))
    made = {each.name: each for each in arbstr_wallet_cashu.arbstr_commands(config, mine.tools)}
    return await made[name].run(given)


@pytest.mark.parametrize("fee", ["0", "100"])
def test_keysets_rotate_under_everything(turning: Nutshell, free: Nutshell, fee: str) -> None:
    """The purse learns of it from the mint's refusal, and goes on; then the old coins become new ones, and what that
    cost is told."""

    async def story() -> None:
        before = outstanding(turning)
        async with wallet(turning) as mine, wallet(turning) as hers:
            await hers.fund(9_000)
            await mine.fund(9_000)
            old = mine.purse.places.all[0].active().id
            token = await hers.token(500)
            invoice = await mine.rail.invoice(Msat(1_000 * SAT), "", key="across")
            target = await mine.invoice_of(free, 700)
            quote = await mine.rail.quote(target, target.amount_msat)
            turning.manage("next-keyset", "sat", fee)
            # Nobody told the purse: each of these begins with the old keyset.
            assert mine.purse.places.all[0].active().id == old
            took = await mine.rail.receive(token, key="take")
            assert took.amount_msat == 500 * SAT
            new = mine.purse.places.all[0].active()
            assert (new.id == old, new.ppk) == (False, int(fee))
            mine.purse.places.all[0].keysets[old] = _still(mine, old)
            limit = Msat(quote.fee_limit_msat + 2 * SAT)
            paid = await mine.rail.pay(target, target.amount_msat, fee_limit=limit, key="melt")
            assert isinstance(paid, Paid)
            mine.purse.places.all[0].keysets[old] = _still(mine, old)
            await mine.collect()
            assert invoice.reference in [line.reference for _, line in await _deposits(mine)]
            mine.purse.places.all[0].keysets[old] = _still(mine, old)
            given = await mine.token(300)
            assert await mine.held() + await hers.held() + 300 == outstanding(turning) - before
            held = await mine.held()
            await mine.rail.watch.look_after(mine.purse.places.all[0])
            coins = (await mine.purse.book.coins("m0")).values()
            assert {coin.keyset for coin in coins} == {new.id}
            costs = sum([cost.amount_msat async for cost in mine.rail.costs("")]) // SAT
            assert await mine.held() == held - costs
            back = await hers.rail.receive(given, key="given")
            assert back.amount_msat + back.fee_msat == 300 * SAT
            assert await mine.held() + await hers.held() == outstanding(turning) - before

    asyncio.run(story())


def _still(mine: Wallet, keyset: str) -> Any:
    """The keyset as it was before it was rotated: what a purse knows that has not asked since."""
    from msgspec.structs import replace

    return replace(mine.purse.places.all[0].keysets[keyset], active=True)


async def _deposits(mine: Wallet) -> Any:
    from arbstr_wallet_cashu._records import DepositLine

    return await mine.purse.book.lines("deposit", DepositLine, 0)


def test_a_lost_database_comes_back_from_the_seed(both: tuple[Nutshell, Nutshell]) -> None:
    """Everything that was the purse's is again, to the satoshi; what was given away is not, claimed or not."""

    async def story(mint: Nutshell, other: Nutshell, words: str) -> None:
        before, seeded = outstanding(mint), {"seed": "env:SEED", "secrets": {"env:SEED": words}}
        async with wallet(mint) as hers, wallet(mint, **seeded) as mine:
            await hers.fund(3_000)
            await mine.fund(20_000)
            await mine.rail.receive(await hers.token(1_111), key="in")
            await hers.rail.receive(await mine.token(222), key="claimed")
            unclaimed = await mine.token(333)
            lock = (await hers.purse.open()).seed.identity
            await mine.token(44, lock=lock)
            paid = await mine.pay(await mine.invoice_of(other, 5_000), "melt")
            assert isinstance(paid, Paid)
            held = await mine.held()
            assert outstanding(mint) - before == held + await hers.held() + 333 + 44
            async with wallet(mint, **seeded) as anew:
                assert await anew.held() == 0
                [found] = (await command(anew, mint, "restore", gap="2"))["restored"]
                assert await anew.held() == held
                assert (found["amount"], found["issued_amount"]) == (held, 333)
                # It goes on from there: nothing is derived twice, and the token is still hers to claim.
                assert (await anew.rail.status()).state is RailState.READY
                await anew.rail.receive(await hers.token(100), key="more")
                await anew.token(50)
                took = await hers.rail.receive(unclaimed, key="late")
                assert took.amount_msat + took.fee_msat == 333 * SAT
                assert outstanding(mint) - before == await anew.held() + await hers.held() + 44 + 50
                again = (await command(anew, mint, "restore", gap="2"))["restored"][0]
                assert (again["amount"], again["issued_amount"]) == (0, 0)

    for mint, other in (both, both[::-1]):
        asyncio.run(story(mint, other, new_words()))


def test_an_old_backup_is_noticed_and_made_new(free: Nutshell) -> None:
    """The mint has signed what the purse has yet to make: it says so, stops, and is made new by `restore`."""

    async def story() -> None:
        before, store = outstanding(free), MemoryStore()
        seeded = {"seed": "env:SEED", "secrets": {"env:SEED": new_words()}}
        async with wallet(free) as hers, wallet(free, store=store, **seeded) as mine:
            await hers.fund(2_000)
            await mine.fund(4_000)
            backup = copied(store)
            await mine.rail.receive(await hers.token(700), key="in")
            await hers.rail.receive(await mine.token(1_500), key="out")
            held = await mine.held()
            async with wallet(free, store=backup, **seeded) as old:
                assert await old.held() == 4_000
                await old.round()
                status = await old.rail.status()
                assert status.state is RailState.ROLLED_BACK
                assert "restore" in status.detail
                # Even so nothing is derived anew over what exists: a token that comes in now is safe.
                await old.rail.receive(await hers.token(100), key="after")
                await command(old, free, "restore", gap="2")
                checked = await command(old, free, "check")
                assert checked["mints"][0]["lost_msat"] > 0
                old.rail.watch._tidied_at = None
                await old.round()
                assert (await old.rail.status()).state is RailState.READY
                assert await old.held() == held + 100
                assert outstanding(free) - before == await old.held() + await hers.held()

    asyncio.run(story())


def test_a_purse_is_of_one_seed(free: Nutshell) -> None:
    """Another seed, words that are none, or none at all: the rail is locked, and says what to do."""

    async def story() -> None:
        store = MemoryStore()
        async with wallet(free, store=store, seed="env:SEED", secrets={"env:SEED": WORDS}) as mine:
            await mine.fund(100)
            assert (await mine.purse.open()).seed.identity == Seed(WORDS).identity
        for secrets, why in (
            ({"env:SEED": new_words()}, "not that of this purse"),
            ({}, "nothing is at"),
            ({"env:SEED": "twelve words"}, "BIP-39"),
        ):
            async with wallet(free, store=store, seed="env:SEED", secrets=secrets) as other:
                status = await other.rail.status()
                assert status.state is RailState.LOCKED
                assert why in status.detail
                with pytest.raises(RailUnavailable, match=why):
                    await other.rail.invoice(Msat(SAT), "", key="x")
        # Nor is a new one made where the old one is only out of sight.
        async with wallet(free, store=store) as other:
            assert "say where it is" in (await other.rail.status()).detail
            assert await store.get("seed") is None

    asyncio.run(story())


def test_a_seed_is_made_and_shown_to_who_asks(free: Nutshell) -> None:
    async def story() -> None:
        async with wallet(free) as mine:
            config = configure(arbstr_wallet_cashu, table(free))
            seed = next(each for each in arbstr_wallet_cashu.arbstr_commands(config, mine.tools) if each.name == "seed")
            shown = await seed.run({})
            assert shown["purse"] == Seed(shown["words"]).identity == (await mine.purse.open()).seed.identity
            assert await seed.run({}) == shown

    asyncio.run(story())


def test_two_processes_share_a_purse(free: Nutshell, postgres_url: str, tmp_path: Any) -> None:
    """Both pay, take and tidy at once, on one database: no coin is taken twice, no counter used twice."""

    async def story() -> None:
        before = outstanding(free)
        async with (
            shared(postgres_url, tmp_path) as stores,
            wallet(free) as hers,
            wallet(free, store=stores[0]) as one,
            wallet(free, store=stores[1]) as two,
        ):
            await hers.fund(20_000)
            await one.fund(20_000)
            await two.purse.open()
            held = await one.held()
            given = [await hers.token(37 + at) for at in range(4)]

            async def busy(mine: Wallet, name: str) -> list[str]:
                out = [mine.token(61 + at, key=f"{name}-{at}") for at in range(4)]
                took = [
                    mine.again(partial(mine.rail.receive, token, key=f"{name}-take-{at}"))
                    for at, token in enumerate(given)
                ]
                # Meanwhile the watch takes what is open for interrupted, and does it as well.
                nosy = [mine.rail.watch.go_on() for _ in range(3)]
                done = await asyncio.gather(*out, *nosy, *took, return_exceptions=True)
                assert not [each for each in done if isinstance(each, Exception) and not isinstance(each, BadRequest)]
                return [each for each in done if isinstance(each, str)]

            tokens = [*await asyncio.gather(busy(one, "one"), busy(two, "two"))]
            sent = sum(61 + at for at in range(4)) * 2
            got = sum(37 + at for at in range(4))
            assert len(tokens[0]) == len(tokens[1]) == 4
            assert await one.held() == await two.held() == held - sent + got
            for at, token in enumerate([*tokens[0], *tokens[1]]):
                await hers.rail.receive(token, key=f"back-{at}")
            assert outstanding(free) - before == await one.held() + await hers.held()

    asyncio.run(story())
