"""Checkpoints: what the audit's end was at a time, signed, so that history before it cannot be changed unseen."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Operation, Statement, Transaction, bulk_insert
from arbstr_core.vault import _tables as t

_INSERT = bulk_insert(t.CHECKPOINT, ("audit_seq", "at_ms", "body", "key_id", "signature"))
_END = sa.select(sa.func.max(t.AUDIT.c.seq))
_HAS = Statement(sa.select(t.CHECKPOINT.c.at_ms).where(t.CHECKPOINT.c.audit_seq == sa.bindparam("seq")))


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says: the audit's last row, and how many rows the ledger had. Counts are of rows."""

    ledger: str
    """which ledger: the hash of its first audit row, hex"""
    epoch: int
    seq: int
    hash: str
    """hex"""
    holds: int
    transfers: int
    entries: int
    at_ms: int


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A mark as it was signed: `body` is the mark's JSON, `signature` over just those bytes (Ed25519, hex)."""

    body: str
    key_id: str
    public_key: str
    """hex"""
    signature: str


def audit_end(connection: sa.Connection) -> int:
    """The number of the audit's last row; 0 where it is empty."""
    return connection.execute(_END).scalar() or 0


def mark(connection: sa.Connection, at_ms: int) -> Mark | None:
    """The audit's end now; None where nothing is in it yet."""
    audit = t.AUDIT.c
    end = connection.execute(sa.select(audit.seq, audit.epoch, audit.hash).order_by(audit.seq.desc()).limit(1)).first()
    first = connection.execute(sa.select(audit.hash).order_by(audit.seq).limit(1)).scalar()
    if end is None or first is None:
        return None
    holds, transfers, entries = (
        connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0
        for table in (t.HOLD, t.TRANSFER, t.ENTRY)
    )
    return Mark(
        ledger=bytes(first).hex(),
        epoch=end[1],
        seq=end[0],
        hash=bytes(end[2]).hex(),
        holds=holds,
        transfers=transfers,
        entries=entries,
        at_ms=at_ms,
    )


def checkpoints(connection: sa.Connection, newest: int) -> list[tuple[str, str, bytes]]:
    """(body, key id, signature) of the newest checkpoints, newest first."""
    made = t.CHECKPOINT.c
    query = sa.select(made.body, made.key_id, made.signature).order_by(made.audit_seq.desc()).limit(newest)
    return [(row[0], row[1], bytes(row[2])) for row in connection.execute(query)]


class WriteCheckpoint(Operation[bool]):
    """Keep a checkpoint; False where there is one of the same audit row already."""

    def __init__(self, mark: Mark, checkpoint: Checkpoint) -> None:
        self._mark = mark
        self._checkpoint = checkpoint

    def run(self, tx: Transaction) -> bool:
        """Write it."""
        if tx.one(_HAS, {"seq": self._mark.seq}) is not None:
            return False
        made = self._checkpoint
        row = (self._mark.seq, self._mark.at_ms, made.body, made.key_id, bytes.fromhex(made.signature))
        tx.bulk(_INSERT, [row])
        return True
