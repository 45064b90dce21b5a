"""Copies of a database: made while it is in use, whole or not at all, and for their owner's eyes alone."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from arbstr_core.storage._durable import sync
from arbstr_core.storage._sqlite import connect_for_reading, storage_error
from arbstr_core.types import Secret, StorageError

_PG_DUMP = ("--format=custom", "--no-owner", "--no-privileges", "--no-password")
_PG_RESTORE = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--no-password")
_WITHOUT_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""what a file system says that gives a file no second name: FAT, many network shares"""
_HEADS = {b"SQLite format 3\0": "SQLite", b"PGDMP": "PostgreSQL"}


def copy_sqlite(path: Path, target: Path) -> None:
    """A copy of the file as it is at one moment, whoever writes to it meanwhile; checked, and durable."""
    _appear(target, lambda part: _copy(connect_for_reading(path), path, part))


def copy_backup(backup: Path, target: Path) -> None:
    """A copy of a backup that `copy_sqlite` made; the backup itself is not touched."""
    _must_be(backup, "SQLite")
    try:
        source = sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise storage_error(backup, error) from error
    _appear(target, lambda part: _copy(source, backup, part, "name another backup"))


def copy_aside(path: Path, why: str, now_ms: int) -> Path:
    """A copy of the file beside it, named after the reason and the time."""
    target = _beside(path, why, now_ms)
    copy_sqlite(path, target)
    return target


def put_in_place(new: Path, path: Path, now_ms: int) -> Path | None:
    """Give `new` the name `path`, and what has it now another name beside it, which is returned.

    To be called by whoever holds the lock. Killed in between, it leaves the one or the other under `path`.
    """
    path = Path(os.path.realpath(path))
    kept = _beside(path, "before-restore", now_ms) if path.exists() else None
    try:
        if kept is not None:
            _fold(path, kept)
            os.link(path, kept)
        os.replace(new, path)
        sync(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be replaced ({error.strerror}): move it away yourself") from error
    return kept


def dump_postgresql(url: str, password: Secret | None, target: Path) -> None:
    """A dump of one moment, made by pg_dump, which is as new as the server or newer."""
    _appear(target, lambda part: _run("pg_dump", [*_PG_DUMP, f"--file={part}", f"--dbname={url}"], password))


def load_postgresql(url: str, password: Secret | None, dump: Path) -> None:
    """Load a dump into an empty database: all of it, or nothing."""
    _must_be(dump, "PostgreSQL")
    _run("pg_restore", [*_PG_RESTORE, f"--dbname={url}", str(dump)], password)


def _must_be(backup: Path, kind: str) -> None:
    try:
        with backup.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise StorageError(f"{backup} cannot be read ({error.strerror}): name a backup") from error
    found = next((name for start, name in _HEADS.items() if head.startswith(start)), None)
    if found != kind:
        what = f"a backup of {found}" if found else "no backup"
        raise StorageError(f"{backup} is {what}, and [storage] url names {kind}: name another file")


def _appear(target: Path, write: Callable[[Path], None]) -> None:
    """Have `write` make a file that gets the name `target` when it is whole and on the disk. None is overwritten."""
    target = target.absolute()
    part = target.with_name(f"{target.name}.part")
    try:
        if target.exists():
            raise StorageError(f"{target} is there already: name another file, or move it away")
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise StorageError(f"{part} is there already: another backup is being made, or remove it") from None
    except OSError as error:
        raise StorageError(f"{target} cannot be written ({error.strerror}): check its folder") from error
    try:
        write(part)
        sync(part)
        _name(part, target)
    except OSError as error:
        raise StorageError(f"{target} cannot be written ({error.strerror}): check its folder and the disk") from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            part.with_name(part.name + suffix).unlink(missing_ok=True)
    sync(target.parent)


def _name(part: Path, target: Path) -> None:
    """Have a file appear under its name, which is nobody else's: raises FileExistsError where somebody was faster."""
    try:
        # A second name, and not another name: that would take the place of a file.
        os.link(part, target)
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.replace(part, target)


_RESTORE = "stop arbstr, keep the file, and restore a backup"


def _copy(source: sqlite3.Connection, path: Path, part: Path, where_damaged: str = _RESTORE) -> None:
    try:
        with closing(source), closing(sqlite3.connect(part)) as copy:
            # All pages in one step: the copy is of one moment, and writers are not waited for.
            source.backup(copy)
            # One file is all of it.
            copy.execute("PRAGMA journal_mode=DELETE")
            (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise storage_error(path, error) from error
        found = str(error)
    if found != "ok":
        raise StorageError(f"{path} is damaged ({found}): {where_damaged}")


def _fold(path: Path, kept: Path) -> None:
    """Make one file of a database that nobody has open; where it is too broken, what lies beside it goes with it."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        left = path.with_name(path.name + suffix)
        if left.exists():
            left.rename(kept.with_name(kept.name + suffix))


def _beside(path: Path, why: str, now_ms: int) -> Path:
    at = datetime.fromtimestamp(now_ms / 1000, UTC)
    return path.with_name(f"{path.name}.{why}-{at:%Y%m%dT%H%M%S}{now_ms % 1000:03}")


def _run(program: str, words: list[str], password: Secret | None) -> None:
    whole = shutil.which(program)
    if whole is None:
        raise StorageError(f"{program} is not installed: install PostgreSQL's client programs, as new as the server")
    around = dict(os.environ)
    if password is not None:
        around["PGPASSWORD"] = password.reveal()
    done = subprocess.run([whole, *words], env=around, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise StorageError(f"{program} failed: {' '.join(done.stderr.decode(errors='replace').split())}")
