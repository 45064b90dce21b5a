"""Long reading, shared out: readers that see one and the same state of the database.

The first is in this process, each other in a process of its own: Python has one lock for its steps, and SQLite one for
each piece of memory that it takes, so threads would wait for each other most of the time.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from arbstr_core.types import StorageError

T = TypeVar("T")

Engine = Callable[[int], sa.Engine]
"""An engine of so many reading connections; can be pickled"""
Told = Callable[[Any], StorageError]
"""What the driver raised, with the database's name and the remedy; can be pickled"""

_SECONDS = 10.0
"""how long a moment without a commit is waited for"""
# It is read page by page: to start a worker takes longer than a page.
_ALONE = "SET LOCAL max_parallel_workers_per_gather = 0"
_CHILD = "from arbstr_core.storage._reading import serve; serve({0})"


class Reader(ABC):
    """One of them. For one thread at a time."""

    @abstractmethod
    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` gives; elsewhere it works on a copy, and what it does to itself is seen in what it gives alone.
        Raises StorageError."""


class _Here(Reader):
    def __init__(self, connection: sa.Connection, told: Told) -> None:
        self._connection = connection
        self._told = told

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            return work(self._connection)
        except DBAPIError as error:
            raise self._told(error.orig) from error


class _Elsewhere(Reader):
    """A child. It ends when this does, for its end of the pipe then breaks."""

    def __init__(self, engine_of: Engine, told: Told) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-P", "-c", _CHILD.format(theirs.fileno())]
            # Ctrl-C is for this process, which then ends its child.
            self._process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, start_new_session=True
            )
        with suppress(OSError):  # it broke: seen with the first work
            self._pipe.send((engine_of, told))

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            self._pipe.send(work)
            given, fault = self._pipe.recv()
        except (EOFError, OSError) as gone:
            status = self._process.wait()
            raise StorageError(
                f"the process that helps to read the database ended with status {status}: what it said is in the log"
            ) from gone
        if fault is not None:
            raise fault
        found: T = given
        return found

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()


def serve(handle: int) -> None:
    """Be a child: do what comes through the pipe, until it ends."""
    with Connection(handle) as pipe, suppress(EOFError, BrokenPipeError, ConnectionResetError), ExitStack() as stack:
        engine_of, told = pipe.recv()
        engine = engine_of(1)
        connection: sa.Connection | None = None
        while True:
            work = pipe.recv()
            try:
                connection = connection or stack.enter_context(engine.connect())
                answer = pickle.dumps((work(connection), None))
            except DBAPIError as error:
                answer = pickle.dumps((None, told(error.orig)))
            except StorageError as error:
                answer = pickle.dumps((None, error))
            pipe.send_bytes(answer)


@contextmanager
def same_snapshot(engine_of: Engine, told: Told, count: int) -> Iterator[Sequence[Reader]]:
    """`count` readers of one state. Raises StorageError."""
    engine = engine_of(2)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        others: list[_Elsewhere] = []
        for _ in range(count - 1):
            others.append(_Elsewhere(engine_of, told))
            stack.callback(others[-1].close)
        try:
            here = _Here(stack.enter_context(engine.connect()), told)
            readers = (here, *others)
            if engine.dialect.name == "sqlite":
                _between_commits(engine, readers)
            else:
                _handed_on(readers)
        except DBAPIError as error:
            raise told(error.orig) from error
        yield readers


def _between_commits(engine: sa.Engine, readers: Sequence[Reader]) -> None:
    """SQLite hands no snapshot on: all begin, and where somebody committed meanwhile, all begin again."""
    watcher = engine.raw_connection()
    try:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            before = _version(watcher)
            for reader in readers:
                reader.run(_begin)
            if _version(watcher) == before:
                return
    finally:
        watcher.close()
    raise StorageError(f"the database was never at rest for a moment in {_SECONDS:.0f} s: try again later")


def _begin(connection: sa.Connection) -> None:
    connection.rollback()
    connection.exec_driver_sql("SELECT 1 FROM sqlite_schema LIMIT 1")


def _version(watcher: sa.PoolProxiedConnection) -> int:
    cursor = watcher.cursor()
    cursor.execute("PRAGMA data_version")
    row = cursor.fetchone()
    assert row is not None, "a PRAGMA gave no row"
    return int(row[0])


def _handed_on(readers: Sequence[Reader]) -> None:
    name = readers[0].run(_exported)
    for reader in readers[1:]:
        reader.run(partial(_imported, name))


def _exported(connection: sa.Connection) -> str:
    connection.exec_driver_sql(_ALONE)
    return str(connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar())


def _imported(name: str, connection: sa.Connection) -> None:
    connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{name}'")
    connection.exec_driver_sql(_ALONE)
