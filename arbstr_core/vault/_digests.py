"""Compares holds and transfers, each with all that belongs to it, with the digests that the audit says.

The database puts together what is digested, a page of rows at a time and without the interpreter's lock, and PostgreSQL
digests it, too. Where that is not what was said, the rows are looked at one by one, the way they were written.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Dialect
from arbstr_core.vault import _audit
from arbstr_core.vault import _tables as t
from arbstr_core.vault._audit import DIGEST_BYTES
from arbstr_core.vault._checks import ENDED, WRONG_RECEIPT
from arbstr_core.vault._columns import first_after
from arbstr_core.vault._rows import HOLD_SMALL, TRANSFER_COLUMNS
from arbstr_core.vault._said import PAGE, Said, empty_page

WINDOW_SMALL = ("agent_id", "kind", "window_start_ms")
_SHA256_BYTES = 32
ENTRY_SMALL = ("n", "account_id", "side", "amount_msat", "previous_seq")


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """How rows of one table are digested."""

    name: str
    lines: dict[Dialect, str]
    one_by_one: Callable[[sa.Connection, int], list[tuple[int, str, bytes]]]
    """(number, what an operator calls it, digest) of the rows in a page"""


def _json(dialect: Dialect, table: sa.Table, columns: Sequence[str], name: str) -> str:
    """SQL for the canonical JSON of some columns."""
    named = [f"{name}.{column}" for column in columns]
    if dialect is Dialect.SQLITE:
        return f"json_array({', '.join(named)})"
    texts = [_text(table.c[column], each) for column, each in zip(columns, named, strict=True)]
    inside = " || ',' || ".join(texts)
    return f"('[' || {inside} || ']')"


def _text(column: sa.Column[Any], named: str) -> str:
    """PostgreSQL's text of a value as JSON."""
    if column.name == "side":
        # There are four of these a transfer, and to look for what is to be escaped takes longest.
        known = " ".join(f"""WHEN '{side}' THEN '"{side}"'""" for side in ("debit", "credit"))
        return f"CASE {named} {known} ELSE to_json({named})::text END"
    text = f"{named}::text" if isinstance(column.type, sa.Integer) else f"to_json({named})::text"
    return f"coalesce({text}, 'null')" if column.nullable else text


def _hold_line(dialect: Dialect) -> str:
    window = _json(dialect, t.HOLD_WINDOW, WINDOW_SMALL, "w")
    order = 'w.agent_id COLLATE "C", w.kind COLLATE "C"'
    together = f"group_concat({window}, '')"
    if dialect is Dialect.POSTGRESQL:
        together = f"string_agg({window}, '' ORDER BY {order})"
    more = f"SELECT {together} FROM hold_window w WHERE w.hold_seq = x.seq"
    small = _json(dialect, t.HOLD, HOLD_SMALL, "x")
    return f"{small} || CASE WHEN x.windows = 0 THEN '' ELSE coalesce(({more}), '') END || '|' || x.candidates"


_RECEIPTS = "transfer x LEFT JOIN receipt r ON r.hold_seq = x.hold_seq"


def _transfer_line(dialect: Dialect) -> str:
    entry, small = _json(dialect, t.ENTRY, ENTRY_SMALL, "e"), _json(dialect, t.TRANSFER, TRANSFER_COLUMNS, "x")
    more = f"(SELECT group_concat({entry}, '') FROM entry e WHERE e.transfer_seq = x.seq)"
    if dialect is Dialect.POSTGRESQL:
        more = "e.lines"
    return f"{small} || coalesce({more}, '') || '|' || coalesce(r.body, '')"


def _transfers_with(dialect: Dialect) -> str:
    """Transfers, with what their line is made of. PostgreSQL puts the entries of a page together in one go, in the
    order of their key; SQLite is faster one by one."""
    if dialect is Dialect.SQLITE:
        return _RECEIPTS
    entry = _json(dialect, t.ENTRY, ENTRY_SMALL, "e")
    ordered = "SELECT * FROM entry WHERE transfer_seq BETWEEN {0} AND {1} ORDER BY transfer_seq, n"
    lines = f"SELECT transfer_seq, string_agg({entry}, '') AS lines FROM ({ordered}) AS e GROUP BY transfer_seq"
    return f"{_RECEIPTS} LEFT JOIN ({lines}) AS e ON e.transfer_seq = x.seq"


def _query(dialect: Dialect, rows: str, line: str, wrong: str) -> str:
    """How many rows, the first and the last number; SQLite's lines with NUL between, or PostgreSQL's digests and
    numbers; and how many are `wrong` in what is digested by none."""
    page = f"FROM {rows} WHERE x.seq BETWEEN {{0}} AND {{1}}"
    if dialect is Dialect.SQLITE:
        made = f"CAST(group_concat({line}, char(0)) AS BLOB), NULL"
        return f"SELECT count(*), min(x.seq), max(x.seq), {made}, count(*) FILTER (WHERE {wrong}) {page}"
    # Whole: to cut them here costs less.
    digest = f"sha256(convert_to({line}, 'UTF8'))"
    made = "string_agg(digest, ''::bytea), string_agg(int8send(seq), ''::bytea)"
    ordered = f"SELECT x.seq, {digest} AS digest, {wrong} AS wrong {page} ORDER BY x.seq"
    return f"SELECT count(*), min(seq), max(seq), {made}, count(*) FILTER (WHERE wrong) FROM ({ordered}) AS page"


def _holds(connection: sa.Connection, page: int) -> list[tuple[int, str, bytes]]:
    columns = [t.HOLD.c[name] for name in (*HOLD_SMALL, "candidates")]
    rows = connection.execute(sa.select(*columns).where(_in(t.HOLD.c.seq, page)).order_by(t.HOLD.c.seq))
    windows = _grouped(connection, t.HOLD_WINDOW, WINDOW_SMALL, t.HOLD_WINDOW.c.hold_seq, page)
    return [
        (row[0], f"hold {row[1]}", _audit.of_hold(tuple(row[:-1]), windows.get(row[0], []), row[-1])) for row in rows
    ]


def _transfers(connection: sa.Connection, page: int) -> list[tuple[int, str, bytes]]:
    transfer = t.TRANSFER.c
    columns = [transfer[name] for name in TRANSFER_COLUMNS]
    joined = t.TRANSFER.outerjoin(t.RECEIPT, t.RECEIPT.c.hold_seq == transfer.hold_seq).outerjoin(
        t.HOLD, t.HOLD.c.seq == transfer.hold_seq
    )
    query = sa.select(*columns, t.HOLD.c.id, t.RECEIPT.c.body).select_from(joined)
    rows = connection.execute(query.where(_in(transfer.seq, page)).order_by(transfer.seq))
    entries = _grouped(connection, t.ENTRY, ENTRY_SMALL, t.ENTRY.c.transfer_seq, page)
    return [
        (
            row[0],
            f"transfer {row[0]} ({row[1]} {row[-2] or row[4]}), its entries or its receipt,",
            _audit.of_transfer(tuple(row[:-2]), entries.get(row[0], []), row[-1]),
        )
        for row in rows
    ]


def _grouped(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], of: sa.Column[int], page: int
) -> dict[int, list[tuple[Any, ...]]]:
    query = sa.select(of, *(table.c[name] for name in columns)).where(_in(of, page)).order_by(of, table.c[columns[0]])
    found: dict[int, list[tuple[Any, ...]]] = {}
    for row in connection.execute(query):
        found.setdefault(row[0], []).append(tuple(row[1:]))
    return found


def _in(number: sa.Column[int], page: int) -> sa.ColumnElement[bool]:
    return number.between(*_bounds(page))


def _bounds(page: int) -> tuple[int, int]:
    return page * PAGE, page * PAGE + PAGE - 1


KINDS = (
    Kind(
        name="hold",
        lines={dialect: _query(dialect, "hold x", _hold_line(dialect), "1 = 0") for dialect in Dialect},
        one_by_one=_holds,
    ),
    Kind(
        name="transfer",
        lines={
            dialect: _query(dialect, _transfers_with(dialect), _transfer_line(dialect), WRONG_RECEIPT)
            for dialect in Dialect
        },
        one_by_one=_transfers,
    ),
)


def pages(connection: sa.Connection, kind: Kind, said: Said) -> list[int]:
    """The pages in which there are rows, or should be, in order."""
    found, last = set(said.pages[kind.name]), None
    while (seq := first_after(connection, kind.name, "seq", last)) is not None:
        found.add(seq // PAGE)
        last = _bounds(seq // PAGE)[1]
    return sorted(found)


def first_other(connection: sa.Connection, kind: Kind, page: int, said: Said) -> str | None:
    """The first row of a page that is not what the audit says, is not there, or should not be."""
    meant = said.pages[kind.name].get(page) or empty_page()
    found, wrong = _digests(connection, kind, page)
    told = ENDED(connection) if wrong else None
    if told is not None or found == meant.digests:
        return told
    there = kind.one_by_one(connection, page)
    for seq, name, digest in there:
        at = seq % PAGE
        if not meant.places[at]:
            return f"{name} has no audit row"
        if digest != meant.digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]:
            return f"{name} is not what it was when it was written (audit row {meant.places[at]})"
    missing = {at + page * PAGE for at, place in enumerate(meant.places) if place} - {seq for seq, _, _ in there}
    if missing:
        seq = min(missing)
        return f"{kind.name} number {seq} is not there any more; audit row {meant.places[seq % PAGE]} speaks of it"
    return None


def _digests(connection: sa.Connection, kind: Kind, page: int) -> tuple[bytearray | None, int]:
    """The digests of a page by number, None where only one by one can they be made out; and how many rows are wrong."""
    dialect = Dialect(connection.dialect.name)
    query = kind.lines[dialect].format(*_bounds(page))
    count, first, last, made, numbers, wrong = connection.exec_driver_sql(query).one()
    found = bytearray(PAGE * DIGEST_BYTES)
    if not count:
        return found, 0
    digests = _of_lines(made) if dialect is Dialect.SQLITE else _cut(made)
    if len(digests) != count * DIGEST_BYTES:
        return None, wrong
    if count == last - first + 1:
        _put(found, first, digests)
    elif numbers is None:
        return None, wrong
    else:
        for n, seq in enumerate(struct.unpack(f">{count}q", numbers)):
            _put(found, seq, digests[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES])
    return found, wrong


def _put(found: bytearray, first: int, digests: bytes) -> None:
    start = first % PAGE * DIGEST_BYTES
    found[start : start + len(digests)] = digests


def _cut(whole: bytes) -> bytes:
    return b"".join([whole[at : at + DIGEST_BYTES] for at in range(0, len(whole), _SHA256_BYTES)])


def _of_lines(lines: bytes) -> bytes:
    sha256 = hashlib.sha256
    return b"".join([sha256(line).digest()[:DIGEST_BYTES] for line in lines.split(b"\0")])
