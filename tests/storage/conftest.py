"""A clock that stands still, and databases in a folder of the test."""

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
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def opened(tmp_path: Path, clock: StillClock) -> Opener:
    @asynccontextmanager
    async def opener(**more: Any) -> AsyncIterator[Database]:
        db = Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock, **more)
        try:
            yield db
        finally:
            await db.close()

    return opener
