"""Opening: the lock, the pragmas, the migrations, and what is refused with a sentence."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest
import sqlalchemy as sa

from arbstr_core.storage import Database, Migration, Schema, database_path, is_held, read_announcement
from arbstr_core.types import StorageError


def step(version: int, name: str, *tables: str) -> Migration:
    made = tuple(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)" for table in tables)
    return Migration(version=version, name=name, sqlite=made, postgresql=made)


FIRST = step(1, "first", "one")
SECOND = step(2, "second", "two")
BROKEN = step(2, "broken", "two", "two")


def room(*steps: Migration) -> list[Schema]:
    return [Schema(room="room", migrations=steps)]


HOLDER = """
import asyncio, pathlib, sys, time
from arbstr_core.storage import Database
class Clock:
    def now_ms(self): return 0
async def hold():
    db = Database.open("sqlite:///arbstr.db", data_dir=pathlib.Path(sys.argv[1]), clock=Clock())
    db.announce("http://127.0.0.1:8080")
    print("held", flush=True)
    sys.stdin.readline()
    await db.close()
asyncio.run(hold())
"""


def tables(connection):
    return set(sa.inspect(connection).get_table_names())


def test_a_second_process_is_refused_and_finds_the_first(tmp_path, clock):
    path = tmp_path / "arbstr.db"
    assert not is_held(path)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "held\n"
        assert is_held(path)
        assert read_announcement(path).admin == "http://127.0.0.1:8080"
        assert read_announcement(path).pid == child.pid
        with pytest.raises(StorageError, match=rf"arbstr\.db is in use by process {child.pid}: stop it"):
            Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock)
        child.stdin.write("\n")
    assert not is_held(path)
    assert read_announcement(path) is None


def test_a_killed_process_holds_nothing(tmp_path, clock):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        child.stdout.readline()
        child.kill()
    assert not is_held(tmp_path / "arbstr.db")
    asyncio.run(Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock).close())


def test_another_name_is_the_same_database(opened, tmp_path, clock):
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "arbstr.db")

    async def story():
        async with opened() as db:
            db.announce("here")
            assert is_held(link)
            assert read_announcement(link).admin == "here"
            with pytest.raises(StorageError, match="is in use by process"):
                Database.open("sqlite:///link.db", data_dir=link.parent, clock=clock)
        await Database.open("sqlite:///link.db", data_dir=link.parent, clock=clock).close()
        assert not is_held(link)

    asyncio.run(story())


def test_the_files_are_for_their_owner_alone(opened, tmp_path):
    async def story():
        before = os.umask(0)
        try:
            async with opened(schemas=room(FIRST)):
                modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
        finally:
            os.umask(before)
        names = ("arbstr.db", "arbstr.db-wal", "arbstr.db-shm", "arbstr.db.lock")
        assert modes == dict.fromkeys(names, 0o600)

    asyncio.run(story())


def test_the_lock_file_says_who(opened, tmp_path):
    async def story():
        async with opened() as db:
            db.announce("unix:/run/arbstr.sock")
            said = json.loads((tmp_path / "arbstr.db.lock").read_text())
            assert said == {"pid": os.getpid(), "admin": "unix:/run/arbstr.sock"}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("url", "match"),
    [
        (
            "postgresql://user:hunter2@127.0.0.1:1/arbstr",
            "//user@127.0.0.1:1/arbstr cannot be reached .*: start it",
        ),
        ("mysql://host/arbstr", "is not a database: write"),
        ("sqlite:///", "is not a database"),
        ("sqlite:///:memory:", "is not a database"),
        ("sqlite:///no/such/folder/arbstr.db", "check its folder"),
    ],
)
def test_other_urls_are_refused(tmp_path, clock, url, match):
    with pytest.raises(StorageError, match=match):
        Database.open(url, data_dir=tmp_path, clock=clock)


def test_a_url_is_relative_to_the_data_dir_unless_absolute(tmp_path):
    assert database_path("sqlite:///a.db", tmp_path) == tmp_path / "a.db"
    assert str(database_path("sqlite:////srv/a.db", tmp_path)) == "/srv/a.db"


def test_something_that_is_no_database_is_refused_and_let_go(tmp_path, clock):
    (tmp_path / "arbstr.db").write_bytes(b"not a database at all" * 100)
    for _ in range(2):
        with pytest.raises(StorageError, match="name another file"):
            Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock)


def applied(connection):
    query = "SELECT version, name FROM schema WHERE room = 'room' ORDER BY version"
    return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_an_older_database_is_upgraded_when_told(either):
    async def story():
        async with either(schemas=room(FIRST)) as db:
            assert {"one", "schema"} <= await db.read(tables)
        with pytest.raises(StorageError, match=r"older version \(room 2 is missing: second\): run arbstr db upgrade"):
            async with either(schemas=room(FIRST, SECOND)):
                pass
        for steps in (["room 2: second"], []):
            async with either(schemas=room(FIRST, SECOND), upgrade=True) as db:
                assert {"one", "two"} <= await db.read(tables)
                assert await db.read(applied) == [(1, "first"), (2, "second")]
                assert list(db.upgraded.steps) == steps
        async with either(schemas=room(FIRST, SECOND)) as db:
            assert list(db.upgraded.steps) == []

    asyncio.run(story())


def test_the_file_as_it_was_is_kept(opened, tmp_path):
    async def story():
        async with opened(schemas=room(FIRST)):
            pass
        async with opened(schemas=room(FIRST, SECOND), upgrade=True) as db:
            assert db.upgraded.kept == tmp_path / "arbstr.db.before-upgrade-20250615T150640000"
            assert stat.S_IMODE(db.upgraded.kept.stat().st_mode) == 0o600
        with closing(sqlite3.connect(db.upgraded.kept)) as kept:
            assert kept.execute("SELECT max(version) FROM schema WHERE room = 'room'").fetchone() == (1,)

    asyncio.run(story())


def test_a_broken_migration_leaves_nothing_behind(either):
    async def story():
        with pytest.raises(StorageError, match="two"):
            async with either(schemas=room(FIRST, BROKEN)):
                pass
        async with either(schemas=room(FIRST)) as db:
            found = await db.read(tables)
            assert "one" in found
            assert "two" not in found
        with pytest.raises(StorageError, match="two"):
            async with either(schemas=room(FIRST, BROKEN), upgrade=True):
                pass
        async with either(schemas=room(FIRST)) as db:
            assert "two" not in await db.read(tables)

    asyncio.run(story())


def test_a_newer_database_is_refused(either):
    async def story():
        async with either(schemas=room(FIRST, SECOND)):
            pass
        for upgrade in (False, True):
            with pytest.raises(StorageError, match="newer version"):
                async with either(schemas=room(FIRST), upgrade=upgrade):
                    pass

    asyncio.run(story())


def test_processes_share_postgresql_but_no_data_dir(postgres_url, tmp_path, clock):
    async def story():
        here = Database.open(postgres_url, data_dir=tmp_path, clock=clock, schemas=room(FIRST))
        with pytest.raises(StorageError, match=rf"{tmp_path} is in use by process \d+: stop it, or give each"):
            Database.open(postgres_url, data_dir=tmp_path, clock=clock, schemas=room(FIRST))
        (tmp_path / "other").mkdir()
        there = Database.open(postgres_url, data_dir=tmp_path / "other", clock=clock, schemas=room(FIRST))
        assert await there.read(tables) == await here.read(tables)
        await there.close()
        await here.close()

    asyncio.run(story())


def test_those_that_start_together_make_one_database(postgres_url, tmp_path, clock):
    async def story():
        folders = [tmp_path / str(n) for n in range(6)]
        for folder in folders:
            folder.mkdir()
        made = await asyncio.gather(
            *(
                asyncio.to_thread(Database.open, postgres_url, data_dir=folder, clock=clock, schemas=room(FIRST))
                for folder in folders
            )
        )
        assert [await db.read(applied) for db in made] == [[(1, "first")]] * 6
        for db in made:
            await db.close()

    # Writers belong to a loop only when they are given something.
    asyncio.run(story())


def test_connections_are_strict(opened):
    async def story():
        async with opened() as db:

            def pragmas(connection):
                names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "trusted_schema")
                return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in (*names, "cell_size_check")]

            assert await db.read(pragmas) == ["wal", 2, 1, 1, 0, 1]

    asyncio.run(story())
