"""Calls paid with a token: redeemed once and only if it suffices; its change is made once, whatever dies in between."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from house import until
from till import Counter, Fuse, Till, counter, told

from arbstr_core.api import Failed, PaidByToken, RailUnavailable, Secret, Unit, Unknown
from arbstr_core.flow._remedies import Remedies
from arbstr_core.types import Conflict, InsufficientFunds, NotFound, StorageError
from arbstr_core.vault import Granted, HoldRequest, Settlement

TOKEN, WORTH, COST = "tok-50500", 50_500, 7_300


def key_of(token: str) -> str:
    """By what a call that a token pays is known."""
    return hashlib.sha256(token.encode()).hexdigest()


KEY = key_of(TOKEN)
PAID = PaidByToken(token=Secret(TOKEN), header="x-cashu")


class NoRemedies:
    """There is nothing to be done about a token that is worth too little."""

    async def hold(self, quotes: Any, refused: Any) -> Any:
        return quotes, refused


def priced(msat: int) -> Any:
    return (SimpleNamespace(ceiling_msat=msat),)


async def called(desk: Counter, *, cost: int = COST, ceiling: int = 20_000, token: str = TOKEN) -> str:
    """What a call does with its money; its change."""
    single = desk.singles.single(PaidByToken(token=Secret(token), header="x-cashu"))
    await single.read()
    await single.pay(priced(ceiling), cast(Remedies, NoRemedies()))
    request = HoldRequest(
        id=f"req_{single.key[:8]}", agent=single.caller.agent, ceilings=(ceiling,), candidates=b"[]", model="m"
    )
    granted = await desk.vault.hold(request)
    assert isinstance(granted, Granted), granted
    await desk.vault.settle(Settlement(id=request.id, charge_msat=cost, costs=(), receipt=b"{}"))
    single.ended()
    return await single.change()


async def claimed(desk: Counter, key: str = KEY) -> dict[str, Any]:
    """What became of the token, once there is nothing more to come."""

    async def over() -> dict[str, Any] | None:
        await desk.singles.sweep()
        found = await desk.singles.claim(key)
        return found if found["state"] in ("ready", "nothing", "refused") else None

    return await until(over, 30)


def test_a_call_gets_its_change_in_whole_sats_once(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        change = await called(desk)
        assert change.startswith("tok-43000-")
        found = await claimed(desk)
        assert (found["token"], found["amount_msat"], found["left_msat"]) == (change, 43_000, 200)
        assert found["paid_msat"] == WORTH
        await desk.singles.open_change(KEY)
        await desk.singles.sweep()
        assert len(till.issued) == 1
        assert till.balance_msat == COST + 200

    told(tmp_path, story)


def test_making_change_is_paid_for_out_of_it(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        till.fee = 1_200
        change = await called(desk)
        assert change.startswith("tok-42000-")
        assert (await claimed(desk))["left_msat"] == WORTH - COST - 42_000 - 600
        assert (await desk.treasury.owed())["sim"].assets["till"] == till.balance_msat

    told(tmp_path, story)


def test_less_than_a_sat_is_no_change(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        assert await called(desk, cost=WORTH - 900, ceiling=WORTH) == ""
        assert (await claimed(desk))["state"] == "nothing"
        assert till.issued == {}

    told(tmp_path, story)


def test_what_is_too_little_for_change_keeps_nobody_from_his(tmp_path: Path) -> None:
    """There are ever more of such, for months; and a process that dies between the end of a call and its change."""

    async def story() -> None:
        till = Till()
        till.fee = 2_000
        async with counter(tmp_path, till) as desk:
            *little, last = sorted((f"{TOKEN}-{number}" for number in range(102)), key=key_of)
            for token in little:
                assert await called(desk, cost=49_000, ceiling=50_000, token=token) == ""
            desk.singles.ended = lambda key: None  # type: ignore[method-assign]
            desk.singles.change = dying  # type: ignore[method-assign]
            with pytest.raises(asyncio.CancelledError):
                await called(desk, token=last)
        async with counter(tmp_path, till, boot="b2") as desk:
            assert (await claimed(desk, key_of(last)))["amount_msat"] == 41_000

    asyncio.run(story())


async def dying(key: str) -> str:
    raise asyncio.CancelledError


def test_a_token_that_is_worth_too_little_is_not_redeemed(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        with pytest.raises(InsufficientFunds, match="was not redeemed") as refused:
            await called(desk, ceiling=WORTH + 1)
        assert (refused.value.needed_msat, refused.value.available_msat) == (WORTH + 1, WORTH)
        assert till.came == []
        assert till.calls == []
        with pytest.raises(NotFound):
            await desk.singles.claim(KEY)
        await called(desk)

    told(tmp_path, story)


def test_t21_a_token_pays_for_one_call_however_often_it_comes(tmp_path: Path) -> None:
    """Twenty at once, and one after; and the same coins as a deposit."""

    async def story(desk: Counter, till: Till) -> None:
        outcomes = await asyncio.gather(*(called(desk) for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(each, Conflict) for each in outcomes) == 19
        assert len(till.came) == len(till.issued) == 1
        with pytest.raises(Conflict, match=f"/v1/change/{KEY}"):
            await called(desk)
        with pytest.raises(Conflict, match="handed in before"):
            await desk.flow.hand_in(await desk.agent(), TOKEN)

    told(tmp_path, story)


def test_change_that_its_rail_did_not_make_is_made_again(tmp_path: Path) -> None:
    """With evidence that it failed; while that is not known, nothing else is begun."""

    async def story(desk: Counter, till: Till) -> None:
        till.says = [Failed(reason="the mint rotates its keys", evidence="it says so"), Unknown(reason="no answer")]
        change = await called(desk)
        assert change.startswith("tok-43000-")
        assert len(till.issued) == 2
        assert till.balance_msat == COST + 200

    told(tmp_path, story, unit=Unit.SAT)


@pytest.mark.parametrize(
    ("done", "stride"),
    [
        *((False, 3), (True, 3)),
        *(pytest.param(done, 1, marks=pytest.mark.campaign) for done in (False, True)),
    ],
)
def test_a_crash_anywhere_loses_no_sat_and_makes_none(tmp_path: Path, done: bool, stride: int) -> None:
    """The process dies at its first step, at its second, and so on, until a call comes through unharmed. After each
    death the token is unspent, or all of it is there: what the call cost, its change, less than a sat of rest."""

    async def story(at: int) -> bool:
        till, folder = Till(), tmp_path / str(at)
        folder.mkdir()
        fuse = Fuse(at, done=done)
        async with counter(folder, till, fuse=fuse) as desk:
            call = asyncio.create_task(called(desk))
            blown = asyncio.create_task(fuse.blown.wait())
            await asyncio.wait({call, blown}, return_when=asyncio.FIRST_COMPLETED)
            # A process that is killed does not say good-bye.
            unharmed = not fuse.blown.is_set()
            for task in (call, blown):
                task.cancel()
            await asyncio.gather(call, blown, return_exceptions=True)
        async with counter(folder, till, boot="b2", idle_seconds=0) as desk:
            await desk.vault.sweep_orphans()
            try:
                found = await claimed(desk)
            except NotFound:
                assert till.came == []
                return unharmed
            charged = WORTH - found["amount_msat"] - found["left_msat"]
            assert charged in (0, COST)
            assert found["left_msat"] < 1_000
            assert len(till.issued) == 1
            asset = (await desk.treasury.owed())["sim"].assets["till"]
            assert asset == till.balance_msat == charged + found["left_msat"]
        return unharmed

    async def until_unharmed() -> int:
        for at in range(1 + done * (stride - 1), 100, stride):
            if await story(at):
                return at
        raise AssertionError("it never came through")

    assert asyncio.run(until_unharmed()) > 10


def test_a_mint_that_takes_long_is_waited_for_by_the_claim(tmp_path: Path) -> None:
    """The call is refused; what it paid comes back whole."""

    async def story() -> None:
        till = Till()
        async with counter(tmp_path, till, idle_seconds=0) as desk:
            till.fails = [RailUnavailable("it is slow")] * 3
            waiting = asyncio.create_task(called(desk))

            async def asked() -> bool:
                try:
                    return (await desk.singles.claim(KEY))["state"] == "redeeming"
                except NotFound:
                    return False

            await until(asked, 30)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

            async def back() -> dict[str, Any] | None:
                await desk.singles.sweep()
                found = await desk.singles.claim(KEY)
                return found if found["state"] == "ready" else None

            assert (await until(back, 30))["amount_msat"] == 50_000

    asyncio.run(story())


def test_what_cannot_be_written_down_is_not_redeemed(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        await desk.vault._db.close()
        with pytest.raises(StorageError):
            await called(desk)
        assert till.came == []

    async def main() -> None:
        till = Till()
        async with counter(tmp_path, till, runs=False, fuse=Fuse(10**9, done=False)) as desk:
            await story(desk, till)

    asyncio.run(main())
