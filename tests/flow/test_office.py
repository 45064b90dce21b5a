"""One process at a time moves money: the others wait, and one that slept too long has lost its turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from arbstr_core.flow import Office
from arbstr_core.storage import Database
from arbstr_core.testing import FakeClock
from arbstr_core.types import Deposit, DepositKind, Msat
from arbstr_core.vault import LostTurn, Treasury, Turn, Vault, schema


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
