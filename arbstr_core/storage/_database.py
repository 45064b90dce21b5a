"""The open database: its lock, its writer, its readers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from arbstr_core.api import Clock
from arbstr_core.storage._lock import Lock
from arbstr_core.storage._migrations import Schema, migrate
from arbstr_core.storage._sqlite import connect, database_path, make_file, read_engine, storage_error
from arbstr_core.storage._tables import schema
from arbstr_core.storage._writer import Operation, Writer
from arbstr_core.types import StorageError

T = TypeVar("T")

_READERS = 4


class Database:
    """One SQLite file, held by this process from `open` to `close`."""

    def __init__(self, path: Path, lock: Lock, writer: Writer, engine: sa.Engine) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._engine = engine
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="arbstr-reader")
        self._open = True

    @classmethod
    def open(
        cls, url: str, *, data_dir: Path, clock: Clock, schemas: Sequence[Schema] = (), queue_bound: int = 4096
    ) -> Database:
        """Open or make the database, take its lock, and bring it up to date. Raises StorageError with the remedy."""
        path = database_path(url, data_dir)
        lock = Lock(path)
        try:
            make_file(path)
            connection = connect(path)
            try:
                migrate(connection, path, [schema(), *schemas], clock.now_ms())
            except StorageError:
                connection.close()
                raise
        except StorageError:
            lock.close()
            raise
        return cls(path, lock, Writer(connection, path, clock, bound=queue_bound), read_engine(path, _READERS))

    def announce(self, admin: str) -> None:
        """Write the address of this process's admin API into the lock file."""
        self._lock.announce(admin)

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write; see Writer.submit. Raises Overloaded or VaultUnavailable."""
        return self._writer.submit(operation)

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a reader's thread, on one snapshot of committed data."""
        if not self._open:
            raise StorageError(f"{self.path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.Error):
                raise storage_error(self.path, error.orig) from error
            raise StorageError(f"{self.path}: {error}") from error

    async def close(self) -> None:
        """Finish the writes and reads that wait, then let go of the file. Closing twice does nothing."""
        if self._open:
            self._open = False
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._readers.shutdown(wait=True)
        self._engine.dispose()
        self._lock.close()
