"""What an operation works with while its transaction runs, whichever the database is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from arbstr_core.storage._statements import Bulk, BulkInsert, Dialect, Load, Parameters, Statement

T = TypeVar("T")

Answer = Callable[[], list[tuple[Any, ...]]]


class Operation(ABC, Generic[T]):
    """A change of the database. It may run more than once (a failed batch is run again), so it keeps no state."""

    must: ClassVar[bool] = False
    """True for what a full queue never refuses: settles and releases"""

    @abstractmethod
    def run(self, tx: Transaction) -> T:
        """Do it, in the writer's thread."""


class RunFirst(Exception):
    """Raised by an operation whose transaction cannot have it: it is rolled back, `operation` (if any) runs in one of
    its own, and all begins again. What others may make as well is made so: whoever waits for it holds nothing."""

    def __init__(self, operation: Operation[Any] | None = None) -> None:
        super().__init__(f"{operation} comes first")
        self.operation = operation


class Transaction(ABC):
    """One transaction. `scratch` lives as long as it does, `operations` are all that share it.

    Times are Unix milliseconds: this process's clock on SQLite, the database's on PostgreSQL.
    """

    dialect: ClassVar[Dialect]

    def __init__(self, now_ms: int, operations: Sequence[Operation[Any]]) -> None:
        self.now_ms = now_ms
        self.operations = operations
        self.scratch: dict[str, Any] = {}
        self._last: list[Callable[[], None]] = []

    @abstractmethod
    def run(self, statement: Statement, parameters: Parameters) -> int:
        """Run a statement; the number of rows it changed."""

    @abstractmethod
    def bulk(self, statement: Bulk | BulkInsert, rows: Sequence[Any]) -> None:
        """Run a statement over many rows at once, now or with the next ones. No rows: nothing is run."""

    @abstractmethod
    def ask(self, statement: Statement, parameters: Parameters) -> Answer:
        """Ask for rows, and go on asking: what is asked before the first answer is looked at goes out together."""

    def all(self, statement: Statement, parameters: Parameters) -> list[tuple[Any, ...]]:
        """All rows."""
        return self.ask(statement, parameters)()

    def asked(
        self, statement: Load[T], rows: Sequence[Any], parameters: Parameters | None = None
    ) -> Callable[[], list[T]]:
        """As `ask`, for what many rows name. No rows: nothing is asked."""
        if not rows:
            return list
        answer = self.ask(statement, statement.parameters(self.dialect, rows) | dict(parameters or {}))
        return lambda: statement.found(self.dialect, answer())

    def load(self, statement: Load[T], rows: Sequence[Any], parameters: Parameters | None = None) -> list[T]:
        """What a query finds for many rows at once."""
        return self.asked(statement, rows, parameters)()

    def one(self, statement: Statement, parameters: Parameters) -> tuple[Any, ...] | None:
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

    def forget(self) -> None:
        """Let go of what refers back to it: nothing of a batch should wait for the garbage collector."""
        self._last.clear()
        self.scratch.clear()
