"""Jobs that one process at a time does: each has a lease, and a number that grows with every new holder.

A process that was asleep may believe that it still has a job. What it then wants to write names the number that it was
given, and is refused.
"""

from __future__ import annotations

import enum

import sqlalchemy as sa

from arbstr_core.storage import INTEGER, TEXT, Operation, Statement, Transaction, constant
from arbstr_core.types import ArbstrError
from arbstr_core.vault import _tables as t
from arbstr_core.vault._rail_values import Turn


class Job(enum.StrEnum):
    """What is to be done."""

    SEALER = "sealer"
    """chains what the audit says; only on PostgreSQL"""
    SWEEPER = "sweeper"
    """ends the holds of processes that are gone"""
    SENDER = "sender"
    """delivers the outbox"""
    TREASURY = "treasury"
    """moves money over rails: answers requests, credits deposits, sends payments, compares rails with the ledger"""


class LostTurn(ArbstrError):
    """Another process does the job now: what this one wants to write for it is refused."""


_NAME = sa.bindparam("name", type_=TEXT)
_BOOT = sa.bindparam("boot", type_=TEXT)
_UNTIL = sa.bindparam("until", type_=INTEGER)
_OWN = sa.and_(t.JOB.c.name == _NAME, t.JOB.c.boot_id == _BOOT)

# Never waits: whoever has locked the row is doing the job, and may be waiting for us.
_FIND = Statement(
    sa.select(t.JOB.c.boot_id, t.JOB.c.until_ms, t.JOB.c.fence)
    .where(t.JOB.c.name == _NAME)
    .with_for_update(skip_locked=True)
)
_FIRST = Statement(
    sa.text("INSERT INTO job (name, boot_id, until_ms, fence) VALUES (:name, :boot, :until, 1) ON CONFLICT DO NOTHING")
)
_RENEW = Statement(sa.update(t.JOB).where(_OWN).values(until_ms=_UNTIL))
_TAKE = Statement(
    sa.update(t.JOB)
    .where(t.JOB.c.name == _NAME)
    .values(boot_id=_BOOT, until_ms=_UNTIL, fence=t.JOB.c.fence + constant(1))
)


def take(tx: Transaction, job: Job, boot_id: str, lease_ms: int, *, alone: bool = False) -> int | None:
    """Take a job, or renew the lease; its number, or None where another process has it. Until the transaction ends
    nobody else can take it. `alone`: there can be no other process, so whoever had it is gone."""
    own = {"name": job.value, "boot": boot_id, "until": tx.now_ms + lease_ms}
    found = tx.one(_FIND, {"name": job.value})
    if found is None:
        return 1 if tx.run(_FIRST, own) == 1 else None
    holder, until, fence = found
    if holder == boot_id:
        tx.run(_RENEW, own)
        return int(fence)
    if until > tx.now_ms and not alone:
        return None
    tx.run(_TAKE, own)
    return int(fence) + 1


def has(tx: Transaction, job: Job, boot_id: str, fence: int) -> bool:
    """True where the job is this process's, under the number it was given. Until the transaction ends nobody else can
    take it."""
    found = tx.one(_FIND, {"name": job.value})
    return found is not None and (found[0], found[2]) == (boot_id, fence) and found[1] > tx.now_ms


def must_have(tx: Transaction, job: Job, turn: Turn) -> None:
    """Raises LostTurn unless the job is still that of `turn`."""
    if not has(tx, job, turn.boot, turn.fence):
        raise LostTurn(f"the {job.value} of another process is at work: {turn.boot} has lost turn {turn.fence}")


class TakeJob(Operation[int | None]):
    """See `take`."""

    must = True

    def __init__(self, job: Job, boot_id: str, lease_ms: int, *, alone: bool) -> None:
        self._job = job
        self._boot_id = boot_id
        self._lease_ms = lease_ms
        self._alone = alone

    def run(self, tx: Transaction) -> int | None:
        """Take it."""
        return take(tx, self._job, self._boot_id, self._lease_ms, alone=self._alone)


class LoseJob(Operation[None]):
    """Let another process take a job at once; nothing where it is not this one's."""

    must = True

    def __init__(self, job: Job, boot_id: str) -> None:
        self._job = job
        self._boot_id = boot_id

    def run(self, tx: Transaction) -> None:
        """Let go."""
        tx.run(_RENEW, {"name": self._job.value, "boot": self._boot_id, "until": 0})
