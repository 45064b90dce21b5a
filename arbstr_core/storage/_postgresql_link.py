"""The writer's connection to PostgreSQL: its transactions, each one pipeline, and a COMMIT that nobody answered.

Any number of processes may write. Each has one writing connection; what waits together shares a transaction, under row
locks that the operations ask for in order. Time is the database's.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import psycopg

from arbstr_core.api import Clock
from arbstr_core.storage._link import Link, NotCommitted
from arbstr_core.storage._postgresql import Connection, Server, Silent, storage_error
from arbstr_core.storage._statements import Bulk, BulkInsert, Dialect, Parameters, Statement
from arbstr_core.storage._transaction import Answer, Operation, Transaction
from arbstr_core.types import StorageError

_ANSWER_SECONDS = 15.0
"""how long a COMMIT that was cut off is asked about"""
_PAUSE_SECONDS = 0.2
_HURRY = "SELECT set_config('lock_timeout', '100ms', true), set_config('statement_timeout', '1s', true)"


class PostgresTransaction(Transaction):
    """A transaction beside those of other processes, in one pipeline: it waits only for the answers it looks at."""

    dialect: ClassVar[Dialect] = Dialect.POSTGRESQL

    def __init__(
        self,
        connection: Connection,
        pipeline: psycopg.Pipeline,
        facts: tuple[int, int],
        operations: Sequence[Operation[Any]],
    ) -> None:
        now_ms, self.xid = facts
        super().__init__(now_ms, operations)
        self._connection = connection
        self._pipeline = pipeline
        self._asked = False

    def run(self, statement: Statement, parameters: Parameters) -> int:
        """Run a statement; the number of rows it changed."""
        cursor = self._connection.cursor(binary=True)
        cursor.execute(statement.sql(Dialect.POSTGRESQL), parameters)
        self._pipeline.sync()
        return cursor.rowcount

    def bulk(self, statement: Bulk | BulkInsert, rows: Sequence[Any]) -> None:
        """Run a statement over many rows at once; what is wrong with it is seen with the next answer."""
        if not rows:
            return
        cursor = self._connection.cursor(binary=True)
        if isinstance(statement, BulkInsert):
            cursor.execute(*statement.for_postgresql(rows))
        else:
            given = statement.parameters(Dialect.POSTGRESQL, rows)
            cursor.execute(statement.sql(Dialect.POSTGRESQL), given)

    def ask(self, statement: Statement, parameters: Parameters) -> Answer:
        """Ask for rows."""
        cursor = self._connection.cursor(binary=True)
        cursor.execute(statement.sql(Dialect.POSTGRESQL), parameters)
        self._asked = True

        def answer() -> list[tuple[Any, ...]]:
            if self._asked:
                # The server is idle then, and does not wait for ever, with its locks, for a process that stands still.
                self._pipeline.sync()
                self._asked = False
            return cursor.fetchall()

        return answer


class PostgresLink(Link):
    """The one writing connection of this process."""

    faults = (psycopg.Error,)

    def __init__(self, server: Server) -> None:
        self.name = server.name
        self._server = server
        self._connection = server.connect_for_writing()
        self._session = self._asked_session()
        self._undone = itertools.count(1)
        self._stack = contextlib.ExitStack()

    def begin(self, clock: Clock, operations: Sequence[Operation[Any]], *, hurry: bool = False) -> PostgresTransaction:
        """Begin, and ask for the time and for the number under which the outcome can be looked up."""
        # A server that was restarted since closes the old connection; that is seen only when it is used.
        for again in (True, False):
            if self._connection.closed:
                self._reconnect()
            try:
                return self._begun(operations, hurry)
            except psycopg.Error as error:
                lost = self.lost(error)
                self.roll_back()
                if not (again and lost):
                    raise storage_error(self.name, error) from error
        raise AssertionError("the loop returns or raises")

    def _begun(self, operations: Sequence[Operation[Any]], hurry: bool) -> PostgresTransaction:
        connection = self._connection
        self._pipeline = self._stack.enter_context(connection.pipeline())
        connection.execute("BEGIN")
        if hurry:
            connection.execute(_HURRY)
        facts = connection.execute("SELECT arbstr_now(), pg_current_xact_id()::text::bigint")
        self._pipeline.sync()
        row = facts.fetchone()
        assert row is not None, "a SELECT of two values gave no row"
        return PostgresTransaction(connection, self._pipeline, (row[0], row[1]), operations)

    def _reconnect(self) -> None:
        """A new connection. What the server keeps of the old one is ended: it may hold locks."""
        self._connection.close()
        self._connection = self._server.connect_for_writing()
        try:
            self._connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = %s AND backend_start = %s::timestamptz",
                (self._session.pid, self._session.began),
            )
        except psycopg.Error as error:
            self._connection.close()
            raise storage_error(self.name, error) from error
        self._session = self._asked_session()

    def commit(self, tx: Transaction) -> None:
        """Send what waits and COMMIT together, and wait until it is durable."""
        assert isinstance(tx, PostgresTransaction), "a transaction of another database"
        try:
            cursor = self._connection.execute("COMMIT")
            self._pipeline.sync()
            self._stack.close()
        except psycopg.Error as fault:
            if not self.lost(fault):
                raise
            self._end_pipeline()
            self._find_out(tx.xid, fault)
            return
        if cursor.statusmessage != "COMMIT":
            raise NotCommitted(f"{self.name} answered COMMIT with {cursor.statusmessage}: nothing was written")

    def _find_out(self, xid: int, cut: psycopg.Error) -> None:
        """The connection broke at the COMMIT: ask on another whether it counts. Raises NotCommitted where not."""
        before = self._session
        said = "no answer"
        end = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                self._reconnect()
                if not self._session.follows(before):
                    said = "the server crashed, or another one answers"
                    break
                said = self._outcome(xid)
            except StorageError:
                said = "no answer"
            if said == "committed":
                return
            if said == "aborted":
                raise NotCommitted(f"{self.name}: the connection broke before the COMMIT: nothing was written") from cut
            if time.monotonic() > end:
                break
            time.sleep(_PAUSE_SECONDS)
        raise NotCommitted(
            f"{self.name}: the connection broke at the COMMIT, and whether it counts cannot be found out "
            f"({said}); what it was about is looked up by its ids"
        ) from cut

    def _outcome(self, xid: int) -> str:
        """What became of transaction `xid`: committed, aborted, in progress; or that nobody knows any more."""
        (found,) = self._asked("SELECT pg_xact_status(%s::xid8)", str(xid))
        return "too long ago" if found is None else str(found)

    def _asked_session(self) -> _Session:
        row = self._asked(
            "SELECT pid, backend_start::text, system_identifier, timeline_id, stats_reset::text"
            " FROM pg_stat_activity, pg_control_system(), pg_control_checkpoint(), pg_stat_bgwriter"
            " WHERE pid = pg_backend_pid()"
        )
        return _Session(pid=row[0], began=row[1], system=row[2], timeline=row[3], counted_since=row[4])

    def _asked(self, query: str, *parameters: str) -> tuple[Any, ...]:
        """The one row of a query. A connection that does not give it is closed."""
        try:
            row = self._connection.execute(query, parameters).fetchone()
        except psycopg.Error as error:
            self._connection.close()
            raise storage_error(self.name, error) from error
        assert row is not None, f"no row: {query}"
        return row

    def roll_back(self) -> None:
        """Undo what is open; a connection that cannot even do that is given up."""
        self._end_pipeline()
        if self._connection.closed:
            return
        try:
            # The driver forgets what it has prepared when it sees this end, and it must: some of it was in the part of
            # the pipeline that the server skipped. It looks only at statements that it has not seen before.
            self._connection.execute(f"ROLLBACK -- {next(self._undone)}")
        except psycopg.Error:
            self._connection.close()

    def _end_pipeline(self) -> None:
        # What went wrong in it was raised before.
        with contextlib.suppress(psycopg.Error):
            self._stack.close()

    def lost(self, fault: BaseException) -> bool:
        """True where the connection is of no use any more: it broke, or the server said its last word on it."""
        last_word = isinstance(fault, psycopg.Error) and fault.diag.severity_nonlocalized in ("FATAL", "PANIC")
        if last_word or isinstance(fault, Silent):
            self._connection.close()
            self._end_pipeline()
        return self._connection.closed

    def overtaken(self, fault: BaseException) -> bool:
        """True where another process has made the same row, or the server broke a circle of waiting."""
        return isinstance(fault, (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected))

    def waited(self, fault: BaseException) -> bool:
        """True for lock_timeout and statement_timeout."""
        return isinstance(fault, (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled))

    def told(self, fault: BaseException) -> BaseException:
        """The driver's errors with the database's name and the remedy."""
        if not isinstance(fault, psycopg.Error):
            return fault
        error = storage_error(self.name, fault)
        error.__cause__ = fault
        return error

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class _Session(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the server talks to, and which server it is."""

    pid: int
    began: str
    system: int
    timeline: int
    counted_since: str
    """of the server's statistics, which it drops where it recovers from a crash"""

    def follows(self, before: _Session) -> bool:
        """True where transactions have the same numbers as in `before`: the same cluster, not a promoted copy, and not
        after a crash. What had not reached the disk then is gone, and its number is given away once more."""
        theirs = (before.system, before.timeline, before.counted_since)
        return (self.system, self.timeline, self.counted_since) == theirs
