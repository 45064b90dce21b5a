"""Opening: the lock, the pragmas, the migrations, and what is refused with a sentence."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys

import pytest

from arbstr_core.storage import Database, Migration, Schema, database_path, is_held, read_announcement
from arbstr_core.types import StorageError

FIRST = Migration(version=1, name="first", sqlite=("CREATE TABLE one (id INTEGER PRIMARY KEY) STRICT",), postgresql=())
SECOND = Migration(
    version=2, name="second", sqlite=("CREATE TABLE two (id INTEGER PRIMARY KEY) STRICT",), postgresql=()
)
BROKEN = Migration(
    version=2,
    name="broken",
    sqlite=("CREATE TABLE two (id INTEGER PRIMARY KEY) STRICT", "CREATE nonsense"),
    postgresql=(),
)

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
    return {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE type = 'table'")}


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
            async with opened(schemas=[Schema(room="room", migrations=(FIRST,))]):
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
        ("postgresql://user@host/arbstr", "not supported yet by this version: use sqlite"),
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


def test_migrations_are_applied_once_in_order(opened):
    async def story():
        async with opened(schemas=[Schema(room="room", migrations=(FIRST,))]) as db:
            assert {"one", "schema"} <= await db.read(tables)
        async with opened(schemas=[Schema(room="room", migrations=(FIRST, SECOND))]) as db:
            assert {"one", "two"} <= await db.read(tables)
            applied = await db.read(
                lambda c: c.exec_driver_sql("SELECT version, name FROM schema WHERE room = 'room'").all()
            )
            assert [tuple(row) for row in applied] == [(1, "first"), (2, "second")]

    asyncio.run(story())


def test_a_broken_migration_leaves_nothing_behind(opened):
    async def story():
        with pytest.raises(StorageError):
            async with opened(schemas=[Schema(room="room", migrations=(FIRST, BROKEN))]):
                pass
        async with opened(schemas=[Schema(room="room", migrations=(FIRST,))]) as db:
            found = await db.read(tables)
            assert "one" in found
            assert "two" not in found

    asyncio.run(story())


def test_a_newer_database_is_refused(opened):
    async def story():
        async with opened(schemas=[Schema(room="room", migrations=(FIRST, SECOND))]):
            pass
        with pytest.raises(StorageError, match="newer version"):
            async with opened(schemas=[Schema(room="room", migrations=(FIRST,))]):
                pass

    asyncio.run(story())


def test_connections_are_strict(opened):
    async def story():
        async with opened() as db:

            def pragmas(connection):
                names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "trusted_schema")
                return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in (*names, "cell_size_check")]

            assert await db.read(pragmas) == ["wal", 2, 1, 1, 0, 1]

    asyncio.run(story())
