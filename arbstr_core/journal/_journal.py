"""Collects what happened and writes it in bunches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.api import Clock
from arbstr_core.storage import (
    INTEGER,
    TEXT,
    BulkInsert,
    Database,
    Dialect,
    Migration,
    Operation,
    Schema,
    Statement,
    Transaction,
    bulk_insert,
    create,
    narrow,
)
from arbstr_core.types import ArbstrError, Attempt

_log = logging.getLogger("arbstr.journal")

_WRITE_SECONDS = 0.5
_DAY_MS = 86_400_000
_PRUNE_SECONDS = 3_600.0
_DROPPED_AT_ONCE = 500
"""So few that nobody waits for it."""
_MOST_WAITING = 10_000
"""Rows beyond this are dropped, and counted: the request log is not worth the memory."""


def _columns() -> tuple[sa.Column[Any], ...]:
    """Those of the first version."""
    return (
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("at_ms", INTEGER, nullable=False),
        sa.Column("agent_id", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("status", INTEGER, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("charged_msat", INTEGER, nullable=False),
        sa.Column("total_ms", INTEGER, nullable=False),
    )


_FIRST = narrow("request_log", sa.MetaData(), *_columns())
_ADDED = (
    *(("tier", TEXT, "''"), ("streamed", INTEGER, "0"), ("input_tokens", INTEGER, "0")),
    *(("output_tokens", INTEGER, "0"), ("first_byte_ms", INTEGER, "0")),
)
REQUESTS = narrow(
    "request_log",
    sa.MetaData(),
    *_columns(),
    *(sa.Column(name, kind, nullable=False, server_default=sa.text(default)) for name, kind, default in _ADDED),
)
_DROP = Statement(
    sa.text(
        "DELETE FROM request_log WHERE id IN "
        f"(SELECT id FROM request_log WHERE id < :before ORDER BY id LIMIT {_DROPPED_AT_ONCE})"
    )
)
_COLUMNS = tuple(column.name for column in REQUESTS.columns)
TABLES = (REQUESTS.name,)
"""Those of this room, by name: whoever serves calls writes them"""


def schema() -> Schema:
    """The migrations of this room."""
    first = Migration(
        version=1,
        name="request log",
        sqlite=create(Dialect.SQLITE, _FIRST),
        postgresql=create(Dialect.POSTGRESQL, _FIRST),
    )
    second = Migration(
        version=2,
        name="tier, tokens and first byte of a call",
        sqlite=_more(Dialect.SQLITE),
        postgresql=_more(Dialect.POSTGRESQL),
    )
    return Schema(room="journal", migrations=(first, second))


def _more(dialect: Dialect) -> tuple[str, ...]:
    kinds = {TEXT: "TEXT", INTEGER: "INTEGER" if dialect is Dialect.SQLITE else "BIGINT"}
    return tuple(
        f"ALTER TABLE request_log ADD COLUMN {name} {kinds[kind]} NOT NULL DEFAULT {default}"
        for name, kind, default in _ADDED
    )


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One call as the request log keeps it. `status` is what the caller got, 0 where it got none."""

    id: str
    agent: str
    model: str
    status: int
    outcome: str
    provider: str = ""
    charged_msat: int = 0
    total_ms: int = 0
    tier: str = ""
    stream: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    first_byte_ms: int = 0
    """0 where none came"""
    # What follows is for watchers alone.
    endpoint: str = ""
    sold: str = ""
    """the model that was sold; empty where none was"""
    cached_input_tokens: int = 0
    cost_msat: int = 0
    overhead_ms: float | None = None
    """until the first provider was asked; None where none was"""
    attempts: Sequence[Attempt] = ()


Watcher = Callable[[CallRow], None]
"""Told of each call, once; must neither wait nor raise"""


class Journal:
    """Keeps rows in memory for half a second, then writes them together. `database` is None where nothing is kept.

    What is older than `keep_days` is dropped, a little at a time; nothing else is ever looked up here for money.
    """

    def __init__(
        self,
        database: Database | None,
        clock: Clock,
        watchers: Sequence[Watcher] = (),
        *,
        keep_days: int | None = None,
    ) -> None:
        self._keep_ms = None if keep_days is None else keep_days * _DAY_MS
        self._database = database
        self._clock = clock
        self._watchers = tuple(watchers)
        self._insert = bulk_insert(REQUESTS, _COLUMNS)
        self._rows: list[tuple[object, ...]] = []
        self.dropped = 0

    def note(self, row: CallRow) -> None:
        """Remember one call."""
        for watcher in self._watchers:
            watcher(row)
        if self._database is None:
            return
        if len(self._rows) >= _MOST_WAITING:
            self.dropped += 1
            return
        # The driver takes a long look at each text that is of a class of its own, as the words of an enum are.
        said, tier = str(row.outcome), str(row.tier)
        facts = (row.agent, _storable(row.model), row.provider, row.status, said, row.charged_msat, row.total_ms)
        more = (tier, int(row.stream), row.input_tokens, row.output_tokens, row.first_byte_ms)
        self._rows.append((row.id, self._clock.now_ms(), *facts, *more))

    async def run(self) -> None:
        """Write what was noted, and drop what is too old, for ever."""
        due = self._clock.monotonic()
        while True:
            await self._clock.sleep(_WRITE_SECONDS)
            await self.flush()
            if self._keep_ms is not None and self._clock.monotonic() >= due:
                whole = await self.prune(self._clock.now_ms() - self._keep_ms)
                due = self._clock.monotonic() + (_PRUNE_SECONDS if whole else 0)

    async def prune(self, before_ms: int) -> bool:
        """Drop some rows of calls that came before that; True where none are left."""
        if self._database is None:
            return True
        try:
            dropped = await self._database.submit(_Drop(f"req_{max(before_ms, 0):012x}"))
        except ArbstrError as broken:
            _log.warning("old rows of the request log could not be dropped, which is tried again: %s", broken)
            return True
        return dropped < _DROPPED_AT_ONCE

    async def flush(self) -> None:
        """Write what was noted. A database that refuses costs these rows, and a line in the log."""
        rows, self._rows = self._rows, []
        if not rows or self._database is None:
            return
        try:
            await self._database.submit(_Write(self._insert, rows))
        except ArbstrError as broken:
            self.dropped += len(rows)
            _log.warning("%d rows of the request log are lost: %s", len(rows), broken)


def _storable(text: str) -> str:
    """What a caller named, as every database takes it: one odd name must not cost the rows of others."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


class _Drop(Operation[int]):
    """Drops the oldest rows. An id begins with the time of its call."""

    def __init__(self, before: str) -> None:
        self._before = before

    def run(self, tx: Transaction) -> int:
        return tx.run(_DROP, {"before": self._before})


class _Write(Operation[None]):
    def __init__(self, insert: BulkInsert, rows: list[tuple[object, ...]]) -> None:
        self._insert = insert
        self._rows = rows

    def run(self, tx: Transaction) -> None:
        tx.bulk(self._insert, self._rows)
