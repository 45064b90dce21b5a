"""The open database: its lock, its writer, its readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from arbstr_core.api import Clock
from arbstr_core.storage._link import Link
from arbstr_core.storage._lock import Lock
from arbstr_core.storage._migrations import Schema, migrate
from arbstr_core.storage._sqlite import SqliteLink, SqliteMigrating, connect, database_path, make_file, read_engine
from arbstr_core.storage._statements import Dialect
from arbstr_core.storage._tables import schema
from arbstr_core.storage._transaction import Operation
from arbstr_core.storage._writer import Writer
from arbstr_core.types import StorageError

T = TypeVar("T")

_READERS = 4


class Database:
    """A database, open from `open` to `close`: a SQLite file, which is this process's alone, or PostgreSQL."""

    def __init__(
        self, name: str, dialect: Dialect, link: Link, engine: sa.Engine, clock: Clock, lock: Lock, queue_bound: int
    ) -> None:
        self.name = name
        self.dialect = dialect
        self._link = link
        self._lock = lock
        self._writer = Writer(link, clock, bound=queue_bound)
        self._engine = engine
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="arbstr-reader")
        self._open = True

    @classmethod
    def open(
        cls, url: str, *, data_dir: Path, clock: Clock, schemas: Sequence[Schema] = (), queue_bound: int = 4096
    ) -> Database:
        """Open or make the database and bring it up to date. Raises StorageError with the remedy."""
        make = _open_postgresql if is_postgresql(url) else _open_sqlite
        return make(url, data_dir, clock, [schema(), *schemas], queue_bound)

    def announce(self, admin: str) -> None:
        """Write the address of this process's admin API where commands look for it."""
        self._lock.announce(admin)

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write; see Writer.submit. Raises Overloaded or VaultUnavailable."""
        return self._writer.submit(operation)

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a reader's thread, on one snapshot of committed data."""
        if not self._open:
            raise StorageError(f"{self.name} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            told = self._link.told(error.orig) if error.orig is not None else error
            raise (told if isinstance(told, StorageError) else StorageError(f"{self.name}: {error}")) from error

    async def close(self) -> None:
        """Finish the writes and reads that wait, then let go of it. Closing twice does nothing."""
        if self._open:
            self._open = False
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._readers.shutdown(wait=True)
        self._engine.dispose()
        self._lock.close()


def is_postgresql(url: str) -> bool:
    """True where `url` names a PostgreSQL database."""
    return url.partition("://")[0] in ("postgresql", "postgres")


def lock_base(url: str, data_dir: Path) -> Path:
    """What the lock file stands beside: the SQLite file; on PostgreSQL nothing but a name in `data_dir`."""
    return data_dir / "arbstr" if is_postgresql(url) else database_path(url, data_dir)


def _open_sqlite(url: str, data_dir: Path, clock: Clock, schemas: Sequence[Schema], queue_bound: int) -> Database:
    path = database_path(url, data_dir)
    lock = Lock(path)
    try:
        make_file(path)
        connection = connect(path)
        try:
            migrate(SqliteMigrating(path, connection), schemas, clock.now_ms())
        except StorageError:
            connection.close()
            raise
    except StorageError:
        lock.close()
        raise
    engine = read_engine(path, _READERS)
    return Database(str(path), Dialect.SQLITE, SqliteLink(path, connection), engine, clock, lock, queue_bound)


def _open_postgresql(url: str, data_dir: Path, clock: Clock, schemas: Sequence[Schema], queue_bound: int) -> Database:
    try:
        from arbstr_core.storage import _postgresql as pg
    except ImportError as missing:
        raise StorageError(
            f"[storage] url names PostgreSQL, and its driver is not here ({missing}): "
            "pip install 'arbstr-core[postgresql]'"
        ) from missing
    lock = Lock(lock_base(url, data_dir))
    try:
        connection = pg.connect(url)
        try:
            migrating = pg.PostgresMigrating(url, connection)
            migrate(migrating, schemas, clock.now_ms())
            migrating.done()
            link = pg.PostgresLink(url, connection)
        except StorageError:
            connection.close()
            raise
    except StorageError:
        lock.close()
        raise
    engine = pg.read_engine(url, _READERS)
    return Database(link.name, Dialect.POSTGRESQL, link, engine, clock, lock, queue_bound)
