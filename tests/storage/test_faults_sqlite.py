"""A SQLite file that cannot be written, is locked, or is gone: refused with a sentence, and nothing is half written."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from notes import NOTES, Settle, Write, count

from arbstr_core.storage import Operation, Statement
from arbstr_core.types import StorageError


def test_a_full_disk_acknowledges_nothing_and_passes(opened):
    class Cap(Operation[None]):
        def __init__(self, pages: int) -> None:
            self.pages = pages

        def run(self, tx: Any) -> None:
            tx.one(Statement(sa.text(f"PRAGMA max_page_count={self.pages}")), {})

    async def story():
        async with opened(schemas=[NOTES]) as db:
            await db.submit(Cap(1))
            futures = [db.submit(Write(n, "x" * 9000)) for n in range(5)]
            results = await asyncio.gather(*futures, return_exceptions=True)
            assert all(isinstance(result, StorageError) for result in results)
            assert "disk space" in str(results[0])
            assert await db.read(count) == 0
            await db.submit(Cap(1_000_000))
            await db.submit(Write(1, "x" * 9000))
            assert await db.read(count) == 1

    asyncio.run(story())


def test_a_locked_database_refuses_a_batch_at_once(opened, tmp_path):
    """One wait for all of them, not one for each."""

    async def story():
        async with opened(schemas=[NOTES]) as db:
            with closing(sqlite3.connect(tmp_path / "arbstr.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                begun = time.monotonic()
                told = await asyncio.gather(*(db.submit(Write(n)) for n in range(3)), return_exceptions=True)
                took = time.monotonic() - begun
                other.execute("ROLLBACK")
            assert [type(one) for one in told] == [StorageError] * 3
            assert all("close the other program" in str(one) for one in told)
            assert took < 9
            assert await db.submit(Write(9)) == 1
            assert await db.read(count) == 1

    asyncio.run(story())


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_database_that_is_gone_takes_no_writes(opened, tmp_path, how):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            await db.submit(Write(1))
            path = tmp_path / "arbstr.db"
            if how == "replaced":
                shutil.copy(path, tmp_path / "copy.db")
                os.replace(tmp_path / "copy.db", path)
            else:
                path.unlink()
            for n in (2, 3):
                told = await asyncio.gather(*(db.submit(Settle(10 * n + k)) for k in range(2)), return_exceptions=True)
                assert [type(one) for one in told] == [StorageError] * 2
                assert all("was deleted or replaced" in str(one) for one in told)
            if how == "deleted":
                with pytest.raises(StorageError, match="unable to open"):
                    await db.read(count)
                assert not path.exists()

    asyncio.run(story())
