"""All that is SQLite's own: where the file is, how it is opened, its DDL and triggers, its errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from arbstr_core.types import StorageError

_PREFIX = "sqlite:///"
_PRAGMAS = (
    "PRAGMA busy_timeout=5000",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # Without it the delete triggers do not see the rows that INSERT OR REPLACE throws away.
    "PRAGMA recursive_triggers=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA temp_store=MEMORY",
    # Pages (32 MB): the same few pages are written again and again, and are copied home the more seldom.
    "PRAGMA wal_autocheckpoint=8000",
    "PRAGMA journal_size_limit=67108864",
)


class ConstraintFailed(StorageError):
    """A constraint or trigger of the database refused a change: the code that asked for it is wrong."""


def database_path(url: str, data_dir: Path) -> Path:
    """The file that `sqlite:///NAME` means; NAME is below `data_dir` unless it is absolute."""
    if url.startswith(("postgresql://", "postgres://")):
        raise StorageError(
            "[storage] url names PostgreSQL, which is not supported yet by this version: use sqlite:///NAME"
        )
    name = url.removeprefix(_PREFIX)
    if not url.startswith(_PREFIX) or not name or name == ":memory:":
        raise StorageError(f'[storage] url {url!r} is not a database: write "sqlite:///arbstr.db"')
    return data_dir / name


def make_file(path: Path) -> None:
    """Make an empty file for its owner alone where there is none; what SQLite puts beside it gets the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StorageError(f"{path} cannot be opened ({error.strerror}): check its folder and its owner") from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there. It commits when told to, and refuses what it should. May be used from
    another thread."""
    # Never a new file: a reader that made one would hide that the database was deleted.
    where = f"{path.absolute().as_uri()}?mode=rw"
    try:
        connection = sqlite3.connect(
            where, isolation_level=None, check_same_thread=False, cached_statements=512, uri=True
        )
    except sqlite3.Error as error:
        raise StorageError(
            f"{path} cannot be opened ({error}): check that its folder exists and can be written"
        ) from error
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except sqlite3.Error as error:
        connection.close()
        raise storage_error(path, error) from error
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that refuses to write."""
    connection = connect(path)
    connection.execute("PRAGMA query_only=ON")
    return connection


def read_engine(path: Path, size: int) -> sa.Engine:
    """An engine of at most `size` reading connections; each `connect()` sees one snapshot of committed data."""
    engine = sa.create_engine(
        "sqlite://",
        creator=lambda: connect_for_reading(path),
        poolclass=sa.QueuePool,
        pool_size=size,
        max_overflow=0,
    )
    # The driver opens no transaction of its own for SELECT, and two statements could see two states.
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """What the driver raised, as an error that names the file and the remedy."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintFailed(f"{path} refused a change: {error}")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    remedy = {
        sqlite3.SQLITE_FULL: "free some disk space",
        sqlite3.SQLITE_IOERR: "check the disk",
        sqlite3.SQLITE_CORRUPT: "stop arbstr and restore a backup",
        sqlite3.SQLITE_NOTADB: "name another file in [storage] url",
        sqlite3.SQLITE_READONLY: "make the file and its folder writable",
        sqlite3.SQLITE_BUSY: "close the other program that has it open",
    }.get(code, "see the log")
    return StorageError(f"{path}: {error}; {remedy}")


def create_table(table: sa.Table) -> str:
    """The DDL of `table`; declare it with `sqlite_strict=True`."""
    return str(CreateTable(table).compile(dialect=sqlite.dialect())).strip()


def create_index(index: sa.Index) -> str:
    """The DDL of `index`."""
    return str(CreateIndex(index).compile(dialect=sqlite.dialect())).strip()


def trigger(name: str, event: str, table: str, when: str, message: str) -> str:
    """A trigger that refuses `event` ("INSERT", "UPDATE", "DELETE") on `table` when `when` holds (empty: always)."""
    condition = f" WHEN {when}" if when else ""
    return f"CREATE TRIGGER {name} BEFORE {event} ON {table}{condition} BEGIN SELECT RAISE(ABORT, '{message}'); END"


def no_delete(table: sa.Table) -> str:
    """The trigger that keeps every row of `table`."""
    return trigger(f"{table.name}_no_delete", "DELETE", table.name, "", f"{table.name}: rows are never deleted")


def no_insert_over(table: sa.Table) -> str:
    """The trigger that refuses a row whose key is taken: INSERT OR REPLACE passes by the others."""
    keys = " OR ".join(f"({' AND '.join(f'{c} = NEW.{c}' for c in key)})" for key in _keys(table))
    when = f"EXISTS (SELECT 1 FROM {table.name} WHERE {keys})"
    return trigger(f"{table.name}_no_insert_over", "INSERT", table.name, when, f"{table.name}: the key is taken")


def immutable(table: sa.Table) -> tuple[str, str, str]:
    """The triggers that make `table` append-only."""
    message = f"{table.name}: rows are never changed"
    no_update = trigger(f"{table.name}_no_update", "UPDATE", table.name, "", message)
    return (no_update, no_delete(table), no_insert_over(table))


def _keys(table: sa.Table) -> Iterable[list[str]]:
    yield [column.name for column in table.primary_key.columns]
    for constraint in sorted(table.constraints, key=lambda found: str(found.name)):
        if isinstance(constraint, sa.UniqueConstraint):
            yield [column.name for column in constraint.columns]
    for index in sorted(table.indexes, key=lambda found: str(found.name)):
        if index.unique:
            yield [column.name for column in index.columns]
