"""Databases of every released version, written down as text, are upgraded: nothing is lost, and they serve."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from house import Setup, chat, instance, process, write
from releasing import digests
from upstream import Upstream

from arbstr_core.cli._data import schemas
from arbstr_core.storage._tables import schema as storages

RELEASED = Path(__file__).parents[1] / "released"
RELEASES = sorted(each.name for each in RELEASED.iterdir())


def facts(release: str) -> dict[str, Any]:
    return dict(json.loads((RELEASED / release / "facts.json").read_text()))


@pytest.mark.parametrize("release", RELEASES)
def test_what_was_released_is_never_changed(release: str) -> None:
    """A step that is in somebody's database stays what it was; others come after it."""
    now = {schema.room: digests(schema) for schema in (storages(), *schemas())}
    for room, steps in facts(release)["steps"].items():
        assert now[room][: len(steps)] == steps, room


@pytest.fixture
def upstream() -> Any:
    with Upstream() as made:
        yield made


@pytest.mark.parametrize("release", RELEASES)
def test_a_sqlite_file_is_upgraded(release: str, tmp_path: Path, upstream: Upstream) -> None:
    place = write(tmp_path, instance("x", upstream.url))
    (tmp_path / "data").mkdir(mode=0o700)

    def load() -> None:
        with closing(sqlite3.connect(place.database)) as database:
            database.executescript((RELEASED / release / "sqlite.sql").read_text())
        place.database.chmod(0o600)

    upgraded(place, release, "sqlite", load)


@pytest.mark.parametrize("release", RELEASES)
def test_a_postgresql_database_is_upgraded(
    release: str, tmp_path: Path, upstream: Upstream, postgres_empty_url: str
) -> None:
    place = write(tmp_path, instance("x", upstream.url) + f'[storage]\nurl = "{postgres_empty_url}"\n')
    (tmp_path / "data").mkdir(mode=0o700)

    def load() -> None:
        with psycopg.connect(postgres_empty_url, autocommit=True) as connection:
            connection.execute((RELEASED / release / "postgresql.sql").read_text().encode())

    upgraded(place, release, "postgresql", load)


def upgraded(place: Setup, release: str, kind: str, load: Callable[[], None]) -> None:
    for name in ("master.key", "audit.key"):
        key = place.folder / "data" / name
        shutil.copy(RELEASED / release / f"{kind}.{name}", key)
        key.chmod(0o600)
    load()
    then = facts(release)
    newest = {schema.room: len(schema.migrations) for schema in (storages(), *schemas())}
    if newest != {room: len(steps) for room, steps in then["steps"].items()}:
        assert "run arbstr db upgrade" in place.command("agent", "list").stderr
        assert place.json("db", "upgrade")["steps"]
    assert place.json("db", "upgrade")["steps"] == []
    assert all(row["ok"] for row in place.json("db", "check")), place.arbstr("db", "check")
    verified = place.json("audit", "verify")
    assert (verified["ok"], verified["sum_msat"]) == (True, 0), verified
    assert verified["transfers"] == then[kind]["transfers"]
    assert {row["name"]: row["posted_msat"] for row in place.json("agent", "list")} == then[kind]["posted_msat"]
    with process(place):
        headers = {"authorization": f"Bearer {then[kind]['token']}"}
        where = f"{place.url}/v1/chat/completions"
        answer = httpx.post(where, json=chat(max_tokens=10), headers=headers, trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        assert place.json("audit", "verify")["ok"]
