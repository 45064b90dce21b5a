"""All that is SQLite's own: where the file is, how it is opened, its transactions, its errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa

from arbstr_core.api import Clock
from arbstr_core.storage._link import ConstraintFailed, Link, NotCommitted
from arbstr_core.storage._statements import Bulk, BulkInsert, Dialect, Parameters, Statement
from arbstr_core.storage._transaction import Answer, Operation, Transaction
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


def database_path(url: str, data_dir: Path) -> Path:
    """The file that `sqlite:///NAME` means; NAME is below `data_dir` unless it is absolute."""
    name = url.removeprefix(_PREFIX)
    if not url.startswith(_PREFIX) or not name or name == ":memory:":
        raise StorageError(
            f'[storage] url {url!r} is not a database: write "sqlite:///arbstr.db" or "postgresql://user@host/arbstr"'
        )
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


class SqliteTransaction(Transaction):
    """A transaction that is alone in the file."""

    dialect: ClassVar[Dialect] = Dialect.SQLITE

    def __init__(self, cursor: sqlite3.Cursor, now_ms: int, operations: Sequence[Operation[Any]]) -> None:
        super().__init__(now_ms, operations)
        self._cursor = cursor

    def run(self, statement: Statement, parameters: Parameters) -> int:
        """Run a statement; the number of rows it changed."""
        return self._cursor.execute(statement.sql(Dialect.SQLITE), parameters).rowcount

    def bulk(self, statement: Bulk | BulkInsert, rows: Sequence[Any]) -> None:
        """Run a statement over many rows at once."""
        if not rows:
            return
        if isinstance(statement, BulkInsert):
            for sql, values in statement.for_sqlite(rows):
                self._cursor.execute(sql, values)
        else:
            self._cursor.execute(statement.sql(Dialect.SQLITE), statement.parameters(Dialect.SQLITE, rows))

    def ask(self, statement: Statement, parameters: Parameters) -> Answer:
        """Ask for rows, which are there at once."""
        rows = self._cursor.execute(statement.sql(Dialect.SQLITE), parameters).fetchall()
        return lambda: rows


class SqliteLink(Link):
    """The one writing connection to a file."""

    faults = (sqlite3.Error, sqlite3.Warning)

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.name = str(path)
        self._path = path
        self._connection = connection
        self._file = _identity(path)

    def begin(self, clock: Clock, operations: Sequence[Operation[Any]], *, hurry: bool = False) -> SqliteTransaction:
        """Take the file's write lock, which is waited for once a batch anyway."""
        # What has lost its name for a moment was in other hands: it stays lost. An open file's inode is not given anew.
        if self._file is None or _identity(self._path) != self._file:
            self._file = None
            raise StorageError(
                f"{self._path} was deleted or replaced while arbstr runs: nothing is written any more; "
                "stop arbstr, put the right file back, and start it"
            )
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise storage_error(self._path, error) from error
        return SqliteTransaction(self._connection.cursor(), clock.now_ms(), operations)

    def commit(self, tx: Transaction) -> None:
        """Write it to the disk."""
        # A COMMIT that failed is not tried again: the disk is full or broken, and nobody was told anything yet.
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.roll_back()
            raise NotCommitted(str(storage_error(self._path, error))) from error

    def roll_back(self) -> None:
        """Undo what is open."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def lost(self, fault: BaseException) -> bool:
        """A file is never lost half-way; see `begin`."""
        return False

    def waited(self, fault: BaseException) -> bool:
        """There is one lock, and it is had from the beginning."""
        return False

    def told(self, fault: BaseException) -> BaseException:
        """The driver's errors with the file's name and the remedy."""
        if not isinstance(fault, sqlite3.Error):
            return fault
        error = storage_error(self._path, fault)
        error.__cause__ = fault
        return error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file has the name `path`; None where none can be found."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class SqliteMigrating:
    """A connection that migrations run on."""

    dialect = Dialect.SQLITE

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.name = str(path)
        self._path = path
        self._connection = connection

    def has_table(self, name: str) -> bool:
        """True where there is such a table."""
        try:
            found = self._connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (name,))
            return found.fetchone() is not None
        except sqlite3.Error as error:
            raise storage_error(self._path, error) from error

    def execute(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Run one statement."""
        try:
            return self._connection.execute(sql).fetchall()
        except sqlite3.Error as error:
            raise storage_error(self._path, error) from error

    def together(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for statement in statements:
                    self._connection.execute(statement)
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise storage_error(self._path, error) from error
