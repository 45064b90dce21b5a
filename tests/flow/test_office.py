"""One process at a time moves money: the others wait, and one that slept too long has lost its turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from arbstr_core.flow import Office
from arbstr_core.storage import Database
from arbstr_core.testing import FakeClock
from arbstr_core.types import Deposit, DepositKind, Msat
from arbstr_core.vault import LostTurn, NewRequest, Purpose, RequestKind, Requests, Treasury, Turn, Vault, schema


def test_one_office_at_a_time_has_the_job(tmp_path: Path) -> None:
    async def story() -> None:
        clock = FakeClock()
        db = Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock, schemas=[schema()])

        def office(boot: str) -> tuple[Office, Treasury]:
            treasury = Treasury(db, boot_id=boot)
            return Office(Vault(db, boot_id=boot), treasury, clock, seconds=30), treasury

        async def credit(treasury: Treasury, turn: Turn, reference: str) -> bool:
            came = Deposit(reference=reference, amount_msat=Msat(5), kind=DepositKind.INVOICE, cursor=reference)
            return await treasury.credit(turn, "lnd", "sim", came, owner=None, stream=True)

        one, ours = office("one")
        other, theirs = office("other")
        first = await one.turn()
        assert first is not None
        assert await other.turn() is None
        clock.advance(20)
        assert await one.turn() == first, "it is renewed at half of its time"
        clock.advance(20)
        assert await other.turn() is None
        clock.advance(31)
        taken = await other.turn()
        assert taken is not None
        assert taken.fence > first.fence
        with pytest.raises(LostTurn):
            await credit(ours, first, "1")
        assert await credit(theirs, taken, "1")
        one.lost()
        assert await one.turn() is None
        await other.leave()
        assert await one.turn() is not None
        await db.close()

    asyncio.run(story())


def test_whoever_is_told_of_all_rests_until_something_is_due(tmp_path: Path) -> None:
    async def story() -> None:
        clock = FakeClock()
        db = Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock, schemas=[schema()])
        treasury, vault = Treasury(db, boot_id="one"), Vault(db, boot_id="one")
        requests = Requests(db)
        office = Office(vault, treasury, clock, alone=True)
        assert await Office(vault, treasury, clock).rest_seconds(0.5) == 0.5, "others may write meanwhile"
        assert await office.rest_seconds(0.5) == 5.0, "nothing is due, ever"
        await requests.open(a_request("req_1"))
        assert await office.rest_seconds(0.5) == 0.5, "it is due now"
        await treasury.postpone_request("req_1", "the rail is away", wait_ms=2_000)
        assert await office.rest_seconds(0.5) == 2.0
        await treasury.postpone_request("req_1", "the rail is away", wait_ms=60_000)
        assert await office.rest_seconds(0.5) == 5.0
        assert await office.rest_seconds(10) == 10
        await db.close()

    asyncio.run(story())


def a_request(id: str) -> NewRequest:
    return NewRequest(
        id=id, kind=RequestKind.INVOICE, purpose=Purpose.CAPITAL, realm="sim", rail="sim", amount_msat=5, subject=id
    )
