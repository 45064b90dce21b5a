"""Copies where the file system is of another kind than that of most data."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from arbstr_core.storage._backup import copy_sqlite
from arbstr_core.types import StorageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small database."""
    made = tmp_path / "arbstr.db"
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE one (id INTEGER PRIMARY KEY)")
    return made


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_second_names_takes_a_backup(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def link(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    target = path.with_name("copy.backup")
    copy_sqlite(path, target)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT count(*) FROM one").fetchone() == (0,)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    before = target.read_bytes()
    with pytest.raises(StorageError, match="is there already"):
        copy_sqlite(path, target)
    assert target.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == ["arbstr.db", "copy.backup"]


def test_who_is_faster_is_not_written_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = path.with_name("copy.backup")

    def link(source: Path, name: Path) -> None:
        target.write_text("somebody else's")
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StorageError, match="backup cannot be written"):
        copy_sqlite(path, target)
    assert target.read_text() == "somebody else's"
