"""Migrations: what each room wants of the database, in order, and what was applied when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


Applied = Mapping[str, int]
"""The newest step that was applied, by room; empty for a database that is none of ours yet"""
Missing = Sequence[tuple[Schema, Migration]]


def applied_to(connection: Migrating) -> Applied:
    """How far the database has come."""
    if not connection.has_table("schema"):
        return {}
    return {str(room): int(version) for room, version in connection.execute(_APPLIED)}


def missing_of(name: str, applied: Applied, schemas: Sequence[Schema]) -> Missing:
    """The steps that are to be applied, in order. Raises StorageError for a database that is newer than this program;
    `name` is what messages call it."""
    for schema in schemas:
        _refuse_newer(name, schema, applied.get(schema.room, 0))
    return [(schema, step) for schema in schemas for step in schema.migrations[applied.get(schema.room, 0) :]]


def make(connection: Migrating, schemas: Sequence[Schema], now_ms: int) -> None:
    """Make all tables of an empty database in one transaction: whoever is killed here leaves none."""
    steps = [(schema, step) for schema in schemas for step in schema.migrations]
    statements = [each for schema, step in steps for each in _applying(connection.dialect, schema, step, now_ms)]
    connection.together((*create(connection.dialect, _SCHEMA), *statements))


def apply(connection: Migrating, missing: Missing, now_ms: int) -> list[str]:
    """Apply steps, each in a transaction of its own; what each was called."""
    for schema, step in missing:
        connection.together(_applying(connection.dialect, schema, step, now_ms))
    return [f"{schema.room} {step.version}: {step.name}" for schema, step in missing]


def refuse_older(name: str, missing: Missing) -> None:
    """Raises StorageError where steps are missing."""
    if missing:
        schema, step = missing[0]
        raise StorageError(
            f"{name} was written by an older version ({schema.room} {step.version} is missing: {step.name}): "
            "run arbstr db upgrade"
        )


def _applying(dialect: Dialect, schema: Schema, step: Migration, now_ms: int) -> tuple[str, ...]:
    row = f"'{schema.room}', {step.version}, '{step.name}', {now_ms}"
    note = f"INSERT INTO schema (room, version, name, at_ms) VALUES ({row})"
    return (*step.statements(dialect), note)


_APPLIED = "SELECT room, max(version) FROM schema GROUP BY room"


def _refuse_newer(name: str, schema: Schema, applied: int) -> None:
    if applied > len(schema.migrations):
        raise StorageError(
            f"{name} was written by a newer version ({schema.room} {applied}, this one knows "
            f"{len(schema.migrations)}): upgrade arbstr, or restore a backup"
        )
