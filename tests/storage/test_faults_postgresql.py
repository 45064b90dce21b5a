"""PostgreSQL that goes away, comes back, times out or is held: each write is refused or done once, and none is lost."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from cutting import Cutter, What, When
from notes import LOCK, NOTES, Poison, Write, count, ids, together

from arbstr_core.storage import Database, NotCommitted, Statement, _postgresql
from arbstr_core.types import Secret, StorageError

OPEN_WAIT_SECONDS = 20


@asynccontextmanager
async def opened(url: str, folder: Path, clock: object) -> AsyncIterator[Database]:
    db = Database.open(url, data_dir=folder, clock=clock, schemas=[NOTES])
    try:
        yield db
    finally:
        await db.close()


@contextmanager
def beside(url: str) -> Iterator[psycopg.Connection]:
    """Somebody else who works on the database."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def sql(text: str):
    statement = Statement(sa.text(text))
    return Poison(lambda tx: tx.all(statement, {}))


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(("when", "written"), [(When.BEFORE, False), (When.AFTER, True)])
def test_a_connection_cut_at_the_commit(postgres_url, tmp_path, clock, when, written, size):
    async def story(cutter):
        async with opened(cutter.url, tmp_path, clock) as db:
            await db.submit(Write(1000))
            cutter.at_commit(2, when)
            told = await together(db, [Write(n) for n in range(size)])
            assert cutter.cuts == 1
            if written:
                assert told == [size] * size
            else:
                assert {type(each) for each in told} == {NotCommitted}
                assert "nothing was written" in str(told[0])
            assert await db.read(count) == 1 + size * written
            again = await together(db, [Write(100 + n) for n in range(size)])
            assert again == [size] * size

    with Cutter(postgres_url) as cutter:
        asyncio.run(story(cutter))


def test_a_session_that_is_ended_at_the_commit(postgres_url, tmp_path, clock):
    """The server says so, which is no answer to COMMIT."""

    async def story(cutter):
        async with opened(cutter.url, tmp_path, clock) as db:
            await db.submit(Write(1000))
            cutter.at_commit(1, When.BEFORE, What.STALL)
            future = db.submit(Write(1))
            await asyncio.to_thread(cutter.wait, lambda c: c.stalls == 1)
            with beside(postgres_url) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
                )
            cutter.resume()
            with pytest.raises(NotCommitted, match="nothing was written"):
                await future
            assert await db.submit(Write(2)) == 1
            assert await db.read(ids) == [2, 1000]

    with Cutter(postgres_url) as cutter:
        asyncio.run(story(cutter))


@pytest.mark.parametrize("how", ["cut", "ended", "idle"])
def test_a_connection_lost_in_the_middle_of_a_batch(postgres_url, tmp_path, clock, how):
    """It never saw a COMMIT, so all of it is done once more."""
    runs = []

    def lose(tx, cutter):
        runs.append(how)
        if len(runs) > 1:
            return
        if how == "idle":
            sql("SELECT set_config('idle_in_transaction_session_timeout', '50ms', true)").run(tx)
            pid = tx.all(Statement(sa.text("SELECT pg_backend_pid()")), {})[0][0]
            with beside(postgres_url) as other:
                end = time.monotonic() + OPEN_WAIT_SECONDS
                while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone():
                    assert time.monotonic() < end
            # Whoever asks next is told; a batch that asked for nothing more would find out at its COMMIT.
            tx.all(Statement(sa.text("SELECT 1")), {})
        elif how == "ended":
            with beside(postgres_url) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
                )
        else:
            cutter.cut()

    async def story(cutter):
        async with opened(cutter.url, tmp_path, clock) as db:
            batch = [Write(1), Poison(lambda tx: lose(tx, cutter)), Write(2)]
            assert await together(db, batch) == [3, None, 3]
            assert len(runs) == 2
            assert await db.read(ids) == [1, 2]

    with Cutter(postgres_url) as cutter:
        asyncio.run(story(cutter))


def test_a_server_that_is_killed_under_load_loses_nothing(postgres, postgres_url, tmp_path, clock):
    said: dict[int, BaseException | int] = {}
    numbers = itertools.count()
    enough = threading.Event()
    there: set[int] = set()

    async def write(db):
        while not enough.is_set():
            number = next(numbers)
            try:
                said[number] = await db.submit(Write(number))
            except StorageError as refusal:
                said[number] = refusal
                await asyncio.sleep(0.02)

    async def story():
        async with opened(postgres_url, tmp_path, clock) as db:
            await asyncio.gather(*(write(db) for _ in range(8)))
            there.update(await db.read(ids))

    def acknowledged(more):
        def so_far():
            return sum(isinstance(answer, int) for answer in list(said.values()))

        wanted = more + so_far()
        while so_far() < wanted:
            assert load.is_alive()
            time.sleep(0.01)

    load = threading.Thread(target=lambda: asyncio.run(story()))
    load.start()
    # The server ends with the thread that starts it, so that is this one.
    for _ in range(3):
        acknowledged(100)
        postgres.kill()
        postgres.start()
    acknowledged(100)
    enough.set()
    load.join()
    known = {number: str(answer) for number, answer in said.items() if "cannot be found out" not in str(answer)}
    assert {number for number, answer in known.items() if answer.isdigit()} == there & known.keys()
    assert len(known) > len(said) - 30


def test_a_server_that_is_down_is_said_so_at_once_and_waited_for_by_nobody(postgres, postgres_url, tmp_path, clock):
    async def story():
        async with opened(postgres_url, tmp_path, clock) as db:
            await db.submit(Write(1))
            assert await db.read(count) == 1
            postgres.stop()
            try:
                begun = time.monotonic()
                told = await asyncio.gather(*(db.submit(Write(n)) for n in range(2, 66)), return_exceptions=True)
                with pytest.raises(StorageError, match=r"cannot be reached .*: start it"):
                    await db.read(count)
                assert time.monotonic() - begun < 5
            finally:
                postgres.start()
            assert {type(each) for each in told} == {StorageError}
            assert all("cannot be reached" in str(each) for each in told)
            assert await db.submit(Write(100)) == 1
            assert await db.read(ids) == [1, 100]

    asyncio.run(story())


def test_readers_come_back_after_a_restart(postgres, postgres_url, tmp_path, clock):
    async def story():
        async with opened(postgres_url, tmp_path, clock) as db:
            await asyncio.gather(*(db.read(count) for _ in range(8)))
            postgres.restart()
            assert await asyncio.gather(*(db.read(count) for _ in range(8))) == [0] * 8

    asyncio.run(story())


def test_a_row_that_others_lock_is_not_waited_for_by_each(postgres_url, tmp_path, clock):
    async def story():
        async with opened(postgres_url, tmp_path, clock) as db:
            await db.submit(Write(1000))
            with beside(postgres_url) as other, other.transaction():
                other.execute("SELECT 1 FROM note WHERE id = 1000 FOR UPDATE")
                batch = [Poison(lambda tx: tx.all(LOCK, {"id": 1000})) if n % 2 else Write(n) for n in range(32)]
                begun = time.monotonic()
                told = await together(db, batch)
                took = time.monotonic() - begun
            assert [type(each) for each in told] == [int, StorageError] * 16
            assert "lock timeout" in str(told[1])
            # 3 seconds for all of them, then little for each.
            assert took < 3 + 16 * 0.5
            assert await together(db, batch[1::2]) == [None] * 16
            assert await db.read(count) == 17

    asyncio.run(story())


_LONG = ", ".join(
    f"set_config('{each}', '60s', true)"
    for each in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
)
PATIENT = Statement(sa.text(f"SELECT {_LONG}"))
WAITS_HERE = """SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database()"""


def test_a_deadlock_spoils_nobody_else_s(postgres_url, tmp_path, clock):
    entered, has_the_second = threading.Event(), threading.Event()
    met = []

    def meet(tx):
        # Nothing but the deadlock is to end it, however slow the machine is.
        tx.all(PATIENT, {})
        tx.all(LOCK, {"id": 1})
        if not met:
            met.append(True)
            entered.set()
            assert has_the_second.wait(OPEN_WAIT_SECONDS)
            with beside(postgres_url) as watch:
                end = time.monotonic() + OPEN_WAIT_SECONDS
                while not watch.execute(WAITS_HERE).fetchone():
                    assert time.monotonic() < end
        tx.all(LOCK, {"id": 2})

    def other_way():
        with beside(postgres_url) as other:
            other.execute("SET deadlock_timeout = '20s'")
            with other.transaction():
                other.execute("SELECT 1 FROM note WHERE id = 2 FOR UPDATE")
                has_the_second.set()
                assert entered.wait(OPEN_WAIT_SECONDS)
                other.execute("SELECT 1 FROM note WHERE id = 1 FOR UPDATE")

    async def story():
        async with opened(postgres_url, tmp_path, clock) as db:
            await asyncio.gather(db.submit(Write(1)), db.submit(Write(2)))
            thread = threading.Thread(target=other_way)
            thread.start()
            told = await together(db, [Write(3), Poison(meet), Write(4)])
            await asyncio.to_thread(thread.join)
            # All of it once more, together.
            assert told == [3, None, 3]
            assert await db.read(ids) == [1, 2, 3, 4]

    asyncio.run(story())


FAILS = {
    "serialization": ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$", "tried again"),
    "deadlock": ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$", "tried again"),
    "disk": ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$", "disk space"),
    "damage": ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'XX001'; END $$", "see the log of the database"),
    "statement_timeout": ("SELECT set_config('statement_timeout', '30ms', true); SELECT pg_sleep(9)", "tried again"),
}


@pytest.mark.parametrize("what", FAILS)
def test_what_fails_by_itself_is_refused_with_a_remedy(postgres_url, tmp_path, clock, what):
    text, remedy = FAILS[what]

    def fail(tx):
        for each in text.split("; S"):
            statement = Statement(sa.text(each if each[0] in "DS" else f"S{each}"))
            tx.all(statement, {}) if each[0] != "D" else tx.run(statement, {})

    async def story():
        async with opened(postgres_url, tmp_path, clock) as db:
            told = await together(db, [Write(1), Poison(fail), Write(2)])
            assert (told[0], told[2]) == (1, 1)
            assert isinstance(told[1], StorageError)
            assert remedy in str(told[1])
            assert await together(db, [Write(3), Write(4)]) == [2, 2]
            assert await db.read(ids) == [1, 2, 3, 4]

    asyncio.run(story())


def test_a_read_only_database_is_said_to_be_one(postgres_url, tmp_path, clock):
    async def story():
        async with opened(postgres_url, tmp_path, clock) as db:
            with beside(postgres_url) as other:
                name = postgres_url.rsplit("/", 1)[1]
                other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
                other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            with pytest.raises(StorageError, match="read-only"):
                await db.submit(Write(1))
            assert await db.read(count) == 0

    asyncio.run(story())


def test_the_password_is_used_and_never_shown(postgres, postgres_url, tmp_path, clock):
    with beside(postgres_url) as other:
        other.execute("DROP ROLE IF EXISTS someone")
        other.execute("CREATE ROLE someone LOGIN PASSWORD 'hunter2'")
    url = f"postgresql://someone@127.0.0.1:{postgres.port}/nowhere"
    with pytest.raises(StorageError, match=r"nowhere") as raised:
        Database.open(url, data_dir=tmp_path, clock=clock, password=Secret("hunter2"))
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("at", ["begin", "commit"])
def test_a_server_that_falls_silent_is_given_up(postgres_url, tmp_path, clock, monkeypatch, at):
    """Nothing is reset and nothing answers: a process that was stopped, a proxy that hangs."""
    monkeypatch.setattr(_postgresql, "SILENT_SECONDS", 0.5)

    async def story(cutter):
        async with opened(cutter.url, tmp_path, clock) as db:
            await db.submit(Write(1000))
            if at == "begin":
                cutter.stall()
            else:
                cutter.at_commit(1, When.AFTER, What.STALL)
            future = db.submit(Write(1))
            if at == "commit":
                await asyncio.to_thread(cutter.wait, lambda c: c.stalls == 1)
            # What is asked next waits for the proxy, too, until it is well again.
            await asyncio.to_thread(cutter.wait, lambda c: c.connections >= 2)
            cutter.resume()
            assert await future == 1
            assert await db.submit(Write(2)) == 1
            assert await db.read(ids) == [1, 2, 1000]

    with Cutter(postgres_url) as cutter:
        asyncio.run(story(cutter))
