"""All that is PostgreSQL's own: how it is reached, its transactions, its errors, and a COMMIT that nobody answered.

Any number of processes may write. Each has one writing connection; what waits together shares a transaction, under row
locks that the operations ask for in order. Time is the database's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec
import psycopg
import sqlalchemy as sa
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from arbstr_core.api import Clock
from arbstr_core.storage._link import ConstraintFailed, Link, NotCommitted
from arbstr_core.storage._statements import Bulk, BulkInsert, Dialect, Parameters, Statement
from arbstr_core.storage._transaction import Answer, Operation, Transaction
from arbstr_core.types import StorageError

Connection = psycopg.Connection[tuple[Any, ...]]

_SETTINGS = {
    "lock_timeout": "3s",
    "statement_timeout": "30s",
    # A connection that was cut in the middle must not keep its locks for long.
    "idle_in_transaction_session_timeout": "10s",
    "synchronous_commit": "on",
}
# What the writer asks for is always a handful of rows by key. A plan that was made while the tables were small would
# read all of them for ever.
_BY_KEY = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 15.0
"""how long a COMMIT that was cut off is asked about"""
_PAUSE_SECONDS = 0.2


def shown(url: str) -> str:
    """`url` without the password."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return f"postgresql://{user.partition(':')[0]}{at}{host}{parts.path}"


def connect(url: str) -> Connection:
    """A connection that commits when told to. Raises StorageError."""
    options = " ".join(f"-c {name}={value}" for name, value in (_SETTINGS | _BY_KEY).items())
    try:
        connection = psycopg.connect(
            url, autocommit=True, connect_timeout=_CONNECT_SECONDS, options=options, prepare_threshold=2
        )
    except psycopg.Error as error:
        raise storage_error(shown(url), error) from error
    # One type each, whatever the values: a statement is then prepared once.
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    connection.adapters.register_dumper(str, StrBinaryDumper)
    return connection


def read_engine(url: str, size: int) -> sa.Engine:
    """An engine of at most `size` reading connections; each `connect()` sees one snapshot of committed data."""
    return sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connect_for_reading(url),
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
    )


def _connect_for_reading(url: str) -> Connection:
    try:
        return psycopg.connect(url, connect_timeout=_CONNECT_SECONDS, options="-c default_transaction_read_only=on")
    except psycopg.Error as error:
        raise storage_error(shown(url), error) from error


def storage_error(name: str, error: BaseException) -> StorageError:
    """What the driver raised, as an error that names the database and the remedy."""
    text = " ".join(str(error).split())
    if isinstance(error, (psycopg.errors.IntegrityError, psycopg.errors.RestrictViolation)):
        return ConstraintFailed(f"{name} refused a change: {text}")
    if isinstance(error, psycopg.OperationalError) and getattr(error, "sqlstate", None) is None:
        return StorageError(f"{name} cannot be reached ({text}): start it, or correct [storage] url")
    return StorageError(f"{name}: {text}; see the log of the database")


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
        return cursor.fetchall


class PostgresLink(Link):
    """The one writing connection of this process."""

    faults = (psycopg.Error,)

    def __init__(self, url: str, connection: Connection) -> None:
        self.name = shown(url)
        self._url = url
        self._connection = connection
        self._session = _session(connection)
        self._stack = contextlib.ExitStack()

    def begin(self, clock: Clock, operations: Sequence[Operation[Any]]) -> PostgresTransaction:
        """Begin, and ask for the time and for the number under which the outcome can be looked up."""
        # A server that was restarted since closes the old connection; that is seen only when it is used.
        for again in (True, False):
            connection = self._connected()
            try:
                self._pipeline = self._stack.enter_context(connection.pipeline())
                connection.execute("BEGIN")
                row = connection.execute("SELECT arbstr_now(), pg_current_xact_id()::text::bigint").fetchone()
                assert row is not None, "a SELECT of two values gave no row"
                return PostgresTransaction(connection, self._pipeline, (row[0], row[1]), operations)
            except psycopg.Error as error:
                lost = self.lost()
                self.roll_back()
                if not (again and lost):
                    raise storage_error(self.name, error) from error
        raise AssertionError("the loop returns or raises")

    def _connected(self) -> Connection:
        if self.lost():
            self._connection.close()
            self._reconnect()
        return self._connection

    def _reconnect(self) -> None:
        """A new connection. What the server keeps of the old one is ended: it may hold locks."""
        before, self._connection = self._session, connect(self._url)
        try:
            self._session = _session(self._connection)
            self._connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = %s AND backend_start = %s::timestamptz",
                (before.pid, before.began),
            )
        except psycopg.Error as error:
            raise storage_error(self.name, error) from error

    def commit(self, tx: Transaction) -> None:
        """Send what waits and COMMIT together, and wait until it is durable."""
        assert isinstance(tx, PostgresTransaction), "a transaction of another database"
        try:
            cursor = self._connection.execute("COMMIT")
            self._pipeline.sync()
            self._stack.close()
        except psycopg.Error as fault:
            if not self.lost():
                raise
            self._end_pipeline()
            self._find_out(tx.xid, fault)
            return
        if cursor.statusmessage != "COMMIT":
            raise NotCommitted(f"{self.name} answered COMMIT with {cursor.statusmessage}: nothing was written")

    def _find_out(self, xid: int, cut: psycopg.Error) -> None:
        """The connection broke at the COMMIT: ask on another whether it counts. Raises NotCommitted where not."""
        before = self._session
        status = None
        end = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < end:
            try:
                self._reconnect()
                status = _outcome(self._connection, xid) if self._session.follows(before) else None
            except (StorageError, psycopg.Error):
                status = None
            if status == "committed":
                return
            if status == "aborted":
                raise NotCommitted(f"{self.name}: the connection broke before the COMMIT: nothing was written") from cut
            time.sleep(_PAUSE_SECONDS)
        raise NotCommitted(
            f"{self.name}: the connection broke at the COMMIT, and whether it counts cannot be found out "
            f"({status or 'no answer'}); what it was about is looked up by its ids"
        ) from cut

    def roll_back(self) -> None:
        """Undo what is open; a connection that cannot even do that is given up."""
        self._end_pipeline()
        if not self.lost():
            try:
                self._connection.execute("ROLLBACK")
            except psycopg.Error:
                self._connection.close()

    def _end_pipeline(self) -> None:
        # What went wrong in it was raised before.
        with contextlib.suppress(psycopg.Error):
            self._stack.close()

    def lost(self) -> bool:
        """True where the connection is of no use any more."""
        return self._connection.closed or self._connection.broken

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

    def follows(self, before: _Session) -> bool:
        """True where transactions have the same numbers as in `before`: the same cluster, and not a promoted copy."""
        return (self.system, self.timeline) == (before.system, before.timeline)


def _session(connection: Connection) -> _Session:
    row = connection.execute(
        "SELECT pid, backend_start::text, system_identifier, timeline_id"
        " FROM pg_stat_activity, pg_control_system(), pg_control_checkpoint() WHERE pid = pg_backend_pid()"
    ).fetchone()
    assert row is not None, "a connection without a session"
    return _Session(pid=row[0], began=row[1], system=row[2], timeline=row[3])


def _outcome(connection: Connection, xid: int) -> str | None:
    """What became of transaction `xid`: committed, aborted, in progress; None where it is too long ago."""
    row = connection.execute("SELECT pg_xact_status(%s::xid8)", (str(xid),)).fetchone()
    return None if row is None else row[0]


class PostgresMigrating:
    """A connection that migrations run on; others that migrate wait for it."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, url: str, connection: Connection) -> None:
        self.name = shown(url)
        self._connection = connection
        self.execute("SELECT pg_advisory_lock(hashtext('arbstr migrations'))")

    def has_table(self, name: str) -> bool:
        """True where there is such a table."""
        return self.execute(f"SELECT to_regclass('{name}') IS NOT NULL") == [(True,)]

    def execute(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Run one statement."""
        try:
            cursor = self._connection.execute(sql)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise storage_error(self.name, error) from error

    def together(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction."""
        try:
            with self._connection.transaction():
                for statement in statements:
                    self._connection.execute(statement)
        except psycopg.Error as error:
            raise storage_error(self.name, error) from error

    def done(self) -> None:
        """Let the others go on."""
        self.execute("SELECT pg_advisory_unlock(hashtext('arbstr migrations'))")
