"""What a database role may do that serves calls and is not the treasury; within that `_bounds` looks at each statement.

It reads who calls and what they may spend, writes holds and how calls end, and writes down what is asked for. It makes
no agents, tokens and limits, decides nothing, credits nothing, and of payments sees neither tokens nor proofs.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault import _tables as t

_READS = (
    *(t.ACCOUNT, t.AGENT, t.TOKEN, t.LIMITS, t.BUCKET, t.HOLD, t.HOLD_WINDOW, t.TRANSFER, t.ENTRY, t.RECEIPT, t.CLAIM),
    *(t.REPLAY, t.APPROVAL, t.OUTBOX, t.ALERT, t.BOOT, t.AUDIT, t.AUDIT_PENDING, t.AUDIT_KEY, t.CHECKPOINT),
    *(r.REQUEST, r.DEPOSIT, r.FROZEN, r.SOLVENCY, r.SELLER),
)
_ADDS = (
    *(t.ACCOUNT, t.BUCKET, t.HOLD, t.HOLD_WINDOW, t.TRANSFER, t.ENTRY, t.RECEIPT, t.CLAIM, t.REPLAY),
    *(t.OUTBOX, t.ALERT, t.BOOT, t.AUDIT_PENDING, r.REQUEST),
)
_CHANGES = (
    (t.ACCOUNT, ("posted_msat", "held_msat", "last_hold", "last_transfer")),
    (t.BUCKET, ("used",)),
    (t.HOLD, ("state", "ended_ms", "dispatched_ms", "seen_msat", "seen_ms")),
    (t.CLAIM, ("hold_id", "body", "at_ms")),
    (t.APPROVAL, ("state", "hold_id")),
    (t.ALERT, ("last_ms",)),
    (t.BOOT, ("lease_until_ms", "ended_ms")),
    # To lock a row takes the right to change it; a bound refuses all changes.
    (r.REQUEST, ("tries",)),
)
_SECRET = ("token", "proof")
_DECIDED = ("decided_ms", "decided_by")
_SEQUENCES = ("hold_numbers", "transfer_numbers", "account_numbers")


def bounded_privileges() -> Iterator[str]:
    """Each privilege as GRANT says it before TO."""
    for table in _READS:
        yield f"SELECT ON {table.name}"
    yield f"SELECT ({_but(r.PAYMENT, _SECRET)}) ON {r.PAYMENT.name}"
    for table in _ADDS:
        yield f"INSERT ON {table.name}"
    yield f"INSERT ({_but(t.APPROVAL, _DECIDED)}) ON {t.APPROVAL.name}"
    for table, columns in _CHANGES:
        yield f"UPDATE ({', '.join(columns)}) ON {table.name}"
    for name in _SEQUENCES:
        yield f"USAGE ON SEQUENCE {name}"


def _but(table: sa.Table, columns: tuple[str, ...]) -> str:
    return ", ".join(column.name for column in table.c if column.name not in columns)
