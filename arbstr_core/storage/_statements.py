"""SQL built once with SQLAlchemy Core, compiled once to text, and run on the driver.

The money path carries many rows in one statement. Each call into the driver lets go of the
interpreter's lock and waits to get it back from a busy event loop; so a batch costs a handful of those, not one a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite


class Statement:
    """One SQL statement with named parameters; compiled on first use."""

    def __init__(self, expression: sa.Executable) -> None:
        self._expression = expression

    @cached_property
    def sql(self) -> str:
        """The text for the driver."""
        compiled = self._expression.compile(dialect=sqlite.dialect(paramstyle="named"))  # type: ignore[attr-defined]
        sql = str(compiled)
        fixed = {
            name: bind.value for name, bind in compiled.binds.items() if bind.value is not None and f":{name}" in sql
        }
        if fixed:
            raise AssertionError(f"a value in the statement would be lost, make it a constant(): {fixed}")
        return sql


class Bulk(Statement):
    """A statement whose rows come as one JSON parameter named `rows`."""


def constant(value: int | str) -> sa.ColumnElement[Any]:
    """A value written into the SQL itself."""
    if isinstance(value, int):
        return sa.literal_column(str(value), sa.Integer)
    quoted = value.replace("'", "''")
    return sa.literal_column(f"'{quoted}'", sa.Text)


def rows_of(parameter: str) -> sa.TableValuedAlias:
    """The elements of the JSON array in the parameter, as a table with the column `value`."""
    return sa.func.json_each(sa.bindparam(parameter)).table_valued("value", name=parameter)


def field(rows: sa.TableValuedAlias, position: int) -> sa.ColumnElement[Any]:
    """One member of a row that is itself a JSON array."""
    return sa.func.json_extract(rows.c.value, constant(f"$[{position}]"))


def one_row(*columns: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """All rows of a query as one JSON array of arrays: one step of the driver instead of one a row."""
    return sa.func.json_group_array(sa.func.json_array(*columns))


class BulkInsert:
    """INSERT of any number of rows: one statement for each power of two in their number, so that few are ever compiled.

    Rows come as bound values. As JSON, which the other bulk statements take, a row costs five times the CPU.
    """

    _SIZES = (64, 32, 16, 8, 4, 2, 1)

    def __init__(self, table: sa.Table, columns: Sequence[str]) -> None:
        self._table = table
        self._columns = tuple(columns)

    @cached_property
    def _sql(self) -> dict[int, str]:
        one = sa.insert(self._table).compile(
            dialect=sqlite.dialect(paramstyle="qmark"), column_keys=list(self._columns)
        )
        head, row = str(one).split(" VALUES ")
        return {size: f"{head} VALUES {', '.join([row] * size)}" for size in self._SIZES}

    def statements(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        """The text and the values of each statement that together insert `rows`, in order."""
        at = 0
        for size in self._SIZES:
            while len(rows) - at >= size:
                yield self._sql[size], [value for row in rows[at : at + size] for value in row]
                at += size


def bulk_insert(table: sa.Table, columns: Sequence[str]) -> BulkInsert:
    """INSERT of any number of rows, each a sequence in the order of `columns`."""
    order = {column.name: place for place, column in enumerate(table.columns)}
    if [order[name] for name in columns] != sorted(order[name] for name in columns):
        raise ValueError(f"name the columns of {table.name} in the table's order: {', '.join(order)}")
    return BulkInsert(table, columns)


def encode_rows(rows: Sequence[Any]) -> str:
    """Rows as the JSON text that a bulk statement takes."""
    return msgspec.json.encode(rows).decode()
