"""SQL built once with SQLAlchemy Core, compiled once for each database to text, and run on the driver.

The money path carries many rows in one statement. Each call into a driver lets go of the interpreter's lock and waits
to get it back from a busy event loop; so a batch costs a handful of those, not one a row.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

T = TypeVar("T")

INTEGER: sa.types.TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64 bits on both databases"""
TEXT: sa.types.TypeEngine[str] = sa.Text()
BYTES: sa.types.TypeEngine[bytes] = sa.LargeBinary()

Parameters = Mapping[str, Any]


class Dialect(enum.Enum):
    """Which database speaks."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Statement:
    """One SQL statement with named parameters; compiled on first use."""

    def __init__(self, expression: sa.Executable) -> None:
        self._expression = expression
        self._compiled: dict[Dialect, str] = {}

    def sql(self, dialect: Dialect) -> str:
        """The text for the driver."""
        known = self._compiled.get(dialect)
        if known is None:
            known = self._compiled[dialect] = _compile(self._made_for(dialect), dialect)
        return known

    def _made_for(self, dialect: Dialect) -> sa.Executable:
        return self._expression


def _compile(expression: sa.Executable, dialect: Dialect) -> str:
    compiled = expression.compile(dialect=_DIALECTS[dialect]())  # type: ignore[attr-defined]
    sql = str(compiled)
    mark = ":{}" if dialect is Dialect.SQLITE else "%({})s"
    fixed = {
        name: bind.value for name, bind in compiled.binds.items() if bind.value is not None and mark.format(name) in sql
    }
    if fixed:
        raise AssertionError(f"a value in the statement would be lost, make it a constant(): {fixed}")
    return sql


_DIALECTS: dict[Dialect, Callable[[], sa.engine.Dialect]] = {
    Dialect.SQLITE: lambda: sqlite.dialect(paramstyle="named"),
    Dialect.POSTGRESQL: PGDialect_psycopg,
}


def constant(value: int | str) -> sa.ColumnElement[Any]:
    """A value written into the SQL itself."""
    if isinstance(value, int):
        return sa.literal_column(str(value), INTEGER)
    quoted = value.replace("'", "''")
    return sa.literal_column(f"'{quoted}'", sa.Text)


def array(kind: sa.types.TypeEngine[Any], values: Sequence[Any]) -> str:
    """A column of rows as the text of a PostgreSQL array: a tenth of the CPU that the driver takes for a list."""
    if isinstance(kind, sa.Integer):
        texts = ["NULL" if value is None else str(value) for value in values]
    elif isinstance(kind, sa.LargeBinary):
        texts = ["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]
    else:
        texts = ["NULL" if value is None else _quoted(value) for value in values]
    return "{" + ",".join(texts) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Rows:
    """Rows that come with a statement, as a table in it: `rows.table` to select from, `rows[n]` its columns.

    On SQLite they are one JSON parameter, on PostgreSQL one array a column.
    """

    def __init__(self, types: Sequence[sa.types.TypeEngine[Any]], dialect: Dialect) -> None:
        self._single = len(types) == 1
        self._sqlite = dialect is Dialect.SQLITE
        self._types = types
        if self._sqlite:
            self.table: sa.TableValuedAlias = sa.func.json_each(sa.bindparam("rows")).table_valued(
                "value", name="given"
            )
        else:
            arrays = [sa.bindparam(f"rows_{n}", type_=ARRAY(kind)) for n, kind in enumerate(types)]
            columns = [sa.column(f"c{n}", kind) for n, kind in enumerate(types)]
            self.table = sa.func.unnest(*arrays).table_valued(*columns, name="given").render_derived()

    def __getitem__(self, place: int) -> sa.ColumnElement[Any]:
        if not self._sqlite:
            found: sa.ColumnElement[Any] = self.table.c[f"c{place}"]
            return found
        if self._single:
            return sa.type_coerce(self.table.c.value, self._types[0])
        return sa.func.json_extract(self.table.c.value, constant(f"$[{place}]"), type_=self._types[place])


class Bulk(Statement):
    """A statement over many rows at once, each a sequence (a plain value where rows have one column).

    No bytes: those go into a BulkInsert.
    """

    def __init__(self, types: Sequence[sa.types.TypeEngine[Any]], build: Callable[[Rows], sa.Executable]) -> None:
        super().__init__(sa.select())
        self._types = tuple(types)
        self._build = build

    def _made_for(self, dialect: Dialect) -> sa.Executable:
        return self._build(Rows(self._types, dialect))

    def parameters(self, dialect: Dialect, rows: Sequence[Any]) -> dict[str, Any]:
        """What the statement takes for `rows`."""
        if dialect is Dialect.SQLITE:
            return {"rows": msgspec.json.encode(rows).decode()}
        columns = [rows] if len(self._types) == 1 else zip(*rows, strict=True)
        return {
            f"rows_{n}": array(kind, column) for n, (kind, column) in enumerate(zip(self._types, columns, strict=True))
        }


class Load(Bulk, Generic[T]):
    """A query for what many rows name; each row that it finds becomes a `struct` (an array-like msgspec Struct).

    SQLite gives all of it as one JSON value: one step of the driver instead of one a row.
    """

    def __init__(
        self,
        struct: type[T],
        types: Sequence[sa.types.TypeEngine[Any]],
        build: Callable[[Rows], sa.Select[Any]],
    ) -> None:
        super().__init__(types, build)
        self._struct = struct
        self._decoder = msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]

    def _made_for(self, dialect: Dialect) -> sa.Executable:
        made = super()._made_for(dialect)
        if dialect is Dialect.POSTGRESQL:
            return made
        assert isinstance(made, sa.Select), "a Load is a query"
        columns = sa.func.json_array(*made.selected_columns)
        return made.with_only_columns(sa.func.json_group_array(columns), maintain_column_froms=True)

    def found(self, dialect: Dialect, rows: Sequence[Sequence[Any]]) -> list[T]:
        """What the driver's rows say."""
        if dialect is Dialect.SQLITE:
            return self._decoder.decode(rows[0][0])
        return [self._struct(*row) for row in rows]


class BulkInsert:
    """INSERT of any number of rows.

    On SQLite two or three statements of the sizes below, so that few are ever compiled and few are run: each hands the
    interpreter's lock to whoever waits for it. Rows come as bound values, for as JSON, which the other bulk statements
    take, a row costs five times the CPU. On PostgreSQL one statement, one array a column.
    """

    _SIZES = (64, 56, 48, 40, 32, 28, 24, 20, 16, 14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1)

    def __init__(self, table: sa.Table, columns: Sequence[str], replace: bool) -> None:
        self._table = table
        self._columns = tuple(columns)
        self._tail = _over(table, columns) if replace else ""
        self._sqlite: dict[int, str] = {}
        self._postgresql = ""

    def for_sqlite(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        """The text and the values of each statement that together insert `rows`, in order."""
        if not self._sqlite:
            names = ", ".join(self._columns)
            marks = f"({', '.join('?' * len(self._columns))})"
            head = f"INSERT INTO {self._table.name} ({names}) VALUES "
            self._sqlite = {size: head + ", ".join([marks] * size) + self._tail for size in self._SIZES}
        at = 0
        for size in self._SIZES:
            while len(rows) - at >= size:
                yield self._sqlite[size], [value for row in rows[at : at + size] for value in row]
                at += size

    def for_postgresql(self, rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
        """The statement that inserts `rows`, and its arrays, by place."""
        if not self._postgresql:
            spoken = _DIALECTS[Dialect.POSTGRESQL]()
            names = [self._table.c[name].type.compile(spoken) for name in self._columns]
            arrays = ", ".join(f"%s::{name}[]" for name in names)
            self._postgresql = (
                f"INSERT INTO {self._table.name} ({', '.join(self._columns)}) SELECT * FROM unnest({arrays})"
                + self._tail
            )
        kinds = [self._table.c[name].type for name in self._columns]
        return self._postgresql, [
            array(kind, column) for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)
        ]


def _over(table: sa.Table, columns: Sequence[str]) -> str:
    keys = [column.name for column in table.primary_key]
    rest = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    return f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {rest}"


def bulk_insert(table: sa.Table, columns: Sequence[str], *, replace: bool = False) -> BulkInsert:
    """INSERT of any number of rows, each a sequence in the order of `columns`.

    With `replace` a row takes the place of the one with its primary key; no two of the rows may have the same.
    """
    unknown = [name for name in columns if name not in table.c]
    if unknown:
        raise ValueError(f"{table.name} has no column {', '.join(unknown)}")
    return BulkInsert(table, columns, replace)
