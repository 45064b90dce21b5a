"""How tables, indexes and guards are written down for each database.

A guard refuses a change. On SQLite it is a trigger; on PostgreSQL a trigger with a function of its own, of the same
name, so that `verify` can compare what it says word for word.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import visitors

from arbstr_core.storage._statements import Dialect


def narrow(name: str, metadata: sa.MetaData, *members: Any, guarded: bool = False) -> sa.Table:
    """A table whose rows live in their key. On PostgreSQL a guard does the work of the foreign keys of one that is
    `guarded`, for all rows of a statement at once."""
    return sa.Table(name, metadata, *members, sqlite_strict=True, sqlite_with_rowid=False, info={"guarded": guarded})


def wide(name: str, metadata: sa.MetaData, *members: Any, guarded: bool = False) -> sa.Table:
    """A table whose rows are large, and have an integer key. See `narrow`."""
    return sa.Table(name, metadata, *members, sqlite_strict=True, info={"guarded": guarded})


def partial_index(name: str, *columns: sa.Column[Any], where: sa.ColumnElement[bool], unique: bool = False) -> sa.Index:
    """An index over the rows for which `where` is true."""
    return sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def create(dialect: Dialect, *made: sa.Table | sa.Index) -> tuple[str, ...]:
    """The DDL of tables and indexes, in order."""
    spoken: sa.engine.Dialect = (
        sqlite.dialect() if dialect is Dialect.SQLITE else PGDialect_psycopg()  # type: ignore[no-untyped-call]
    )
    return tuple(str(_made(each, dialect).compile(dialect=spoken)).strip() for each in made)


def _made(each: sa.Table | sa.Index, dialect: Dialect) -> CreateTable | CreateIndex:
    if isinstance(each, sa.Index):
        return CreateIndex(each)
    # A foreign key is looked at row by row there, at several times the cost of all else that is done with the row.
    guarded = dialect is Dialect.POSTGRESQL and each.info.get("guarded", False)
    return CreateTable(each, include_foreign_key_constraints=[] if guarded else None)


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """Refuses `events` ("INSERT", "UPDATE", "DELETE") on `table` with `message` where `when` holds (empty: always).

    `when` is SQL over NEW and OLD. On PostgreSQL INSERT is looked at once a statement: `fresh` is a query over
    the table of that name, the rows that came in, which finds those to refuse; without it INSERT is free there.
    """

    name: str
    table: str
    event: str
    message: str
    when: str = ""
    fresh: str = ""
    columns: tuple[str, ...] = ()
    """of an UPDATE: on PostgreSQL one that names none of them is free (on SQLite it could, by the name rowid)"""

    def made(self, dialect: Dialect) -> tuple[str, ...]:
        """The statements that put it up."""
        if dialect is Dialect.SQLITE:
            known = self.event != "TRUNCATE" and (self.when or self.event != "INSERT")
            return (self.sqlite(),) if known else ()
        if self.event == "INSERT" and not self.fresh:
            return ()
        function = f"CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $guard${self.body()}$guard$"
        return (function, self.postgresql())

    def sqlite(self) -> str:
        """The trigger, as SQLite keeps it."""
        condition = f" WHEN {self.when}" if self.when else ""
        refuse = f"BEGIN SELECT RAISE(ABORT, '{self.message}'); END"
        return f"CREATE TRIGGER {self.name} BEFORE {self.event} ON {self.table}{condition} {refuse}"

    def postgresql(self) -> str:
        """The trigger; what it says is in its function."""
        if self.event == "INSERT":
            how = f"AFTER INSERT ON {self.table} REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT"
        elif self.event == "TRUNCATE":
            how = f"BEFORE TRUNCATE ON {self.table} FOR EACH STATEMENT"
        else:
            event = f"{self.event} OF {', '.join(self.columns)}" if self.columns else self.event
            how = f"BEFORE {event} ON {self.table} FOR EACH ROW"
        return f"CREATE TRIGGER {self.name} {how} EXECUTE FUNCTION {self.name}()"

    def body(self) -> str:
        """The function's text, as PostgreSQL keeps it."""
        refuse = f"RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = '{self.message}';"
        if self.event == "INSERT":
            return f" BEGIN IF EXISTS ({self.fresh}) THEN {refuse} END IF; RETURN NULL; END "
        if not self.when:
            return f" BEGIN {refuse} END "
        kept = "OLD" if self.event == "DELETE" else "NEW"
        return f" BEGIN IF {self.when} THEN {refuse} END IF; RETURN {kept}; END "


def append_only(table: sa.Table) -> tuple[Guard, ...]:
    """Rows of `table` never change and never go."""
    name = table.name
    no_update = Guard(name=f"{name}_no_update", table=name, event="UPDATE", message=f"{name}: rows are never changed")
    return (no_update, *kept(table))


def kept(table: sa.Table) -> tuple[Guard, ...]:
    """Rows of `table` never go, nor make place for another: INSERT OR REPLACE passes by the other guards."""
    name = table.name
    keys = " OR ".join(f"({' AND '.join(key)})" for key in _keys(table))
    gone = f"{name}: rows are never deleted"
    return (
        Guard(name=f"{name}_no_delete", table=name, event="DELETE", message=gone),
        Guard(name=f"{name}_no_truncate", table=name, event="TRUNCATE", message=gone),
        Guard(
            name=f"{name}_no_insert_over",
            table=name,
            event="INSERT",
            message=f"{name}: the key is taken",
            when=f"EXISTS (SELECT 1 FROM {name} WHERE {keys})",
        ),
    )


def fixed(table: sa.Table, *columns: str) -> Guard:
    """These columns of a row never change."""
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in columns)
    return Guard(
        name=f"{table.name}_fixed",
        table=table.name,
        event="UPDATE",
        message=f"{table.name}: this column never changes",
        when=changed,
        columns=columns,
    )


def _keys(table: sa.Table) -> list[list[str]]:
    """For each key of `table`, the conditions under which a row has that of `NEW`."""
    unique = [found for found in table.constraints if isinstance(found, sa.UniqueConstraint)]
    indexes = [found for found in table.indexes if found.unique]
    others: list[Any] = sorted([*unique, *indexes], key=lambda found: str(found.name))
    return [
        [*(f"{c.name} = NEW.{c.name}" for c in found.columns), *_only(found)] for found in (table.primary_key, *others)
    ]


def _only(key: Any) -> list[str]:
    """Which rows a partial index is about, where other columns than its own say that."""
    where = key.dialect_options["sqlite"]["where"] if isinstance(key, sa.Index) else None
    if where is None or {c.name for c in visitors.iterate(where) if isinstance(c, sa.Column)} <= set(
        key.columns.keys()
    ):
        return []
    return [str(where.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))]
