"""The writer: one thread, one connection; operations that wait together share one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from arbstr_core.api import Clock
from arbstr_core.storage._sqlite import storage_error
from arbstr_core.storage._statements import Bulk, BulkInsert, Statement, encode_rows
from arbstr_core.types import ArbstrError, Overloaded, StorageError, VaultUnavailable

T = TypeVar("T")

# What a faulty operation may raise without taking the writer with it. Anything else (no memory, an interrupt) ends the
# writer: everyone waiting is told, and from then on money does not move.
_FAULTS = (
    sqlite3.Error,
    sqlite3.Warning,
    ArbstrError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    SQLAlchemyError,
)


_BUSY = 4
"""From so many operations in the last batch on, the next one waits a moment for company."""
_LINGER_SECONDS = 0.003


class Operation(ABC, Generic[T]):
    """A change of the database. It may run more than once (a failed batch is run again), so it keeps no state."""

    must: ClassVar[bool] = False
    """True for what a full queue never refuses: settles and releases"""

    @abstractmethod
    def run(self, tx: Transaction) -> T:
        """Do it, in the writer's thread."""


class Transaction:
    """What an operation works with. `scratch` lives as long as the transaction, `operations` are all that share it."""

    def __init__(self, connection: sqlite3.Connection, now_ms: int, operations: Sequence[Operation[Any]]) -> None:
        self._cursor = connection.cursor()
        self._last: list[Callable[[], None]] = []
        self.now_ms = now_ms
        self.operations = operations
        self.scratch: dict[str, Any] = {}

    def run(self, statement: Statement, parameters: Mapping[str, Any]) -> int:
        """Run a statement; the number of rows it changed."""
        return self._cursor.execute(statement.sql, parameters).rowcount

    def bulk(self, statement: Bulk | BulkInsert, rows: Sequence[Any]) -> int:
        """Run a statement over many rows at once; the number of rows it changed. No rows: nothing is run."""
        if not rows:
            return 0
        if isinstance(statement, BulkInsert):
            return sum(self._cursor.execute(sql, values).rowcount for sql, values in statement.statements(rows))
        return self._cursor.execute(statement.sql, {"rows": encode_rows(rows)}).rowcount

    def all(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows."""
        return self._cursor.execute(statement.sql, parameters).fetchall()

    def one(self, statement: Statement, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The first row, or None."""
        rows = self.all(statement, parameters)
        return rows[0] if rows else None

    def before_commit(self, work: Callable[[], None]) -> None:
        """Run `work` once, when all operations of this transaction have run."""
        self._last.append(work)

    def finish(self) -> None:
        """Run what waits for the end."""
        for work in self._last:
            work()
        self._cursor.close()


_Item = tuple[Operation[Any], "asyncio.Future[Any]"]
_Result = tuple["asyncio.Future[Any]", Any, BaseException | None]


class Writer:
    """Owns the writing connection. `submit` belongs to the event loop's thread; everything else to the writer's."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, clock: Clock, *, bound: int = 4096, batch: int = 256
    ) -> None:
        self._connection = connection
        self._path = path
        self._file = _identity(path)
        self._clock = clock
        self._bound = bound
        self._batch = batch
        self._queue: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._waiting: list[_Item] = []
        self._handing_over: tuple[asyncio.AbstractEventLoop, asyncio.Handle] | None = None
        self._working = False
        self._last_size = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="arbstr-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue an operation. The future resolves when its transaction is durable, or with why it is not."""
        if self._closed:
            raise VaultUnavailable(f"{self._path} takes no writes: its writer has ended; restart arbstr")
        if not operation.must and len(self._waiting) >= self._bound:
            raise Overloaded(f"{self._bound} writes are waiting for {self._path}: try again")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((operation, future))
        if not self._working:
            if self._handing_over is None or self._handing_over[0].is_closed():
                self._schedule(loop)
            elif len(self._waiting) == self._last_size:
                self._hurry(loop)
        return future

    def _hurry(self, loop: asyncio.AbstractEventLoop) -> None:
        """As many as last time are here: nobody else is to be expected."""
        if self._handing_over is not None:
            self._handing_over[1].cancel()
        self._handing_over = (loop, loop.call_soon(self._hand_over))

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over what waits, soon: at the end of this turn of the loop where little is going on, else after a
        moment in which more comes. One batch is at work at a time, so they grow with the load by themselves."""
        if self._last_size >= _BUSY:
            handle: asyncio.Handle = loop.call_later(_LINGER_SECONDS, self._hand_over)
        else:
            handle = loop.call_soon(self._hand_over)
        self._handing_over = (loop, handle)

    def _hand_over(self) -> None:
        self._handing_over = None
        if self._waiting and not self._working:
            batch, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
            self._working = True
            self._last_size = len(batch)
            self._queue.put(batch)

    def close(self) -> None:
        """Refuse what comes from now on, finish what waits, end the thread."""
        if not self._closed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            for start in range(0, len(waiting), self._batch):
                self._queue.put(waiting[start : start + self._batch])
            self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        batch: list[_Item] | None = []
        try:
            while (batch := self._queue.get()) is not None:
                self._deliver(self._outcomes(batch))
        finally:
            self._closed = True
            self._abandon(batch or [])
            self._connection.close()

    def _outcomes(self, batch: list[_Item]) -> list[_Result]:
        """Run a batch in one transaction; where one of it fails, each again in its own."""
        refusal = self._begin()
        if refusal is not None:
            return [(future, None, refusal) for _, future in batch]
        try:
            transaction, results = self._run([operation for operation, _ in batch])
        except _FAULTS as fault:
            self._roll_back()
            if len(batch) == 1:
                return [(batch[0][1], None, self._told(fault))]
            return [result for item in batch for result in self._outcomes([item])]
        failure = self._commit(transaction)
        return [(future, result, failure) for (_, future), result in zip(batch, results, strict=True)]

    def _begin(self) -> BaseException | None:
        """Begin a transaction, or say why there is none. One wait for a locked file is enough: what is true of the
        batch is true of each of its operations."""
        # What has lost its name for a moment was in other hands: it stays lost. An open file's inode is not given anew.
        if self._file is None or _identity(self._path) != self._file:
            self._file = None
            return StorageError(
                f"{self._path} was deleted or replaced while arbstr runs: nothing is written any more; "
                "stop arbstr, put the right file back, and start it"
            )
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            return self._told(error)
        return None

    def _run(self, operations: list[Operation[Any]]) -> tuple[Transaction, list[Any]]:
        transaction = Transaction(self._connection, self._clock.now_ms(), operations)
        results = [operation.run(transaction) for operation in operations]
        transaction.finish()
        return transaction, results

    def _commit(self, transaction: Transaction) -> BaseException | None:
        # A COMMIT that failed is not tried again: the disk is full or broken, and nobody was told anything yet.
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            return self._told(error)
        return None

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _told(self, fault: BaseException) -> BaseException:
        if not isinstance(fault, sqlite3.Error):
            return fault
        error = storage_error(self._path, fault)
        error.__cause__ = fault
        return error

    def _abandon(self, batch: list[_Item]) -> None:
        left = [item for item in batch if not item[1].done()]
        while not self._queue.empty():
            left += self._queue.get_nowait() or []
        left += self._waiting
        gone = f"{self._path} takes no writes: its writer has ended; restart arbstr"
        self._deliver([(future, None, VaultUnavailable(gone)) for _, future in left])

    def _deliver(self, results: list[_Result]) -> None:
        """One call into the loop for the whole batch. Waiters of a loop that is closed are told nothing any more."""
        self._working = False
        loops: dict[asyncio.AbstractEventLoop, list[_Result]] = {}
        for result in results:
            loops.setdefault(result[0].get_loop(), []).append(result)
        for loop, own in loops.items():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._resolve, loop, own)

    def _resolve(self, loop: asyncio.AbstractEventLoop, results: list[_Result]) -> None:
        for future, value, failure in results:
            if future.done():
                continue
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)
        if self._waiting and not self._working and self._handing_over is None:
            self._schedule(loop)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file has the name `path`; None where none can be found."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
