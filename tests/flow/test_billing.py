"""Reservations that nobody speaks of are ended beside the calls, for as long as arbstr runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arbstr_core.accounts import Accounts, new_token, token_hash
from arbstr_core.flow import BillingFlow
from arbstr_core.storage import Database
from arbstr_core.types import Caller, StorageError
from arbstr_core.vault import History, Limits, NewAgent, Vault, schema


class Clock:
    """Sleeps at once, and does what the test has for each time."""

    def __init__(self) -> None:
        self.ms = 1_750_000_000_000
        self.then: list[Callable[[], Any]] = []

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
        if not self.then:
            raise asyncio.CancelledError
        self.then.pop(0)()


def test_old_reservations_end_while_arbstr_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before their time; and a database that fails once does not end the work."""

    async def story() -> None:
        clock = Clock()
        db = Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock, schemas=[schema()])
        vault, history, token = Vault(db, boot_id="b"), History(db), new_token()
        wide = Limits(max_charge_msat=10**6, daily_msat=10**6)
        await vault.create_agent(
            NewAgent(
                id="ag_a",
                name="a",
                realm="sim",
                token_hash=token_hash(token),
                limits=wide,
                fund_msat=1_000,
                rail="simulated",
            )
        )

        async def find(digest: bytes) -> Caller | None:
            return Caller(agent="ag_a", name="a", realm="sim") if digest == token_hash(token) else None

        billing = BillingFlow(vault, history, Accounts(find), clock, reservation_seconds=75)
        made = await billing.reserve(token, 600, "c", "m")
        asked = []
        end = vault.end_old_reservations

        async def ended(age_seconds: float) -> int:
            asked.append(clock.ms)
            if len(asked) == 2:
                raise StorageError("the disk is full")
            return await end(age_seconds)

        monkeypatch.setattr(vault, "end_old_reservations", ended)
        clock.then = [lambda: None] * 2
        with pytest.raises(asyncio.CancelledError):
            await billing.run()
        held = await history.hold(made["reservation_id"])
        assert held is not None
        assert held.state == "held"
        clock.then = [lambda: None]
        with pytest.raises(asyncio.CancelledError):
            await billing.run()
        gone = await history.hold(made["reservation_id"])
        assert gone is not None
        assert (gone.state, gone.orphaned, len(asked)) == ("released", True, 3)
        await db.close()

    asyncio.run(story())
