"""A SQLite file that cannot be written, is locked, or is gone: refused with a sentence, and nothing is half written."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from notes import NOTE, NOTES, Poison, Settle, Write, count

from arbstr_core.storage import Database, Operation, Statement
from arbstr_core.types import StorageError

LENGTHS = Statement(sa.select(sa.func.sum(sa.func.length(NOTE.c.text))))


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
                told = await asyncio.gather(*(db.submit(Write(n)) for n in range(10)), return_exceptions=True)
                took = time.monotonic() - begun
                other.execute("ROLLBACK")
            assert [type(one) for one in told] == [StorageError] * 10
            assert all("close the other program" in str(one) for one in told)
            # Each wait is of five seconds.
            assert took < 20
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


FILL = """
import asyncio, pathlib, resource, signal, sys
sys.path.insert(0, sys.argv[2])
from notes import NOTES, Write, count
from arbstr_core.storage import Database
class Clock:
    def now_ms(self): return 0
async def fill():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    db = Database.open("sqlite:///arbstr.db", data_dir=pathlib.Path(sys.argv[1]), clock=Clock(), schemas=[NOTES])
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    done, n = 0, 0
    while True:
        told = await asyncio.gather(*(db.submit(Write(n + k, "x" * 9000)) for k in range(5)), return_exceptions=True)
        n += 5
        if any(isinstance(each, BaseException) for each in told):
            break
        done += 5
    assert all(isinstance(each, BaseException) for each in told), told
    print(type(told[0]).__name__, told[0])
    print(done, await db.read(count))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await db.submit(Write(n, "there is room again"))
    print(await db.read(count))
    await db.close()
asyncio.run(fill())
"""


def test_a_file_that_cannot_grow_loses_nothing_and_passes(opened, tmp_path):
    """The kernel says so in the middle of a write, as a full disk does."""
    words = [sys.executable, "-c", FILL, str(tmp_path), str(Path(__file__).parents[1])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    refusal, counts, after = done.stdout.splitlines()
    assert refusal.startswith(("NotCommitted", "StorageError"))
    acknowledged, there = counts.split()
    assert acknowledged == there
    assert int(acknowledged) >= 5
    assert after == str(int(there) + 1)

    async def story():
        async with opened(schemas=[NOTES]) as db:
            assert await db.read(count) == int(after)
            assert (await db.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar())) == "ok"

    asyncio.run(story())


def test_a_database_that_became_read_only_refuses_and_passes(opened, tmp_path):
    """As a file system does that the kernel mounts anew, read-only, after an error of the disk."""

    def only(db, on: bool) -> None:
        db._link._connection.execute(f"PRAGMA query_only={int(on)}")

    async def story():
        async with opened(schemas=[NOTES]) as db:
            await db.submit(Write(1))
            only(db, True)
            told = await asyncio.gather(*(db.submit(Settle(n)) for n in range(2, 5)), return_exceptions=True)
            assert [type(each) for each in told] == [StorageError] * 3
            assert "writable" in str(told[0])
            assert await db.read(count) == 1
            only(db, False)
            assert await db.submit(Write(2)) == 1

    asyncio.run(story())


def test_a_folder_nobody_may_write_in_is_said_so(tmp_path, clock):
    with pytest.raises(StorageError, match=r"/proc/arbstr.db.lock cannot be opened .*: check its folder"):
        Database.open("sqlite:////proc/arbstr.db", data_dir=tmp_path, clock=clock)


def test_a_damaged_page_is_said_so_and_spoils_nothing_else(opened, tmp_path):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            for n in range(200):
                await db.submit(Write(n, "x" * 900))
        content = bytearray((tmp_path / "arbstr.db").read_bytes())
        pages = len(content) // 4096
        content[(pages - 8) * 4096 : (pages - 7) * 4096] = b"\xff" * 4096
        (tmp_path / "arbstr.db").write_bytes(content)
        async with opened(schemas=[NOTES]) as db:
            with pytest.raises(StorageError, match="restore a backup"):
                await db.read(lambda c: c.exec_driver_sql("SELECT sum(length(text)) FROM note").scalar())
            told = await asyncio.gather(
                *(db.submit(Poison(lambda tx: tx.all(LENGTHS, {}))) for _ in range(2)),
                db.submit(Write(1000)),
                return_exceptions=True,
            )
            assert [isinstance(each, StorageError) for each in told[:2]] == [True, True]
            assert "restore a backup" in str(told[0])

    asyncio.run(story())
