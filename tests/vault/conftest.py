"""A vault on a real database file, a clock that stands still, and short ways to say what a call does."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from arbstr_core.storage import Database
from arbstr_core.vault import AgentRecord, HoldRequest, Limits, NewAgent, ProviderCost, Settlement, Vault, schema

RECEIPT = b'{"reasons":["cheapest"]}'


class StillClock:
    """Time that moves when told to."""

    ms = 1_750_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Bench:
    """What the tests of this folder work with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "arbstr.db"
        self.clock = StillClock()
        self.made = 0

    @asynccontextmanager
    async def vault(self, boot_id: str = "boot-1", **more: Any) -> AsyncIterator[Vault]:
        """An open vault."""
        db = Database.open("sqlite:///arbstr.db", data_dir=self.folder, clock=self.clock, schemas=[schema()], **more)
        try:
            yield Vault(db, boot_id=boot_id)
        finally:
            await db.close()

    async def agent(
        self,
        vault: Vault,
        name: str = "alice",
        *,
        fund: int = 10_000,
        max_charge: int | None = 5_000,
        daily: int | None = 8_000,
    ) -> AgentRecord:
        """An agent with simulated money."""
        return await vault.create_agent(
            NewAgent(
                id=f"ag_{name}",
                name=name,
                realm="sim",
                token_hash=self.token(name),
                limits=Limits(max_charge_msat=max_charge, daily_msat=daily),
                fund_msat=fund,
                rail="simulated",
            )
        )

    def token(self, name: str) -> bytes:
        """The hash of a token."""
        return hashlib.sha256(name.encode()).digest()

    def request(self, *ceilings: int, agent: str = "ag_alice", id: str = "", candidates: bytes = b"[]") -> HoldRequest:
        """A request with an id of its own, unless one is given."""
        self.made += 1
        name = id or f"req_{self.clock.ms:012x}{self.made:016x}"
        return HoldRequest(id=name, agent=agent, ceilings=ceilings, candidates=candidates, model="m")

    def settlement(self, id: str, charge: int, *costs: tuple[str, int, bool]) -> Settlement:
        """The end of a call."""
        made = tuple(ProviderCost(provider=name, cost_msat=msat, served=served) for name, msat, served in costs)
        return Settlement(id=id, charge_msat=charge, costs=made, receipt=RECEIPT)

    def tamper(self, *statements: str) -> None:
        """Run SQL on the file behind the vault's back."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the file behind the vault's back."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="session")
def new_bench() -> type[Bench]:
    """For tests that need a fresh one for each example."""
    return Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
