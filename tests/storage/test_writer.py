"""Group commit: what waits together is one transaction, and one bad operation does not spoil the others."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from arbstr_core.storage import (
    ConstraintFailed,
    Dialect,
    Migration,
    Operation,
    Schema,
    Statement,
    bulk_insert,
    constant,
    create,
    wide,
)
from arbstr_core.types import Overloaded, StorageError, VaultUnavailable

NOTE = wide(
    "note",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.Text, sa.CheckConstraint("text <> 'bad'"), nullable=False),
    sa.Column("at_ms", sa.Integer, nullable=False),
)
MAKE_NOTES = Migration(
    version=1, name="notes", sqlite=create(Dialect.SQLITE, NOTE), postgresql=create(Dialect.POSTGRESQL, NOTE)
)
NOTES = Schema(room="notes", migrations=(MAKE_NOTES,))
INSERT = bulk_insert(NOTE, ("id", "text", "at_ms"))
COUNT = Statement(sa.select(sa.func.count()).select_from(NOTE))


class Write(Operation[int]):
    """Writes one row; gives how many operations shared its transaction."""

    def __init__(self, id: int, text: str = "good") -> None:
        self.id = id
        self.text = text

    def run(self, tx: Any) -> int:
        if self.text == "fault":
            raise ValueError("faulty operation")
        tx.bulk(INSERT, [(self.id, self.text, tx.now_ms)])
        return len(tx.operations)


class Settle(Write):
    must = True


class Wait(Operation[None]):
    """Keeps the writer busy until told."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()

    def run(self, tx: Any) -> None:
        self.entered.set()
        assert self.go.wait(30)


class Die(Operation[None]):
    """Raises what no operation should."""

    def run(self, tx: Any) -> None:
        raise SystemExit("the thread ends")


def count(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(NOTE)).scalar_one())


def test_what_waits_together_shares_one_transaction(opened):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            wait = Wait()
            held = db.submit(wait)
            await asyncio.to_thread(wait.entered.wait, 30)
            futures = [db.submit(Write(n)) for n in range(10)]
            wait.go.set()
            await held
            assert await asyncio.gather(*futures) == [10] * 10
            assert await db.read(count) == 10

    asyncio.run(story())


@pytest.mark.parametrize(("poison", "error"), [("bad", ConstraintFailed), ("fault", ValueError)])
def test_one_poisoned_of_64_and_63_succeed(opened, poison, error):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            wait = Wait()
            held = db.submit(wait)
            futures = [db.submit(Write(n, poison if n == 17 else "good")) for n in range(64)]
            wait.go.set()
            results = await asyncio.gather(held, *futures, return_exceptions=True)
            failed = [result for result in results if isinstance(result, BaseException)]
            assert len(failed) == 1
            assert isinstance(failed[0], error)
            assert await db.read(count) == 63

    asyncio.run(story())


def test_a_future_resolves_only_after_commit(opened):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            for n in range(20):
                await db.submit(Write(n))
                assert await db.read(count) == n + 1

    asyncio.run(story())


def test_a_full_queue_refuses_all_but_settles(opened):
    async def story():
        async with opened(schemas=[NOTES], queue_bound=4) as db:
            wait = Wait()
            held = db.submit(wait)
            await asyncio.to_thread(wait.entered.wait, 30)
            futures = [db.submit(Write(n)) for n in range(4)]
            with pytest.raises(Overloaded):
                db.submit(Write(100))
            futures.append(db.submit(Settle(101)))
            wait.go.set()
            await asyncio.gather(held, *futures)
            assert await db.read(count) == 5

    asyncio.run(story())


def test_closing_finishes_what_waits_and_refuses_what_comes(opened):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            futures = [db.submit(Write(n)) for n in range(50)]
            await db.close()
            assert len(await asyncio.gather(*futures)) == 50
            with pytest.raises(VaultUnavailable):
                db.submit(Write(99))
            with pytest.raises(StorageError):
                await db.read(count)

    asyncio.run(story())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_writer_tells_everyone_and_takes_nothing_more(opened):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            wait = Wait()
            held = db.submit(wait)
            futures = [db.submit(Write(1)), db.submit(Die()), db.submit(Write(2))]
            wait.go.set()
            results = await asyncio.gather(held, *futures, return_exceptions=True)
            assert any(isinstance(result, VaultUnavailable) for result in results)
            with pytest.raises(VaultUnavailable):
                db.submit(Write(3))
            assert await db.read(count) <= 1

    asyncio.run(story())


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


def test_a_cancelled_wait_does_not_undo_the_write(opened):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            wait = Wait()
            held = db.submit(wait)
            future = db.submit(Write(1))
            future.cancel()
            wait.go.set()
            await held
            await db.submit(Write(2))
            assert await db.read(count) == 2

    asyncio.run(story())


def test_reads_see_one_snapshot(opened):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            loop = asyncio.get_running_loop()

            def look(connection: sa.Connection) -> tuple[int, int]:
                before = count(connection)
                asyncio.run_coroutine_threadsafe(write(), loop).result(30)
                return before, count(connection)

            async def write() -> None:
                await db.submit(Write(1))

            assert await db.read(look) == (0, 0)
            assert await db.read(count) == 1

    asyncio.run(story())


def test_a_reader_cannot_write(opened):
    async def story():
        async with opened(schemas=[NOTES]) as db:
            with pytest.raises(StorageError):
                await db.read(lambda connection: connection.exec_driver_sql("DELETE FROM note"))

    asyncio.run(story())


def test_a_statement_with_a_lost_value_is_refused():
    assert "'it''s'" in Statement(sa.select(constant("it's"))).sql
    with pytest.raises(AssertionError, match="constant"):
        _ = Statement(sa.select(NOTE).where(NOTE.c.text == "value")).sql


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
