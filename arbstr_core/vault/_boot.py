"""The processes that hold money: each renews a lease, names its open calls, and ends those that it has forgotten.

All of it rides in the transactions of the calls. Times are the database's on PostgreSQL.
"""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import INTEGER, TEXT, Bulk, Dialect, Rows, Statement, bulk_insert, constant
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation
from arbstr_core.vault._orphans import end_orphans
from arbstr_core.vault._values import CALL, Beat, HoldState, LiveHolds

UNATTENDED_MS = 60_000
"""How long a hold may be in no exchange before its own process ends it."""

_LEASE = Statement(sa.select(t.BOOT.c.lease_until_ms, t.BOOT.c.ended_ms).where(t.BOOT.c.id == sa.bindparam("boot")))
_RENEW = Statement(
    sa.update(t.BOOT)
    .where(t.BOOT.c.id == sa.bindparam("boot"))
    .values(lease_until_ms=sa.bindparam("until", type_=INTEGER), ended_ms=sa.null())
)
_INSERT = bulk_insert(t.BOOT, ("id", "started_ms", "lease_until_ms"))
_LEAVE = Statement(
    sa.update(t.BOOT).where(t.BOOT.c.id == sa.bindparam("boot")).values(ended_ms=sa.bindparam("now", type_=INTEGER))
)
_UNATTENDED = Statement(
    sa.select(t.HOLD.c.id).where(
        t.HOLD.c.state == constant(HoldState.HELD.value),
        t.HOLD.c.kind == constant(CALL),
        t.HOLD.c.boot_id == sa.bindparam("boot"),
        t.HOLD.c.created_ms <= sa.bindparam("before", type_=INTEGER),
        sa.func.coalesce(t.HOLD.c.seen_ms, constant(0)) <= sa.bindparam("before", type_=INTEGER),
    )
)


def _see(rows: Rows) -> sa.Update:
    """What was seen never shrinks, and is never above the hold."""
    hold = t.HOLD.c
    seen = sa.case((rows[1] > hold.amount_msat, hold.amount_msat), (rows[1] > hold.seen_msat, rows[1]))
    return (
        sa.update(t.HOLD)
        .where(hold.id == rows[0], hold.state == constant(HoldState.HELD.value))
        .values(
            seen_msat=sa.func.coalesce(seen, hold.seen_msat),
            seen_ms=rows[2],
            dispatched_ms=sa.func.coalesce(hold.dispatched_ms, rows[2]),
        )
    )


_SEE = Bulk((TEXT, INTEGER, INTEGER), _see)


class Heartbeat(VaultOperation[Beat]):
    """Renew the lease, write down what the live holds have used, and end those that nobody attends to any more."""

    must = True

    def __init__(self, chart: Chart, boot_id: str, live: LiveHolds, *, lease_ms: int, full: bool) -> None:
        super().__init__(chart)
        if any(msat < 0 for _, msat in live.seen):
            raise ValueError("a heartbeat says that less than nothing was used")
        self._boot_id = boot_id
        self._live = live
        self._lease_ms = lease_ms
        self._full = full

    def change(self, book: Book) -> Beat:
        """Do all three."""
        lapsed = self._renew(book)
        rows = [(name, msat, book.now_ms) for name, msat in self._live.seen]
        # After the book has written: a hold that ends in this transaction is seen no more.
        book.tx.before_commit(lambda: book.tx.bulk(_SEE, rows))
        return Beat(lapsed=lapsed, ended=self._end_unattended(book))

    def _renew(self, book: Book) -> bool:
        """Renew the lease, or take it for the first time; True where it had run out."""
        until = book.now_ms + self._lease_ms
        before = book.tx.one(_LEASE, {"boot": self._boot_id})
        if before is None:
            book.tx.bulk(_INSERT, [(self._boot_id, book.now_ms, until)])
            return False
        book.tx.run(_RENEW, {"boot": self._boot_id, "until": until})
        return before[1] is not None or before[0] < book.now_ms

    def _end_unattended(self, book: Book) -> int:
        asked = {"boot": self._boot_id, "before": book.now_ms - UNATTENDED_MS}
        old = [row[0] for row in book.tx.all(_UNATTENDED, asked)]
        return end_orphans(book, [name for name in old if name not in self._live.ids], full=self._full)


def living(connection: sa.Connection) -> int:
    """How many processes on this database have not said that they end, and may still hold their lease. On SQLite a
    process has the file to itself, and its lock says so."""
    if Dialect(connection.dialect.name) is Dialect.SQLITE:
        return 0
    now = connection.exec_driver_sql("SELECT arbstr_now()").scalar_one()
    query = sa.select(sa.func.count()).where(t.BOOT.c.ended_ms.is_(None), t.BOOT.c.lease_until_ms > now)
    return int(connection.execute(query).scalar_one())


class Leave(VaultOperation[None]):
    """This process ends: what it leaves open need not wait for its lease."""

    must = True

    def __init__(self, chart: Chart, boot_id: str) -> None:
        super().__init__(chart)
        self._boot_id = boot_id

    def change(self, book: Book) -> None:
        """Say so."""
        book.tx.run(_LEAVE, {"boot": self._boot_id, "now": book.now_ms})
