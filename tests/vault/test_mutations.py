"""Whatever value is changed in whatever row of the ledger, the database refuses it or `verify` finds it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from history import copies, fill, verified
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arbstr_core.storage import Dialect
from arbstr_core.vault import _tables as t

TABLES = (
    *(t.ACCOUNT, t.AGENT, t.TOKEN, t.LIMITS, t.BUCKET, t.HOLD, t.HOLD_WINDOW, t.TRANSFER, t.ENTRY, t.RECEIPT),
    *(t.APPROVAL, t.AUDIT),
)
UNWATCHED = {"hold": {"dispatched_ms", "seen_msat", "seen_ms"}}
"""What a heartbeat saw: see docs/audit.md"""
MUTABLE = {
    "account": {"posted_msat", "held_msat", "last_hold", "last_transfer"},
    "agent": {"enabled"},
    "token": {"revoked_ms"},
    "bucket": {"used"},
    "hold": {"state", "ended_ms"},
    "approval": {"state", "expires_ms", "decided_ms", "decided_by", "hold_id"},
}
"""What a guard cannot know to be wrong"""


@pytest.fixture(scope="module")
def on_sqlite(new_bench, tmp_path_factory):
    bench = new_bench(tmp_path_factory.mktemp("filled"))
    fill(bench)
    return copies(bench, None, lambda: tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def on_postgresql(new_bench, tmp_path_factory, postgres):
    bench = new_bench(tmp_path_factory.mktemp("filled"), postgres.create_database())
    fill(bench)
    return copies(bench, postgres, lambda: tmp_path_factory.mktemp("copy"))


def literal(value, dialect):
    """A value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes | memoryview):
        made = bytes(value).hex()
        return f"x'{made}'" if dialect is Dialect.SQLITE else f"'\\x{made}'"
    quoted = value.replace("'", "''")
    return f"'{quoted}'"


@st.composite
def mutations(draw):
    """(table, place of a row, what to do, column, how to change it)"""
    table = draw(st.sampled_from(TABLES))
    columns = [column.name for column in table.c if column.name not in UNWATCHED.get(table.name, ())]
    what = draw(st.sampled_from(["change", "change", "change", "null", "delete", "double", "swap"]))
    return table, draw(st.integers(0, 40)), what, draw(st.sampled_from(columns)), draw(st.integers(1, 1_000_000))


def changed(value, column, by):
    """Another value of the same kind."""
    if isinstance(value, int):
        return value + by if by % 2 else value - by
    if isinstance(value, bytes | memoryview):
        whole = bytearray(bytes(value) or b"\0")
        whole[by % len(whole)] ^= 1 + by % 255
        return bytes(whole)
    if isinstance(value, str):
        at = by % (len(value) + 1)
        return value[:at] + "7" + value[at:]
    return by if isinstance(column.type, sa.Integer) else str(by)


def written(bench, table, place, what, column, by):
    """The statement, and the columns that it changes; None where nothing would be other than it is."""
    names = [each.name for each in table.c]
    rows = sorted(bench.rows(f"SELECT {', '.join(names)} FROM {table.name}"), key=str)
    row = dict(zip(names, rows[place % len(rows)], strict=True))
    own = " AND ".join(f"{key.name} = {literal(row[key.name], bench.dialect)}" for key in table.primary_key)
    if what == "delete":
        return None if row.get("used") == 0 else (f"DELETE FROM {table.name} WHERE {own}", set(names))
    if what == "double":
        row |= {key.name: changed(row[key.name], key, by) for key in table.primary_key}
        values = ", ".join(literal(value, bench.dialect) for value in row.values())
        return None if row.get("used") == 0 else (f"INSERT INTO {table.name} VALUES ({values})", set(names))
    if what == "swap":
        value = dict(zip(names, rows[by % len(rows)], strict=True))[column]
    else:
        value = None if what == "null" else changed(row[column], table.c[column], by)
    if value == row[column] or (table is t.BUCKET and row["used"] == 0 and column != "used"):
        return None
    return f"UPDATE {table.name} SET {column} = {literal(value, bench.dialect)} WHERE {own}", {column}


EVERYWHERE = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=250, **EVERYWHERE)
@given(mutation=mutations())
def test_every_change_is_refused_or_found_on_sqlite(on_sqlite, mutation):
    change_once(on_sqlite, mutation)


@settings(max_examples=40, **EVERYWHERE)
@given(mutation=mutations())
def test_every_change_is_refused_or_found_on_postgresql(on_postgresql, mutation):
    change_once(on_postgresql, mutation)


def change_once(fresh, mutation):
    table, _, what, *_ = mutation
    bench = fresh()
    statement = written(bench, *mutation)
    if statement is None:
        return
    change, columns = statement
    if what == "delete" or (what != "double" and not columns & MUTABLE.get(table.name, set())):
        with pytest.raises(bench.errors):
            bench.tamper(change)
    try:
        bench.tamper_unguarded(change)
    except bench.errors:
        return
    verification = verified(bench)
    assert not verification.ok, change
    assert verification.first_bad
