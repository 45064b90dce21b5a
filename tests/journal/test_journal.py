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
