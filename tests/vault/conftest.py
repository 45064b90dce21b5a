"""A vault on a real database, a clock that stands still, and short ways to say what a call does.

`bench` is on a SQLite file; `any_bench` makes a test run on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from arbstr_core.storage import Database, Dialect, is_postgresql
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

    def __init__(self, folder: Path, url: str = "sqlite:///arbstr.db") -> None:
        self.folder = folder
        self.path = folder / "arbstr.db"
        self.url = url
        self.dialect = Dialect.POSTGRESQL if is_postgresql(url) else Dialect.SQLITE
        self.clock = StillClock()
        self.made = 0

    @asynccontextmanager
    async def vault(self, boot_id: str = "boot-1", **more: Any) -> AsyncIterator[Vault]:
        """An open vault."""
        async with self.database(boot_id, **more) as db:
            yield Vault(db, boot_id=boot_id)

    @asynccontextmanager
    async def database(self, boot_id: str = "boot-1", **more: Any) -> AsyncIterator[Database]:
        """The open database."""
        # Processes on PostgreSQL have a folder of their own each.
        folder = self.folder if self.dialect is Dialect.SQLITE else self.folder / boot_id
        folder.mkdir(exist_ok=True)
        db = Database.open(self.url, data_dir=folder, clock=self.clock, schemas=[schema()], **more)
        try:
            yield db
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
        """Run SQL on the database behind the vault's back."""
        with self._raw() as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database behind the vault's back."""
        with self._raw() as connection:
            return connection.execute(query).fetchall()

    def tamper_unguarded(self, *statements: str) -> None:
        """As `tamper`, with guards and foreign keys out of the way meanwhile; all or nothing."""
        with self._raw() as connection:
            if self.dialect is Dialect.POSTGRESQL:
                statements = ("SET LOCAL session_replication_role = 'replica'", *statements)
            else:
                kept = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
                statements = (*(f"DROP TRIGGER {name}" for name, _ in kept), *statements, *(sql for _, sql in kept))
            connection.execute("BEGIN")
            try:
                for statement in statements:
                    connection.execute(statement)
                connection.execute("COMMIT")
            finally:
                if self.dialect is Dialect.POSTGRESQL or connection.in_transaction:
                    connection.execute("ROLLBACK")

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What the database raises where it refuses a change."""
        if self.dialect is Dialect.SQLITE:
            return (sqlite3.IntegrityError,)
        import psycopg

        return (psycopg.errors.IntegrityError, psycopg.errors.RestrictViolation)

    @property
    def errors(self) -> type[Exception]:
        """All that the driver raises."""
        if self.dialect is Dialect.SQLITE:
            return sqlite3.Error
        import psycopg

        return psycopg.Error

    @contextmanager
    def _raw(self) -> Iterator[Any]:
        if self.dialect is Dialect.SQLITE:
            made: Any = sqlite3.connect(self.path, isolation_level=None)
        else:
            import psycopg

            made = psycopg.connect(self.url, autocommit=True)
        with closing(made) as connection:
            yield connection


@pytest.fixture(scope="session")
def new_bench() -> type[Bench]:
    """For tests that need a fresh one for each example."""
    return Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "sqlite":
        return Bench(tmp_path)
    return Bench(tmp_path, request.getfixturevalue("postgres_url"))
