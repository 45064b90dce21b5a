"""Migrations: what each room wants of the database, in order, and what was applied when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa

from arbstr_core.storage._ddl import create, narrow
from arbstr_core.storage._statements import INTEGER, TEXT, Dialect
from arbstr_core.types import StorageError

_SCHEMA = narrow(
    "schema",
    sa.MetaData(),
    sa.Column("room", TEXT, primary_key=True),
    sa.Column("version", INTEGER, primary_key=True),
    sa.Column("name", TEXT, nullable=False),
    sa.Column("at_ms", INTEGER, nullable=False),
)


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step: statements that are applied together, once. Its text is never changed after a release."""

    version: int
    name: str
    sqlite: tuple[str, ...]
    postgresql: tuple[str, ...]

    def statements(self, dialect: Dialect) -> tuple[str, ...]:
        """What is applied on this database."""
        return self.sqlite if dialect is Dialect.SQLITE else self.postgresql


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """All steps of one room, in order, from version 1."""

    room: str
    migrations: tuple[Migration, ...]


class Migrating(Protocol):
    """A connection that migrations run on, in a transaction of its own each."""

    name: str
    dialect: Dialect

    def has_table(self, name: str) -> bool:
        """True where there is such a table."""

    def execute(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Run one statement; its rows, where it has any."""

    def together(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction. Raises StorageError."""


def migrate(connection: Migrating, schemas: Sequence[Schema], now_ms: int) -> None:
    """Bring the database up to date, each step in a transaction of its own."""
    if not connection.has_table("schema"):
        connection.together(create(connection.dialect, _SCHEMA))
    applied = {str(room): int(version) for room, version in connection.execute(_APPLIED)}
    for schema in schemas:
        _refuse_newer(connection.name, schema, applied.get(schema.room, 0))
    for schema in schemas:
        for step in schema.migrations[applied.get(schema.room, 0) :]:
            noted = _NOTE.format(room=schema.room, version=step.version, name=step.name, now=now_ms)
            connection.together((*step.statements(connection.dialect), noted))


_APPLIED = "SELECT room, max(version) FROM schema GROUP BY room"
_NOTE = "INSERT INTO schema (room, version, name, at_ms) VALUES ('{room}', {version}, '{name}', {now})"


def _refuse_newer(name: str, schema: Schema, applied: int) -> None:
    if applied > len(schema.migrations):
        raise StorageError(
            f"{name} was written by a newer version ({schema.room} {applied}, this one knows "
            f"{len(schema.migrations)}): upgrade arbstr, or restore a backup"
        )
