"""The writer: one thread, one connection; operations that wait together share one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import struct
import threading
import time
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from arbstr_core.api import Clock
from arbstr_core.storage._linger import Linger
from arbstr_core.storage._link import Link, NotCommitted
from arbstr_core.storage._transaction import Operation, RunFirst
from arbstr_core.types import ArbstrError, Overloaded, StorageError, VaultUnavailable

T = TypeVar("T")

# What a faulty operation, or a value that no database takes, may raise without taking the writer with it, beside what
# the driver raises. Anything else (no memory, an interrupt) ends the writer: everyone waiting is told, and from then on
# money does not move.
_FAULTS: tuple[type[BaseException], ...] = (
    ArbstrError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    SQLAlchemyError,
    struct.error,
)


_BUSY = 4
"""From so many operations in the last batch on, the next one lingers."""


_Item = tuple[Operation[Any], "asyncio.Future[Any]"]
_Result = tuple["asyncio.Future[Any]", Any, BaseException | None]


class Writer:
    """Owns the writing connection. `submit` belongs to the event loop's thread; everything else to the writer's."""

    def __init__(self, link: Link, clock: Clock, *, bound: int = 4096, batch: int = 256) -> None:
        self._link = link
        self._faults = _FAULTS + link.faults
        self._clock = clock
        self._bound = bound
        self._batch = batch
        self._queue: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._waiting: list[_Item] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handing_over: asyncio.AbstractEventLoop | None = None
        self._working = False
        self._last_size = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="arbstr-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many operations wait for the batch that is at work."""
        return len(self._waiting)

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue an operation. The future resolves when its transaction is durable, or with why it is not."""
        if self._closed:
            raise VaultUnavailable(f"{self._link.name} takes no writes: its writer has ended; restart arbstr")
        if not operation.must and len(self._waiting) >= self._bound:
            raise Overloaded(f"{self._bound} writes are waiting for {self._link.name}: try again")
        loop = self._loop
        if loop is None or not loop.is_running():
            # Asking for it is a call into the kernel, on Python 3.11.
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((operation, future))
        if not self._working and self._handing_over is not loop:
            self._schedule(loop)
        return future

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over what waits, soon: at the end of this turn of the loop where little is going on, else once everybody
        who could still come is here. One batch is at work at a time, so they grow with the load by themselves."""
        self._handing_over = loop
        if self._last_size >= _BUSY:
            linger = Linger(time.monotonic(), expected=self._last_size, most=self._batch)
            loop.call_soon(self._look_around, loop, linger)
        else:
            loop.call_soon(self._hand_over)

    def _look_around(self, loop: asyncio.AbstractEventLoop, linger: Linger) -> None:
        if linger.over(len(self._waiting), time.monotonic()):
            self._hand_over()
        else:
            loop.call_soon(self._look_around, loop, linger)

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
            self._link.close()

    def _outcomes(self, batch: list[_Item], *, again: bool = True, hurry: bool = False) -> list[_Result]:
        """Run a batch in one transaction, after what one of it needs; where one of it fails, each again in its own."""
        failed: BaseException | None = None
        while failed is None:
            try:
                results = self._run([operation for operation, _ in batch], hurry)
            except _NoTransaction as refusal:
                return [(future, None, refusal.reason) for _, future in batch]
            except NotCommitted as failure:
                return [(future, None, failure) for _, future in batch]
            except RunFirst as first:
                self._link.roll_back()
                if first.operation is not None:
                    failed = self._outcomes([(first.operation, batch[0][1])], hurry=hurry)[0][2]
            except self._faults as fault:
                lost, waited = self._link.lost(fault), self._link.waited(fault)
                self._link.roll_back()
                if again and (lost or self._link.overtaken(fault)):
                    return self._outcomes(batch, again=False)
                if lost or len(batch) == 1:
                    told = self._link.told(fault)
                    return [(future, None, told) for _, future in batch]
                # Where a lock was waited for in vain, those that want it as well must not wait as long, each by itself.
                return [result for item in batch for result in self._outcomes([item], hurry=waited)]
            else:
                return [(future, result, None) for (_, future), result in zip(batch, results, strict=True)]
        if len(batch) == 1:
            return [(batch[0][1], None, failed)]
        return [result for item in batch for result in self._outcomes([item], hurry=hurry)]

    def _run(self, operations: list[Operation[Any]], hurry: bool) -> list[Any]:
        try:
            transaction = self._link.begin(self._clock, operations, hurry=hurry)
        except StorageError as refusal:
            # One wait for a locked file is enough: what is true of the batch is true of each of its operations.
            raise _NoTransaction(refusal) from refusal
        results = [operation.run(transaction) for operation in operations]
        transaction.finish()
        self._link.commit(transaction)
        transaction.forget()
        return results

    def _abandon(self, batch: list[_Item]) -> None:
        left = [item for item in batch if not item[1].done()]
        while not self._queue.empty():
            left += self._queue.get_nowait() or []
        left += self._waiting
        gone = f"{self._link.name} takes no writes: its writer has ended; restart arbstr"
        self._deliver([(future, None, VaultUnavailable(gone)) for _, future in left])

    def _deliver(self, results: list[_Result]) -> None:
        """One call into the loop for the whole batch, and into the one where others wait meanwhile, if that is another.
        Waiters of a loop that is closed are told nothing any more."""
        self._working = False
        loops: dict[asyncio.AbstractEventLoop, list[_Result]] = {} if self._loop is None else {self._loop: []}
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
        if self._waiting and not self._working and self._handing_over is not loop:
            self._schedule(loop)


class _NoTransaction(Exception):
    """A transaction could not even begin."""

    def __init__(self, reason: StorageError) -> None:
        super().__init__(str(reason))
        self.reason = reason
