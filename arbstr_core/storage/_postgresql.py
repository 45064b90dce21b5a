"""How PostgreSQL is reached: connections for writing, for reading and for migrations, and what its errors mean."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg
import sqlalchemy as sa
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from arbstr_core.storage._link import ConstraintFailed, NotAllowed
from arbstr_core.storage._statements import Dialect
from arbstr_core.types import Secret, StorageError

SILENT_SECONDS = 12.0
"""How long the server may say nothing at all: longer than a statement may take"""

_SETTINGS = {
    "lock_timeout": "3s",
    "statement_timeout": "10s",
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
# Reading is by key as well, or page by page: to compile a statement, or to start helpers for it, takes longer than it.
_READING = {"default_transaction_read_only": "on", "jit": "off", "max_parallel_workers_per_gather": "0"}
# A network that swallows everything is noticed in seconds, by the server as well. Over a Unix socket they mean nothing.
_NETWORK = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
_WIRE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_MIGRATIONS = "hashtext('arbstr migrations')"


class Silent(psycopg.OperationalError):
    """The server says nothing, though the network is well: it was stopped, or something between us swallows all."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for ever. One that raised Silent is of no use any more."""

    def wait(self, gen: Any, *rest: Any, **more: Any) -> Any:
        """Have the server do something."""
        return super().wait(_limited(gen), *rest, **more)


def _limited(gen: Any) -> Any:
    """The driver's generator; it is told of each pause of a tenth of a second in which nothing came."""
    end = time.monotonic() + SILENT_SECONDS
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > end:
                raise Silent(f"no answer within {SILENT_SECONDS:.0f} seconds")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value


class Server(msgspec.Struct, frozen=True):
    """Where a database is, and with which password it is opened. Safe to print."""

    url: str
    password: Secret | None = None

    @property
    def name(self) -> str:
        """What messages call it: the url without a password."""
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        return f"postgresql://{user.partition(':')[0]}{at}{host}{parts.path}"

    def connect_for_writing(self) -> Connection:
        """A connection that commits when told to. Raises StorageError."""
        connection = self._connect(_SETTINGS | _BY_KEY, Connection, autocommit=True, prepare_threshold=2)
        assert isinstance(connection, Connection), "the driver makes what it is told to"
        # One type each, whatever the values: a statement is then prepared once.
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(str, StrBinaryDumper)
        return connection

    def connect_for_reading(self) -> psycopg.Connection[Any]:
        """A connection whose transactions refuse to write. Raises StorageError."""
        return self._connect(_READING)

    def connect_for_migrating(self) -> psycopg.Connection[Any]:
        """A connection that may take its time. Raises StorageError."""
        return self._connect({"synchronous_commit": "on"}, autocommit=True)

    def read_engine(self, size: int) -> sa.Engine:
        """An engine of at most `size` reading connections; each `connect()` sees one snapshot of committed data."""
        return sa.create_engine(
            "postgresql+psycopg://",
            creator=self.connect_for_reading,
            pool_size=size,
            max_overflow=0,
            # A server that was restarted is noticed before the work begins.
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
        )

    def _connect(
        self, settings: dict[str, str], kind: type[psycopg.Connection[Any]] = psycopg.Connection, **more: Any
    ) -> psycopg.Connection[Any]:
        options = " ".join(f"-c {name}={value}" for name, value in (settings | _NETWORK).items())
        if self.password is not None:
            more["password"] = self.password.reveal()
        try:
            return kind.connect(self.url, options=options, application_name="arbstr", **_WIRE, **more)
        except psycopg.Error as error:
            raise storage_error(self.name, error) from error


def storage_error(name: str, error: BaseException) -> StorageError:
    """What the driver raised, as an error that names the database and the remedy."""
    text = " ".join(str(error).split())
    if isinstance(error, (psycopg.errors.IntegrityError, psycopg.errors.RestrictViolation)):
        return ConstraintFailed(f"{name} refused a change: {text}")
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return StorageError(f"{name} cannot be reached ({text}): start it, or correct [storage] url and password")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return NotAllowed(f"{name}: {text}; that is the treasury's to do: `arbstr treasury`, or [storage] url")
    remedy = _REMEDIES.get((error.sqlstate or "")[:2] if isinstance(error, psycopg.Error) else "")
    return StorageError(f"{name}: {text}; {remedy or 'see the log of the database'}")


_REMEDIES = {
    "28": "correct [storage] url and password",
    "3D": "make the database, or correct [storage] url",
    "40": "it may be tried again",
    "42": "give the role of [storage] url its own database",
    "53": "free some disk space or connections of the database",
    "55": "find out who holds the lock: pg_stat_activity tells",
    "57": "it may be tried again when the database is back",
}
"""By the class of the SQLSTATE (PostgreSQL, appendix A)"""


class PostgresMigrating:
    """A connection that migrations run on."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, name: str, connection: psycopg.Connection[Any]) -> None:
        self.name = name
        self._connection = connection

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


@contextmanager
def migrating(server: Server) -> Iterator[PostgresMigrating]:
    """What migrations run on; others that migrate wait until it is let go."""
    with server.connect_for_migrating() as connection:
        made = PostgresMigrating(server.name, connection)
        made.execute(f"SELECT pg_advisory_lock({_MIGRATIONS})")
        yield made
