"""The outbox: what the operator is told, written with what it tells of, and kept until it is delivered."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Operation, Statement, Transaction, bulk_insert, constant
from arbstr_core.vault import _tables as t
from arbstr_core.vault._records import EventName, OutboxRecord

_MOST_ERROR = 500

_INSERT = bulk_insert(t.OUTBOX, ("event", "body", "created_ms", "due_ms", "attempts", "last_error"))
_OWN = (t.OUTBOX.c.seq == sa.bindparam("event_seq")) & t.OUTBOX.c.delivered_ms.is_(None)
_DELIVERED = Statement(
    sa.update(t.OUTBOX)
    .where(_OWN)
    .values({t.OUTBOX.c.delivered_ms: sa.bindparam("now"), t.OUTBOX.c.attempts: t.OUTBOX.c.attempts + constant(1)})
)
_FAILED = Statement(
    sa.update(t.OUTBOX)
    .where(_OWN)
    .values(
        {
            t.OUTBOX.c.due_ms: sa.bindparam("due"),
            t.OUTBOX.c.attempts: t.OUTBOX.c.attempts + constant(1),
            t.OUTBOX.c.last_error: sa.bindparam("error"),
        }
    )
)
_COLUMNS = (
    *(t.OUTBOX.c.seq, t.OUTBOX.c.event, t.OUTBOX.c.body, t.OUTBOX.c.created_ms, t.OUTBOX.c.due_ms),
    *(t.OUTBOX.c.attempts, t.OUTBOX.c.delivered_ms, t.OUTBOX.c.last_error),
)


def tell(tx: Transaction, event: EventName, **data: Any) -> None:
    """Have the operator told, once this transaction is durable."""
    body = msgspec.json.encode(data).decode()
    tx.bulk(_INSERT, [(event.value, body, tx.now_ms, tx.now_ms, 0, "")])


class Delivered(Operation[None]):
    """An event has arrived; said again it changes nothing."""

    must = True

    def __init__(self, seq: int) -> None:
        self._seq = seq

    def run(self, tx: Transaction) -> None:
        """Note it."""
        tx.run(_DELIVERED, {"event_seq": self._seq, "now": tx.now_ms})


class NotDelivered(Operation[None]):
    """An event has not arrived; it is tried again after a while."""

    def __init__(self, seq: int, error: str, wait_ms: int) -> None:
        self._seq = seq
        self._error = error.replace("\0", " ")[:_MOST_ERROR]
        self._wait_ms = wait_ms

    def run(self, tx: Transaction) -> None:
        """Note it."""
        tx.run(_FAILED, {"event_seq": self._seq, "error": self._error, "due": tx.now_ms + self._wait_ms})


def first_undelivered(connection: sa.Connection) -> OutboxRecord | None:
    """The oldest event that has not arrived."""
    found = events(connection, undelivered=True, oldest=True, most=1)
    return found[0] if found else None


def events(
    connection: sa.Connection, *, undelivered: bool, oldest: bool = False, before: int | None = None, most: int
) -> list[OutboxRecord]:
    """Events, the newest first or the `oldest`; `before` this number."""
    seq = t.OUTBOX.c.seq
    query = sa.select(*_COLUMNS).order_by(seq if oldest else seq.desc()).limit(most)
    if undelivered:
        query = query.where(t.OUTBOX.c.delivered_ms.is_(None))
    if before is not None:
        query = query.where(seq < before)
    return [
        OutboxRecord(
            **dict(zip(OutboxRecord.__struct_fields__, (row[0], row[1], row[2].encode(), *row[3:]), strict=True))
        )
        for row in connection.execute(query)
    ]
