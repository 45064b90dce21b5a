"""The sealer: chains what the audit says on PostgreSQL, where many processes write and none can know the end.

A change and its audit row are one transaction, with no hash yet; within a second one process moves such rows into the
chain. What one account's rows say stays in order: their ids are drawn under the account's lock.
"""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import INTEGER, Bulk, Operation, Rows, Statement, Transaction
from arbstr_core.vault import _audit, _rows
from arbstr_core.vault import _tables as t
from arbstr_core.vault._jobs import Job, take

LEASE_MS = 5_000
"""how long others wait for a sealer that is gone"""
FULL = 500
"""rows at once"""


def _gone(ids: Rows) -> sa.Delete:
    return sa.delete(t.AUDIT_PENDING).where(t.AUDIT_PENDING.c.id.in_(sa.select(ids[0]).select_from(ids.table)))


_PENDING = t.AUDIT_PENDING.c
_WAITING = Statement(
    sa.select(_PENDING.id, _PENDING.at_ms, _PENDING.actor, _PENDING.action, _PENDING.subject, _PENDING.data)
    .order_by(_PENDING.id)
    .limit(sa.bindparam("most", type_=INTEGER))
)
_HEAD = Statement(sa.select(t.AUDIT.c.seq, t.AUDIT.c.hash).order_by(t.AUDIT.c.seq.desc()).limit(sa.literal_column("1")))
_GONE = Bulk((INTEGER,), _gone)


class Seal(Operation[int | None]):
    """Chain some of what waits; how many rows it were, None where another process is the sealer."""

    must = True

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id

    def run(self, tx: Transaction) -> int | None:
        """Chain them."""
        if take(tx, Job.SEALER, self._boot_id, LEASE_MS) is None:
            return None
        waiting = tx.all(_WAITING, {"most": FULL})
        if waiting:
            end = tx.one(_HEAD, {})
            head = _audit.Head() if end is None else _audit.Head(seq=end[0], hash=bytes(end[1]))
            tx.bulk(_rows.INSERT_AUDIT, [_audit.chained(head, row[1], row[2:]) for row in waiting])
            tx.bulk(_GONE, [row[0] for row in waiting])
        return len(waiting)
