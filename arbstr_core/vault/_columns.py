"""Reads whole numbers column by column, a page of rows at a time: one value of the database a column, which costs a
tenth of a row of objects each."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Dialect

_PAGE = {Dialect.SQLITE: 5_000, Dialect.POSTGRESQL: 4_000}
"""Numbers in a page: what is done with it fits the processor's cache; PostgreSQL joins more of them by reading whole
tables."""
_FIRST = "SELECT min({1}) FROM {0} WHERE {2}"
_NUMBERS = msgspec.json.Decoder(list[int | None])
_AS_JSON = "json_group_array({0})"
_NULL = -(2**63)
_AS_BYTES = f"string_agg(int8send(coalesce({{0}}, {_NULL})), ''::bytea)"

Column = list[Any]
"""Whole numbers, None for NULL"""


def pages(connection: sa.Connection, table: str, number: str) -> Iterator[tuple[int, int]]:
    """(first, last) of the numbers of a table, which may have gaps; there is a row of the first."""
    width = _PAGE[Dialect(connection.dialect.name)]
    last = None
    while (first := first_after(connection, table, number, last)) is not None:
        last = first + width - 1
        yield first, last


def first_after(connection: sa.Connection, table: str, number: str, last: int | None) -> int | None:
    """The first number of a table after `last`, or of all: whoever adds a row may number it as he likes, below nothing,
    too."""
    which = "1 = 1" if last is None else f"{number} > {last}"
    found: int | None = connection.exec_driver_sql(_FIRST.format(table, number, which)).scalar()
    return found


def columns(connection: sa.Connection, names: Sequence[str], query: str) -> list[Column]:
    """The columns of `query`, which calls them by `names` and puts its rows in order."""
    sqlite = Dialect(connection.dialect.name) is Dialect.SQLITE
    one, read = (_AS_JSON, _NUMBERS.decode) if sqlite else (_AS_BYTES, _numbers)
    row = connection.exec_driver_sql(f"SELECT {', '.join(map(one.format, names))} FROM ({query}) AS page").one()
    return [read(column) if column is not None else [] for column in row]


def _numbers(column: bytes) -> Column:
    found = array("q", column)
    if sys.byteorder == "little":
        found.byteswap()
    return [None if each == _NULL else each for each in found] if _NULL in found else found.tolist()
