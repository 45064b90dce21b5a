"""A clock that stands still, databases in a folder of the test, and each test on both kinds of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from arbstr_core.storage import Database

Opener = Callable[..., AbstractAsyncContextManager[Database]]


class StillClock:
    """Time that moves when told to."""

    ms = 1_750_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@pytest.fixture
def postgres_url(postgres_empty_url: str) -> str:
    """Here tests make tables of their own."""
    return postgres_empty_url


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def opener(url: str, folder: Path, clock: StillClock) -> Opener:
    """What opens the database at `url`, and closes it."""

    @asynccontextmanager
    async def opened(data_dir: Path = folder, **more: Any) -> AsyncIterator[Database]:
        db = Database.open(url, data_dir=data_dir, clock=clock, **more)
        try:
            yield db
        finally:
            await db.close()

    return opened


@pytest.fixture
def opened(tmp_path: Path, clock: StillClock) -> Opener:
    """A SQLite file."""
    return opener("sqlite:///arbstr.db", tmp_path, clock)


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path, clock: StillClock) -> Opener:
    """Each kind of database."""
    url = "sqlite:///arbstr.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return opener(url, tmp_path, clock)
