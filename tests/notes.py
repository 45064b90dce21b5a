"""A table of notes, and operations that write in it: what the tests of the writer and of its faults work with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from arbstr_core.storage import (
    INTEGER,
    TEXT,
    Bulk,
    Database,
    Dialect,
    Guard,
    Migration,
    Operation,
    Rows,
    Schema,
    Statement,
    Transaction,
    bulk_insert,
    create,
    kept,
    wide,
)

NOTE = wide(
    "note",
    sa.MetaData(),
    sa.Column("id", INTEGER, primary_key=True),
    sa.Column("text", TEXT, sa.CheckConstraint("text <> 'bad'"), nullable=False),
    sa.Column("at_ms", INTEGER, nullable=False),
)
_GUARDS = (
    *kept(NOTE),
    Guard(name="note_no_shout", table="note", event="UPDATE", message="note: no shouting", when="NEW.text = 'LOUD'"),
)


def _made(dialect: Dialect) -> tuple[str, ...]:
    return (*create(dialect, NOTE), *(sql for guard in _GUARDS for sql in guard.made(dialect)))


NOTES = Schema(
    room="notes",
    migrations=(
        Migration(version=1, name="notes", sqlite=_made(Dialect.SQLITE), postgresql=_made(Dialect.POSTGRESQL)),
    ),
)
INSERT = bulk_insert(NOTE, ("id", "text", "at_ms"))
ONE = Statement(sa.select(NOTE.c.text).where(NOTE.c.id == sa.bindparam("id", type_=INTEGER)))
LOCK = Statement(sa.select(NOTE.c.id).where(NOTE.c.id == sa.bindparam("id", type_=INTEGER)).with_for_update())
REWRITE = Statement(
    sa.update(NOTE).where(NOTE.c.id == sa.bindparam("id", type_=INTEGER)).values(text=sa.bindparam("new"))
)


def _touch(rows: Rows) -> sa.Update:
    return sa.update(NOTE).where(NOTE.c.id == rows[0]).values(at_ms=rows[1])


TOUCH = Bulk((INTEGER, INTEGER), _touch)


class Write(Operation[int]):
    """Writes one row; gives how many operations shared its transaction."""

    def __init__(self, id: int, text: str = "good") -> None:
        self.id = id
        self.text = text

    def run(self, tx: Transaction) -> int:
        tx.bulk(INSERT, [(self.id, self.text, tx.now_ms)])
        return len(tx.operations)


class Settle(Write):
    """Is never refused by a full queue."""

    must = True


class Poison(Operation[None]):
    """Does what a test says."""

    def __init__(self, work: Callable[[Transaction], object]) -> None:
        self._work = work

    def run(self, tx: Transaction) -> None:
        self._work(tx)


class Wait(Operation[None]):
    """Keeps the writer busy until told."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()

    def run(self, tx: Transaction) -> None:
        self.entered.set()
        assert self.go.wait(30)


async def together(db: Database, operations: Sequence[Operation[Any]]) -> list[Any]:
    """What becomes of operations that share a batch."""
    wait = Wait()
    held = db.submit(wait)
    await asyncio.to_thread(wait.entered.wait, 30)
    futures = [db.submit(operation) for operation in operations]
    wait.go.set()
    await held
    return await asyncio.gather(*futures, return_exceptions=True)


def count(connection: sa.Connection) -> int:
    """How many notes there are."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(NOTE)).scalar_one())


def ids(connection: sa.Connection) -> list[int]:
    """Which there are."""
    return [int(row[0]) for row in connection.execute(sa.select(NOTE.c.id).order_by(NOTE.c.id))]
