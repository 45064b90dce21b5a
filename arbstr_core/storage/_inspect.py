"""Looks at a database from outside, beside whoever writes to it, and says what is wrong."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from arbstr_core.storage._database import is_postgresql
from arbstr_core.storage._migrations import Schema
from arbstr_core.storage._sqlite import database_path, read_engine, storage_error
from arbstr_core.storage._statements import Dialect
from arbstr_core.storage._tables import schema
from arbstr_core.types import Secret, StorageError

_FEW_BYTES = 500 * 2**20
_LARGE_WAL_BYTES = 2**30
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at: what, whether it is well, and a sentence."""

    what: str
    ok: bool
    detail: str


@contextmanager
def looking(url: str, data_dir: Path, password: Secret | None) -> Iterator[sa.Connection]:
    """A connection that only reads, on one snapshot, with room for another; no lock is taken. Raises StorageError."""
    if is_postgresql(url):
        from arbstr_core.storage._postgresql import Server

        engine = Server(url, password).read_engine(2)
    else:
        path = database_path(url, data_dir)
        if not path.exists():
            raise StorageError(f"{path} is not there: run arbstr init")
        engine = read_engine(path, 2)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise storage_error(database_path(url, data_dir), error.orig) from error
        raise StorageError(f"the database cannot be read: {error.orig}; correct [storage] url") from error
    finally:
        engine.dispose()


def files(url: str, data_dir: Path) -> Iterator[Finding]:
    """The file, what lies beside it, and the room on its disk."""
    place = data_dir if is_postgresql(url) else database_path(url, data_dir).parent
    if place.exists():
        free = shutil.disk_usage(place).free
        detail = f"{free // 2**20} MiB free on the disk of {place}"
        yield Finding(what="disk", ok=free > _FEW_BYTES, detail=detail if free > _FEW_BYTES else f"{detail}: make room")
    if is_postgresql(url):
        return
    path = database_path(url, data_dir)
    for each in (path, path.with_name(f"{path.name}-wal")):
        if each.exists():
            yield mode_of(each)
    wal = path.with_name(f"{path.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    small = size < _LARGE_WAL_BYTES
    detail = f"{size // 2**20} MiB" if small else f"{size // 2**20} MiB: something reads for hours; end it"
    yield Finding(what="wal", ok=small, detail=detail)


def mode_of(file: Path) -> Finding:
    """Whether a file is for its owner alone."""
    mode = stat.S_IMODE(os.stat(file).st_mode)
    kept = not mode & 0o077
    detail = "for its owner alone" if kept else f"{file} is open to others ({mode:o}): chmod 600 it"
    return Finding(what=file.name, ok=kept, detail=detail)


def is_used(connection: sa.Connection) -> bool:
    """True where there are tables of ours, or of anybody."""
    return bool(sa.inspect(connection).get_table_names())


def is_made(connection: sa.Connection) -> bool:
    """True where our tables are there, of whatever version."""
    return sa.inspect(connection).has_table("schema")


def inside(connection: sa.Connection, schemas: Sequence[Schema]) -> Iterator[Finding]:
    """What the database itself says: its version, and damage."""
    dialect = Dialect(connection.dialect.name)
    yield _version(connection, [schema(), *schemas])
    looks = _SQLITE if dialect is Dialect.SQLITE else _POSTGRESQL
    for look in looks:
        yield look(connection)


def _version(connection: sa.Connection, schemas: Sequence[Schema]) -> Finding:
    found = is_made(connection)
    query = "SELECT room, max(version) FROM schema GROUP BY room"
    applied = {str(room): int(version) for room, version in connection.exec_driver_sql(query)} if found else {}
    if not applied:
        return Finding(what="version", ok=True, detail="empty: the first arbstr that opens it makes the tables")
    known = {each.room: len(each.migrations) for each in schemas}
    detail = ", ".join(f"{room} {version}" for room, version in sorted(applied.items()))
    if any(applied.get(room, 0) > version for room, version in known.items()):
        detail += ": newer than this program; upgrade arbstr"
    elif any(applied.get(room, 0) < version for room, version in known.items()):
        detail = f"{detail}: older than this program; run arbstr db upgrade"
    else:
        return Finding(what="version", ok=True, detail=detail)
    return Finding(what="version", ok=False, detail=detail)


def _damage(connection: sa.Connection) -> Finding:
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(3)")]
    well = found == ["ok"]
    return Finding(
        what="integrity", ok=well, detail="ok" if well else f"{'; '.join(found)}: stop arbstr, and restore a backup"
    )


def _references(connection: sa.Connection) -> Finding:
    row = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    detail = "ok" if row is None else f"{row[0]}, row {row[1]}: what it refers to is not there; restore a backup"
    return Finding(what="references", ok=row is None, detail=detail)


def _durability(connection: sa.Connection) -> Finding:
    said = {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in _DURABLE}
    off = [name for name, value in said.items() if value in ("off", "local")]
    detail = f"{', '.join(off)} off: what is acknowledged can be lost; switch it on" if off else "fsync on"
    return Finding(what="durability", ok=not off, detail=detail)


def _indexes(connection: sa.Connection) -> Finding:
    rows = connection.exec_driver_sql("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
    bad = [str(row[0]) for row in rows]
    detail = f"{', '.join(bad)} not valid: REINDEX them" if bad else "valid"
    return Finding(what="indexes", ok=not bad, detail=detail)


def _checksums(connection: sa.Connection) -> Finding:
    query = "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"
    failures = connection.exec_driver_sql(query).scalar()
    detail = "no page failed its checksum" if failures == 0 else f"{failures} pages failed: restore a backup"
    return Finding(what="checksums", ok=not failures, detail="pages have none" if failures is None else detail)


def _references_held(connection: sa.Connection) -> Finding:
    rows = connection.exec_driver_sql(
        "SELECT conname FROM pg_constraint WHERE NOT convalidated AND connamespace = current_schema()::regnamespace"
    )
    bad = [str(row[0]) for row in rows]
    return Finding(what="constraints", ok=not bad, detail=f"{', '.join(bad)} not valid" if bad else "valid")


_Look = Callable[[sa.Connection], Finding]
_SQLITE: tuple[_Look, ...] = (_damage, _references)
_POSTGRESQL: tuple[_Look, ...] = (_durability, _indexes, _references_held, _checksums)
