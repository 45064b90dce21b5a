"""The request log: rows arrive in bunches on both databases, and one odd row costs no other."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
import sqlalchemy as sa

from arbstr_core.journal import CallRow, Journal, schema
from arbstr_core.storage import Database
from arbstr_core.testing import FakeClock


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return "sqlite:///arbstr.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def row(id: str, model: str = "m") -> CallRow:
    return CallRow(id=id, agent="ag_1", model=model, status=200, outcome="settled", charged_msat=2**40)


def models(connection: sa.Connection) -> list[str]:
    return [found[0] for found in connection.exec_driver_sql("SELECT model FROM request_log ORDER BY id")]


def test_odd_names_cost_nobody_s_row(tmp_path: Path, url: str) -> None:
    async def story() -> None:
        db = Database.open(url, data_dir=tmp_path, clock=FakeClock(), schemas=[schema()])
        log = Journal(db, FakeClock())
        for n, model in enumerate(("m", "a\0b", "\ud800", 'quote"\\{},', "")):
            log.note(row(f"req_{n}", model))
        await log.flush()
        assert log.dropped == 0
        assert await db.read(models) == ["m", "a\ufffdb", "?", 'quote"\\{},', ""]
        await db.close()

    asyncio.run(story())


def test_rows_that_are_refused_are_counted(tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        db = Database.open(url, data_dir=tmp_path, clock=FakeClock(), schemas=[schema()])
        log = Journal(db, FakeClock())
        for _ in range(2):
            log.note(row("req_1"))
            await log.flush()
        log.note(row("req_2"))
        await log.flush()
        assert log.dropped == 1
        assert await db.read(models) == ["m", "m"]
        await db.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    assert "1 rows of the request log are lost" in caplog.text


def test_what_is_too_old_is_dropped_a_little_at_a_time(tmp_path: Path, url: str) -> None:
    day = 86_400_000

    async def story() -> None:
        clock = FakeClock()
        db = Database.open(url, data_dir=tmp_path, clock=clock, schemas=[schema()])
        log = Journal(db, clock, keep_days=30)
        now = clock.now_ms()
        for n, age in enumerate([90, 31] * 300 + [29, 0]):
            log.note(row(f"req_{now - age * day:012x}{n:016x}", model=f"{age}"))
        log.note(row("req_odd", model="odd"))
        await log.flush()
        before = now - 30 * day
        assert [await log.prune(before) for _ in range(2)] == [False, True]
        assert await db.read(models) == ["29", "0", "odd"]
        assert await log.prune(before)
        await db.close()
        assert await log.prune(before), "a database that is gone is a line in the log"

    asyncio.run(story())


def test_the_background_drops_what_is_too_old(tmp_path: Path) -> None:
    async def story() -> None:
        clock = FakeClock()
        db = Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock, schemas=[schema()])
        log = Journal(db, clock, keep_days=1)
        working = asyncio.create_task(log.run())
        log.note(row(f"req_{clock.now_ms() - 2 * 86_400_000:012x}", model="old"))
        log.note(row(f"req_{clock.now_ms() + 10**12:012x}", model="new"))
        # Virtual time flies meanwhile.
        while await db.read(models) != ["new"]:
            assert not working.done()
            await asyncio.sleep(0.001)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await db.close()

    asyncio.run(story())
