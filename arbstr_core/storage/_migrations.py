"""Migrations: what each room wants of the database, in order, and what was applied when."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import sqlalchemy as sa

from arbstr_core.storage._sqlite import create_table, storage_error
from arbstr_core.storage._statements import Statement
from arbstr_core.types import StorageError

_METADATA = sa.MetaData()
_SCHEMA = sa.Table(
    "schema",
    _METADATA,
    sa.Column("room", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("at_ms", sa.Integer, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
_APPLIED = Statement(sa.select(_SCHEMA.c.room, _SCHEMA.c.version).order_by(_SCHEMA.c.room, _SCHEMA.c.version))
_NOTE = Statement(
    sa.insert(_SCHEMA).values(
        room=sa.bindparam("room"),
        version=sa.bindparam("version"),
        name=sa.bindparam("name"),
        at_ms=sa.bindparam("at_ms"),
    )
)


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step: statements that are applied together, once. Its text is never changed after a release."""

    version: int
    name: str
    sqlite: tuple[str, ...]


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """All steps of one room, in order, from version 1."""

    room: str
    migrations: tuple[Migration, ...]


def migrate(connection: sqlite3.Connection, path: Path, schemas: Sequence[Schema], now_ms: int) -> None:
    """Bring the database up to date, each step in a transaction of its own."""
    try:
        _prepare(connection)
        applied = _applied(connection)
        for schema in schemas:
            _refuse_newer(path, schema, applied.get(schema.room, 0))
        for schema in schemas:
            for step in schema.migrations[applied.get(schema.room, 0) :]:
                _apply(connection, schema.room, step, now_ms)
    except sqlite3.Error as error:
        raise storage_error(path, error) from error


def _prepare(connection: sqlite3.Connection) -> None:
    found = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'schema'").fetchone()
    if not found[0]:
        connection.execute(create_table(_SCHEMA))


def _applied(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute(_APPLIED.sql).fetchall())


def _refuse_newer(path: Path, schema: Schema, applied: int) -> None:
    if applied > len(schema.migrations):
        raise StorageError(
            f"{path} was written by a newer version ({schema.room} {applied}, this one knows "
            f"{len(schema.migrations)}): upgrade arbstr, or restore a backup"
        )


def _apply(connection: sqlite3.Connection, room: str, step: Migration, now_ms: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in step.sqlite:
            connection.execute(statement)
        connection.execute(_NOTE.sql, {"room": room, "version": step.version, "name": step.name, "at_ms": now_ms})
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
