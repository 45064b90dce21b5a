"""SQL built once with SQLAlchemy Core, compiled once to text, and run on the driver.

The money path carries many rows in one statement, as one JSON parameter. Each call into the driver lets go of the
interpreter's lock and waits to get it back from a busy event loop; so a batch costs a handful of those, not one a row.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def bulk_insert(table: sa.Table, columns: Sequence[str]) -> Bulk:
    """INSERT of any number of rows, each an array in the order of `columns`."""
    rows = rows_of("rows")
    picked = sa.select(*(field(rows, position) for position in range(len(columns)))).select_from(rows)
    return Bulk(sa.insert(table).from_select(list(columns), picked))


def encode_rows(rows: Sequence[Any]) -> str:
    """Rows as the JSON text that a bulk statement takes."""
    return msgspec.json.encode(rows).decode()
