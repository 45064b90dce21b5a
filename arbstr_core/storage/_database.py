"""The open database: its lock, its writer, its readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from arbstr_core.api import Clock
from arbstr_core.storage._backup import copy_aside
from arbstr_core.storage._link import Link
from arbstr_core.storage._lock import Lock
from arbstr_core.storage._migrations import Migrating, Schema, applied_to, apply, make, missing_of, refuse_older
from arbstr_core.storage._reading import Engine, Reader, Told, same_snapshot
from arbstr_core.storage._sqlite import SqliteLink, SqliteMigrating, connect, database_path, make_file, read_engine
from arbstr_core.storage._sqlite import storage_error as sqlite_error
from arbstr_core.storage._statements import Dialect
from arbstr_core.storage._tables import schema
from arbstr_core.storage._transaction import Operation
from arbstr_core.storage._writer import Writer
from arbstr_core.types import Secret, StorageError

T = TypeVar("T")

_READERS = 4


@dataclass(frozen=True, kw_only=True)
class Upgraded:
    """What an upgrade did: the steps it applied, and where the file as it was is kept (SQLite)."""

    steps: Sequence[str] = ()
    kept: Path | None = None


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """What the two databases have in common once they are open."""

    name: str
    dialect: Dialect
    link: Link
    engine: Engine
    told: Told
    upgraded: Upgraded


class Database:
    """A database, open from `open` to `close`: a SQLite file, which is this process's alone, or PostgreSQL."""

    def __init__(self, opened: _Opened, clock: Clock, lock: Lock, schemas: Sequence[Schema], queue_bound: int) -> None:
        self.name = opened.name
        self.dialect = opened.dialect
        self.schemas = tuple(schemas)
        """the rooms that have tables in it, beside our own"""
        self.upgraded = opened.upgraded
        self._link = opened.link
        self._lock = lock
        self._writer = Writer(opened.link, clock, bound=queue_bound)
        self._engine_of = opened.engine
        self._told = opened.told
        self._engine = opened.engine(_READERS)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="arbstr-reader")
        self._open = True

    @classmethod
    def open(
        cls,
        url: str,
        *,
        data_dir: Path,
        clock: Clock,
        schemas: Sequence[Schema] = (),
        password: Secret | None = None,
        upgrade: bool = False,
        queue_bound: int = 4096,
    ) -> Database:
        """Open the database, or make all of it where it is empty.

        One that is older than this program is upgraded only with `upgrade`. Raises StorageError with the remedy.
        """
        all_schemas = [schema(), *schemas]
        lock = locked(url, data_dir)
        try:
            opened = (
                _open_postgresql(url, password, clock, all_schemas, upgrade)
                if is_postgresql(url)
                else _open_sqlite(database_path(url, data_dir), clock, all_schemas, upgrade)
            )
        except StorageError:
            lock.close()
            raise
        return cls(opened, clock, lock, schemas, queue_bound)

    def announce(self, admin: str) -> None:
        """Write the address of this process's admin API where commands look for it."""
        self._lock.announce(admin)

    @property
    def waiting(self) -> int:
        """How many writes wait for the batch that is at work."""
        return self._writer.waiting

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write; see Writer.submit. Raises Overloaded or VaultUnavailable."""
        return self._writer.submit(operation)

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a reader's thread, on one snapshot of committed data. Raises StorageError."""
        if not self._open:
            raise StorageError(f"{self.name} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            raise self._told(error.orig) from error

    async def read_together(self, work: Callable[[Sequence[Reader]], T], count: int) -> T:
        """As `read`, with `count` readers that see the same snapshot, for long work that `work` shares out to threads,
        one a reader. They are its own, so that others do not wait for it."""
        if not self._open:
            raise StorageError(f"{self.name} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read_together, work, count)

    def _read_together(self, work: Callable[[Sequence[Reader]], T], count: int) -> T:
        with same_snapshot(self._engine_of, self._told, count) as readers:
            return work(readers)

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


def run_together(url: str, password: Secret | None, statements: Sequence[str]) -> None:
    """Run statements on PostgreSQL in one transaction, while nobody migrates. Raises StorageError."""
    from arbstr_core.storage._postgresql import Server, migrating

    with migrating(Server(url, password)) as connection:
        connection.together(statements)


def lock_base(url: str, data_dir: Path) -> Path:
    """What the lock file stands beside: the SQLite file; on PostgreSQL nothing but a name in `data_dir`."""
    return data_dir / "arbstr" if is_postgresql(url) else database_path(url, data_dir)


def locked(url: str, data_dir: Path) -> Lock:
    """The lock of a database: no other process opens it until it is closed. Raises StorageError with who has it."""
    if is_postgresql(url):
        remedy = f"{data_dir} is in use by {{who}}: stop it, or give each process a data_dir of its own"
    else:
        path = database_path(url, data_dir)
        remedy = f"{path} is in use by {{who}}: stop it, or name another file in [storage] url"
    return Lock(lock_base(url, data_dir), taken=remedy)


def _open_sqlite(path: Path, clock: Clock, schemas: Sequence[Schema], upgrade: bool) -> _Opened:
    make_file(path)
    connection = connect(path)
    try:
        keep = (lambda: copy_aside(path, "before-upgrade", clock.now_ms())) if upgrade else None
        upgraded = _migrated(SqliteMigrating(path, connection), schemas, clock, keep, upgrade)
    except StorageError:
        connection.close()
        raise
    link = SqliteLink(path, connection)
    return _Opened(
        name=str(path),
        dialect=Dialect.SQLITE,
        link=link,
        engine=partial(read_engine, path),
        told=partial(sqlite_error, path),
        upgraded=upgraded,
    )


def _open_postgresql(
    url: str, password: Secret | None, clock: Clock, schemas: Sequence[Schema], upgrade: bool
) -> _Opened:
    try:
        from arbstr_core.storage._postgresql import Server, migrating, storage_error
        from arbstr_core.storage._postgresql_link import PostgresLink
    except ImportError as missing:
        raise StorageError(
            f"[storage] url names PostgreSQL, and its driver is not here ({missing}): "
            "pip install 'arbstr-core[postgresql]'"
        ) from missing
    server = Server(url, password)
    with migrating(server) as connection:
        upgraded = _migrated(connection, schemas, clock, None, upgrade)
    link = PostgresLink(server)
    return _Opened(
        name=link.name,
        dialect=Dialect.POSTGRESQL,
        link=link,
        engine=server.read_engine,
        told=partial(storage_error, link.name),
        upgraded=upgraded,
    )


def _migrated(
    connection: Migrating, schemas: Sequence[Schema], clock: Clock, keep: Callable[[], Path] | None, wanted: bool
) -> Upgraded:
    applied = applied_to(connection)
    if not applied:
        make(connection, schemas, clock.now_ms())
        return Upgraded()
    missing = missing_of(connection.name, applied, schemas)
    if not wanted:
        refuse_older(connection.name, missing)
    if not missing:
        return Upgraded()
    kept = keep() if keep is not None else None
    return Upgraded(steps=apply(connection, missing, clock.now_ms()), kept=kept)
