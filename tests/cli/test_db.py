"""`arbstr db`: what a backup holds, how it comes back, and what is refused on the way."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from house import Setup, process, write
from postgres import Cluster, database

from arbstr_core import config
from arbstr_core.cli._data import open_database
from arbstr_core.plugins import LoopClock
from arbstr_core.vault import Vault, schema


@contextmanager
def house(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Setup]:
    if kind == "sqlite":
        yield write(folder)
    else:
        yield write(folder, f'[storage]\nurl = "{request.getfixturevalue("postgres_url")}"')


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setup]:
    with house(request.param, tmp_path, request) as found:
        yield found


@pytest.fixture
def sqlite(tmp_path: Path) -> Setup:
    return write(tmp_path)


def refused(place: Setup, *words: str) -> str:
    done = place.command(*words)
    assert (done.returncode, done.stdout) == (1, ""), done
    return done.stderr


def elsewhere(place: Setup, url: str) -> Setup:
    """The same house with another database."""
    text = place.file.read_text()
    before = text.split('url = "', 1)[1].split('"', 1)[0]
    place.file.write_text(text.replace(before, url))
    return place


def restored_ms(place: Setup) -> int | None:
    async def ask() -> int | None:
        db = open_database(config.load(place.file), LoopClock())
        try:
            return await Vault(db, boot_id="look").restored_ms()
        finally:
            await db.close()

    return asyncio.run(ask())


def agents(place: Setup) -> dict[str, int]:
    return {row["name"]: row["posted_msat"] for row in place.json("agent", "list")}


def test_an_upgrade_with_nothing_to_do_says_so(place: Setup) -> None:
    assert "up to date" in place.arbstr("db", "upgrade")
    assert place.json("db", "upgrade") == {"steps": [], "kept": None}


@pytest.mark.parametrize("running", [False, True])
def test_a_sqlite_backup_comes_back(sqlite: Setup, running: bool) -> None:
    place, file = sqlite, sqlite.folder / "copy.backup"
    place.arbstr("agent", "create", "one", "--fund", "1000sat")
    if running:
        with process(place):
            said = place.json("db", "backup", str(file))
            assert "is in use by process" in refused(place, "db", "restore", str(file))
    else:
        said = place.json("db", "backup", str(file))
    assert said == {"file": str(file), "bytes": file.stat().st_size}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "is there already" in refused(place, "db", "backup", str(file))
    place.arbstr("agent", "create", "two")
    before = file.read_bytes()
    assert restored_ms(place) is None
    kept = Path(place.json("db", "restore", str(file))["kept"])
    assert agents(place) == {"one": 1_000_000}
    assert restored_ms(place) is not None
    assert place.json("audit", "verify")["ok"]
    with closing(sqlite3.connect(kept)) as old:
        assert {row[0] for row in old.execute("SELECT name FROM agent")} == {"one", "two"}
    assert file.read_bytes() == before
    names = {each.name for each in place.database.parent.iterdir()}
    assert not {name for name in names if "restoring" in name or ".part" in name}
    # The old one can be put back in the same way.
    place.arbstr("db", "restore", str(kept))
    assert set(agents(place)) == {"one", "two"}


def test_a_postgresql_backup_comes_back_elsewhere(postgres: Cluster, postgres_url: str, tmp_path: Path) -> None:
    place = write(tmp_path, f'[storage]\nurl = "{postgres_url}"')
    file = tmp_path / "copy.backup"
    place.arbstr("agent", "create", "one", "--fund", "1000sat")
    with process(place):
        place.arbstr("db", "backup", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "is there already" in refused(place, "db", "backup", str(file))
    assert "make an empty one" in refused(place, "db", "restore", str(file))
    with database(postgres) as empty:
        elsewhere(place, empty)
        assert place.json("db", "restore", str(file))["kept"] is None
        assert agents(place) == {"one": 1_000_000}
        assert restored_ms(place) is not None
        assert all(row["ok"] for row in place.json("db", "check"))


def test_what_is_no_backup_changes_nothing(sqlite: Setup) -> None:
    place = sqlite
    place.arbstr("agent", "create", "one")
    whole = place.folder / "whole"
    place.arbstr("db", "backup", str(whole))
    odd, dump, torn, changed = (place.folder / name for name in ("odd", "dump", "torn", "changed"))
    odd.write_text("no backup")
    dump.write_bytes(b"PGDMP and so on")
    content = whole.read_bytes()
    torn.write_bytes(content[: len(content) // 2])
    shutil.copy(whole, changed)
    with closing(sqlite3.connect(changed)) as copy, copy:
        copy.execute("UPDATE account SET posted_msat = 77 WHERE constrained = 1")
    for file, sentence in {
        place.folder / "nothing": "cannot be read",
        odd: "is no backup",
        dump: "is a backup of PostgreSQL, and [storage] url names SQLite",
        torn: "torn is damaged (database disk image is malformed): name another backup",
        changed: "is not to be used",
    }.items():
        assert sentence in refused(place, "db", "restore", str(file))
        assert set(agents(place)) == {"one"}
    assert sorted(each.name for each in place.database.parent.glob("arbstr.db*")) == ["arbstr.db", "arbstr.db.lock"]


def test_a_backup_needs_a_database_and_room(sqlite: Setup) -> None:
    assert "nothing to copy" in refused(sqlite, "db", "backup", str(sqlite.folder / "x"))
    assert "run arbstr init" in refused(sqlite, "db", "check")
    sqlite.arbstr("agent", "list")
    assert "check its folder" in refused(sqlite, "db", "backup", str(sqlite.folder / "no" / "x"))
    assert list(sqlite.folder.glob("*.part")) == []


def test_without_pg_dump_it_says_what_to_install(place: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    if "postgresql" in place.file.read_text():
        place.arbstr("agent", "list")
        monkeypatch.setenv("PATH", str(place.folder))
        assert "pg_dump is not installed: install" in refused(place, "db", "backup", str(place.folder / "x"))
        assert not (place.folder / "x").exists()


def test_a_password_is_taken_by_reference(place: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    text = place.file.read_text()
    if "[storage]" in text:
        place.file.write_text(text.replace("[storage]\n", '[storage]\npassword = "env:DATABASE_PASSWORD"\n'))
        assert "hunter2" not in place.arbstr("agent", "list")
        monkeypatch.delenv("DATABASE_PASSWORD")
        assert "env:DATABASE_PASSWORD is empty or not there" in refused(place, "agent", "list")
    else:
        place.file.write_text(f'{text}\n[storage]\npassword = "env:DATABASE_PASSWORD"\n')
        assert "is for PostgreSQL" in refused(place, "agent", "list")


def test_check_looks_at_everything(place: Setup) -> None:
    place.arbstr("agent", "create", "one")
    found = {row["what"]: row for row in place.json("db", "check")}
    assert all(row["ok"] for row in found.values()), found
    assert {"disk", "version", "guards"} <= set(found)
    assert found["version"]["detail"] == f"journal 2, storage 3, vault {len(schema().migrations)}"
    with process(place):
        assert all(row["ok"] for row in place.json("db", "check"))


def test_check_finds_what_is_wrong(sqlite: Setup) -> None:
    sqlite.arbstr("agent", "create", "one")
    with closing(sqlite3.connect(sqlite.database)) as connection, connection:
        connection.execute("DROP TRIGGER transfer_no_delete")
        connection.execute("INSERT INTO schema VALUES ('vault', 9, 'of tomorrow', 1)")
    sqlite.database.chmod(0o644)
    done = sqlite.command("db", "check")
    assert done.returncode == 1
    for sentence in ("chmod 600", "newer than this program"):
        assert sentence in done.stdout
    with closing(sqlite3.connect(sqlite.database)) as connection, connection:
        connection.execute("DELETE FROM schema WHERE version = 9")
    assert "transfer_no_delete" in sqlite.command("db", "check").stdout


def test_an_older_database_is_not_served(sqlite: Setup) -> None:
    sqlite.arbstr("agent", "create", "one")
    with closing(sqlite3.connect(sqlite.database)) as connection, connection:
        connection.executescript("DROP TABLE request_log; DELETE FROM schema WHERE room = 'journal'")
    assert "run arbstr db upgrade" in refused(sqlite, "agent", "list")
    assert "older than this program" in sqlite.command("db", "check").stdout
    done = sqlite.json("db", "upgrade")
    assert done["steps"] == ["journal 1: request log", "journal 2: tier, tokens and first byte of a call"]
    assert Path(done["kept"]).exists()
    assert set(agents(sqlite)) == {"one"}


def test_an_empty_database_is_said_to_be_empty(postgres_empty_url: str, tmp_path: Path) -> None:
    place = write(tmp_path, f'[storage]\nurl = "{postgres_empty_url}"')
    found = {row["what"]: row for row in place.json("db", "check")}
    assert found["version"]["detail"] == "empty: the first arbstr that opens it makes the tables"
    assert all(row["ok"] for row in found.values()), found
    assert "empty: the first arbstr" in place.command("doctor").stdout
    # Looking at everything has opened it, and so made it.
    assert "older than" not in place.command("doctor").stdout
    assert place.json("agent", "list") == []


SECRETS = """
[storage]
url = "postgresql://arbstr@127.0.0.1:1/arbstr"
password = "env:NO_PASSWORD"
[webhooks]
url = "https://example.com/hook"
secret = "env:NO_SECRET"
[routing]
strategy = "dearest"
"""


def test_check_finds_what_serve_would_miss_all_at_once(tmp_path: Path) -> None:
    place = write(tmp_path, SECRETS, server='internal_token = "env:NO_TOKEN"')
    done = place.command("check")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    for words in (
        "[storage] password: env:NO_PASSWORD is empty or not there",
        "[server] internal_token: env:NO_TOKEN is empty or not there",
        "[webhooks] secret (env:NO_SECRET): there is nothing there",
    ):
        assert said.count(words) == 1, (words, said)
    place = write(tmp_path, '[routing]\nstrategy = "dearest"\n', server='internal_token = "env:NO_TOKEN"')
    done = place.command("check")
    said = done.stdout + done.stderr
    assert "env:NO_TOKEN" in said
    assert "there is no 'dearest'" in said


def test_commands_do_without_what_only_serve_is_given(tmp_path: Path) -> None:
    place = write(tmp_path, server='internal_token = "env:NO_TOKEN"')
    place.arbstr("agent", "create", "one")
    assert place.json("agent", "list")[0]["name"] == "one"
    assert "env:NO_TOKEN is empty or not there" in refused(place, "serve")


def test_roles_are_printed_and_made(postgres: Cluster, postgres_url: str, tmp_path: Path) -> None:
    place = write(tmp_path, f'[storage]\nurl = "{postgres_url}"')
    printed = place.arbstr("db", "roles", "--proxy", "arbstr_calls")
    assert "GRANT UPDATE (state, hold_id) ON approval TO arbstr_calls;" in printed
    assert "ON job" not in printed
    for _ in range(2):
        assert "may serve calls" in place.arbstr("db", "roles", "--proxy", "arbstr_calls", "--apply")
    url = postgres_url.replace("postgres@", "arbstr_calls@")
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM operator")
    assert "all in place" in place.arbstr("db", "check")
    assert "no plain name" in refused(place, "db", "roles", "--proxy", "Robert'); --")


def test_roles_are_postgresqls(sqlite: Setup) -> None:
    assert "everything runs in `arbstr serve` there" in refused(sqlite, "db", "roles")
