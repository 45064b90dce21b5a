"""A writer's connection to its database: what begins, commits and undoes a transaction, and says what went wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from arbstr_core.api import Clock
from arbstr_core.storage._transaction import Operation, Transaction
from arbstr_core.types import StorageError


class ConstraintFailed(StorageError):
    """A constraint or trigger of the database refused a change: the code that asked for it is wrong."""


class NotAllowed(StorageError):
    """The role that this process logs in as has no right to do that."""


class NotCommitted(StorageError):
    """A COMMIT failed, or nobody can tell whether it did; the same operations one by one would do no better."""


class Link(ABC):
    """Belongs to the writer's thread alone. `name` is what messages call the database."""

    name: str
    faults: tuple[type[BaseException], ...]
    """what the driver raises"""

    @abstractmethod
    def begin(self, clock: Clock, operations: Sequence[Operation[Any]], *, hurry: bool = False) -> Transaction:
        """A new transaction for `operations`; with `hurry` it waits for nobody's lock. Raises StorageError where there
        is none to be had."""

    @abstractmethod
    def commit(self, tx: Transaction) -> None:
        """Make it durable. Raises NotCommitted, or one of `faults` where a statement that waited was refused."""

    @abstractmethod
    def roll_back(self) -> None:
        """Undo the transaction that is open, if there is one. Raises nothing."""

    @abstractmethod
    def lost(self, fault: BaseException) -> bool:
        """True where the connection broke, and with it the transaction: all of it may be tried once more."""

    def overtaken(self, fault: BaseException) -> bool:
        """True where another process was quicker, or waited for us as we for it: all of it may be tried once more."""
        return False

    @abstractmethod
    def waited(self, fault: BaseException) -> bool:
        """True where the time for waiting was used up: others hold what was wanted."""

    @abstractmethod
    def told(self, fault: BaseException) -> BaseException:
        """A fault as the caller of an operation should see it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection."""
