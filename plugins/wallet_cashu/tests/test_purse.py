"""Ecash in and out over real mints: not one satoshi is lost or made, and the mint says the same as the purse."""

from __future__ import annotations

import asyncio
import base64

import cbor2
import pytest
from arbstr_wallet_cashu._nutshell import Nutshell
from mints import outstanding
from purses import SAT, wallet, worth

from arbstr_core.api import (
    BadRequest,
    Conflict,
    Deposit,
    DepositKind,
    Failed,
    Msat,
    Paid,
    RailState,
    RailUnavailable,
)


async def came(rail, count: int) -> list[Deposit]:
    found: list[Deposit] = []
    async for deposit in rail.deposits(""):
        found.append(deposit)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("fee", ["free", "dear"])
def test_t25_deposits_and_payouts_balance(both: tuple[Nutshell, Nutshell], fee: str) -> None:
    """By mint quote and by token in, by token and by melt out: each msat is accounted for."""
    mint, other = both if fee == "free" else both[::-1]

    async def story() -> None:
        before = outstanding(mint)
        async with wallet(mint) as mine, wallet(mint) as hers:
            invoice = await mine.rail.invoice(Msat(5_000 * SAT), "a memo", key="in-1")
            await mine.collect()
            assert await mine.held() == 5_000
            # A token to her: she pays the mint's fee for taking it, we that for making it.
            first = await mine.pay(mine.token_target(700, "out-1"), "out-1")
            assert isinstance(first, Paid)
            assert worth(first.token) == 700
            assert await mine.held() == 5_000 - 700 - first.fee_msat // SAT
            took = await hers.rail.receive(first.token, key="take-1")
            assert took.amount_msat + took.fee_msat == 700 * SAT
            assert (took.fee_msat > 0) is (first.fee_msat > 0) is (fee == "dear")
            # And back.
            back = await mine.rail.receive(await hers.token(300), key="back-1")
            # Out over Lightning: what the mint reserved and did not use comes back as change.
            target = await mine.invoice_of(other, 1_000)
            quote = await mine.rail.quote(target, target.amount_msat)
            held = await mine.held()
            paid = await mine.pay(target, "melt-1")
            assert isinstance(paid, Paid)
            assert 0 < paid.fee_msat < quote.fee_limit_msat
            assert await mine.held() == held - 1_000 - paid.fee_msat // SAT
            assert await came(mine.rail, 2) == [
                Deposit(
                    reference=invoice.reference,
                    amount_msat=Msat(5_000 * SAT),
                    kind=DepositKind.INVOICE,
                    cursor="1",
                    key="in-1",
                ),
                back,
            ]
            assert [each.key for each in [out async for out in mine.rail.payments("")]] == ["out-1", "melt-1"]
            assert outstanding(mint) - before == await mine.held() + await hers.held()

    asyncio.run(story())


def test_two_mints_are_two_places(both: tuple[Nutshell, Nutshell]) -> None:
    async def story() -> None:
        async with wallet(*both) as mine:
            await mine.fund(1_000, 0)
            await mine.fund(2_000, 1)
            assert (await mine.held(0), await mine.held(1), await mine.held()) == (1_000, 2_000, 3_000)
            # The first has not enough, the second has; nothing is moved between them.
            token = await mine.token(1_500)
            assert f"{both[1].port}" in (await mine.rail.appraise(token)).mint
            assert await mine.held(0) == 1_000
            named = await mine.token(100, mint=both[0].url + "/")
            assert (await mine.rail.appraise(named)).mint == both[0].url
            with pytest.raises(BadRequest, match="not issued here"):
                await mine.pay(mine.token_target(10, "x", mint="https://mint.example"), "x")
            too_much = await mine.pay(mine.token_target(2_500, "y"), "y", limit=10)
            assert isinstance(too_much, Failed)
            assert "2500 are to be paid" in too_much.reason
            for far in (mine.token_target(2_500, "z"), await mine.invoice_of(both[0], 2_500)):
                with pytest.raises(RailUnavailable, match=r"too little|can spend now"):
                    await mine.rail.quote(far, far.amount_msat)
            assert (await mine.rail.limits()).mints == tuple(mint.url for mint in both)

    asyncio.run(story())


def test_a_token_is_for_who_it_is_locked_to(both: tuple[Nutshell, Nutshell]) -> None:
    """NUT-11: only she can redeem it; we cannot take it back until it is time, and then we can."""

    async def story(mint: Nutshell) -> None:
        before = outstanding(mint)
        async with wallet(mint) as mine, wallet(mint) as hers, wallet(mint) as thief:
            await mine.fund(1_000)
            key = (await hers.purse.open()).seed.identity
            token = await mine.token(100, "out-1", lock=key)
            with pytest.raises(BadRequest, match="locked"):
                await thief.rail.receive(token, key="steal")
            with pytest.raises(Conflict, match="for good"):
                await mine.rail.reclaim(ref(mine, 100, "out-1", lock=key), key="back")
            assert (await hers.rail.appraise(token)).locked
            took = await hers.rail.receive(token, key="take")
            assert took.amount_msat + took.fee_msat == 100 * SAT
            # Locked until a moment ago: hers or ours.
            lock = {"lock": key, "refund_ms": mine.purse.clock.now_ms() - 5_000}
            await mine.token(50, "out-2", **lock)
            back = await mine.rail.reclaim(ref(mine, 50, "out-2", **lock), key="back-2")
            assert back.kind is DepositKind.RECLAIMED
            later = {"lock": key, "refund_ms": mine.purse.clock.now_ms() + 3_600_000}
            await mine.token(50, "out-3", **later)
            with pytest.raises(Exception, match="locked until"):
                await mine.rail.reclaim(ref(mine, 50, "out-3", **later), key="back-3")
            with pytest.raises(BadRequest, match="no public key"):
                await mine.pay(mine.token_target(5, "bad", lock="zz"), "bad")
            assert outstanding(mint) - before == await mine.held() + await hers.held() + 50

    for mint in both:
        asyncio.run(story(mint))


def test_what_is_asked_for_covers_the_fee(dear: Nutshell) -> None:
    """NUT-18: whoever pays just what the text asks for leaves us at least what we wanted."""

    async def story() -> None:
        async with wallet(dear) as mine, wallet(dear) as hers:
            await hers.fund(2_000)
            await mine.purse.open()
            await mine.purse.places.all[0].ready()
            for wanted in (1, 7, 100, 1_023):
                text = await mine.rail.ecash_request(Msat(wanted * SAT), "a call")
                asked = cbor2.loads(base64.urlsafe_b64decode(text[5:] + "=" * (-len(text[5:]) % 4)))
                assert (asked["m"], asked["u"], asked["d"]) == ([dear.url], "sat", "a call")
                got = await mine.rail.receive(await hers.token(asked["a"]), key=f"asked-{wanted}")
                assert wanted * SAT <= got.amount_msat <= (wanted + 1) * SAT
            with pytest.raises(BadRequest, match="whole sats"):
                await mine.rail.ecash_request(Msat(1), "")

    asyncio.run(story())


def ref(mine, sat: int, key: str, **more):
    from arbstr_core.api import PaymentRef

    return PaymentRef(key=key, target=mine.token_target(sat, key, **more), fee_limit_msat=Msat(0))


def test_the_status_says_how_it_is(free: Nutshell) -> None:
    async def story() -> None:
        async with wallet(free) as mine:
            status = await mine.rail.status()
            assert status.state is RailState.READY
            assert len(status.identity) == 66

    asyncio.run(story())
