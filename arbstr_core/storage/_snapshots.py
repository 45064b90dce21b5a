"""Several connections that see one and the same state of the database, for long reading in several threads."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import sqlalchemy as sa

from arbstr_core.types import StorageError

_SECONDS = 10.0
"""how long a moment without a commit is waited for"""


@contextmanager
def same_snapshot(engine: sa.Engine, count: int) -> Iterator[Sequence[sa.Connection]]:
    """`count` connections out of `engine`, which has one more."""
    with ExitStack() as stack:
        connections = [stack.enter_context(engine.connect()) for _ in range(count)]
        if engine.dialect.name == "sqlite":
            _between_commits(engine, connections)
        else:
            _handed_on(connections)
        yield connections


def _between_commits(engine: sa.Engine, connections: Sequence[sa.Connection]) -> None:
    """SQLite hands no snapshot on: all begin, and where somebody committed meanwhile, all begin again."""
    watcher = engine.raw_connection()
    try:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            before = _version(watcher)
            for connection in connections:
                connection.rollback()
                connection.exec_driver_sql("SELECT 1 FROM sqlite_schema LIMIT 1")
            if _version(watcher) == before:
                return
    finally:
        watcher.close()
    raise StorageError(f"the database was never at rest for a moment in {_SECONDS:.0f} s: try again later")


def _version(watcher: sa.PoolProxiedConnection) -> int:
    cursor = watcher.cursor()
    cursor.execute("PRAGMA data_version")
    row = cursor.fetchone()
    assert row is not None, "a PRAGMA gave no row"
    return int(row[0])


def _handed_on(connections: Sequence[sa.Connection]) -> None:
    name = str(connections[0].exec_driver_sql("SELECT pg_export_snapshot()").scalar())
    for connection in connections[1:]:
        connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{name}'")
