"""Holds whose process is gone or has forgotten them: each is ended once, with what is known to have been used.

Only holds of calls: what is held for a payout ends by evidence, what another program reserved by its word.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import INTEGER, Dialect, Statement, constant
from arbstr_core.types import MAX_MSAT, Conflict
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._corrections import ORPHANED, correct
from arbstr_core.vault._holds import charge_entries, known_hold
from arbstr_core.vault._rows import Held
from arbstr_core.vault._values import CALL, Closed, HoldState

_AT_ONCE = 256

_OF_OTHERS = (
    sa.select(t.HOLD.c.id)
    .where(
        t.HOLD.c.state == constant(HoldState.HELD.value),
        t.HOLD.c.kind == constant(CALL),
        t.HOLD.c.boot_id != sa.bindparam("boot"),
    )
    .limit(sa.bindparam("most", type_=INTEGER))
)
_ALIVE = sa.exists().where(
    t.BOOT.c.id == t.HOLD.c.boot_id,
    t.BOOT.c.ended_ms.is_(None),
    t.BOOT.c.lease_until_ms >= sa.bindparam("lapsed", type_=INTEGER),
)
_ORPHANS = {
    # The file is locked: no other process lives.
    Dialect.SQLITE: Statement(_OF_OTHERS.offset(constant(0))),
    Dialect.POSTGRESQL: Statement(_OF_OTHERS.where(~_ALIVE)),
}


class SweepOrphans(VaultOperation[int]):
    """End some of the holds of processes that are gone; how many it were. On PostgreSQL a process is gone once its
    lease ran out `lease_ms` ago, or it said that it ends.

    What was not dispatched is released. Else the agent is charged what was last seen of it: the input, and the output
    up to the last heartbeat; or, with `full`, the whole hold.
    """

    must = True

    def __init__(self, chart: Chart, boot_id: str, *, lease_ms: int, full: bool) -> None:
        super().__init__(chart)
        self._boot_id = boot_id
        self._lease_ms = lease_ms
        self._full = full

    def change(self, book: Book) -> int:
        """End them."""
        asked = {"boot": self._boot_id, "most": _AT_ONCE}
        if book.tx.dialect is Dialect.POSTGRESQL:
            asked["lapsed"] = book.now_ms - self._lease_ms
        rows = book.tx.all(_ORPHANS[book.tx.dialect], asked)
        return end_orphans(book, [row[0] for row in rows], full=self._full)


def end_orphans(book: Book, ids: list[str], *, full: bool) -> int:
    """End those of the holds that are open; how many it were."""
    book.load_holds(ids)
    open_ones = [book.holds[name] for name in ids if book.holds[name].state == HoldState.HELD]
    for hold in open_ones:
        _end(book, hold, full=full)
    return len(open_ones)


def _end(book: Book, hold: Held, *, full: bool) -> None:
    if hold.dispatched is None:
        book.end_hold(hold, "release", 0, (), _receipt(hold, "released: it had not been sent"), memo=ORPHANED)
        return
    charge = hold.amount if full else hold.seen
    said = "charged as held" if full else "charged what was seen of it"
    book.end_hold(hold, "settle", charge, charge_entries(book, hold, charge), _receipt(hold, said), memo=ORPHANED)


def _receipt(hold: Held, said: str) -> str:
    reason = f"the process that held it ended before the call did; {said}"
    return msgspec.json.encode({"id": hold.id, "ending": ORPHANED, "reasons": [reason]}).decode()


class Correct(VaultOperation[Closed]):
    """Make a charge what it should have been, once for each key. Raises Conflict while the hold is open."""

    must = True

    def __init__(self, chart: Chart, hold_id: str, charge_msat: int, reason: str, key: str) -> None:
        super().__init__(chart)
        if not 0 <= charge_msat <= MAX_MSAT:
            raise ValueError(f"correction of {hold_id}: {charge_msat} msat is no amount")
        plain_text("a correction", reason, key)
        self.holds = (hold_id,)
        self._charge = charge_msat
        self._key = f"correct:{key}"
        self._memo = msgspec.json.encode({"hold": hold_id, "charge_msat": charge_msat, "reason": reason}).decode()

    def change(self, book: Book) -> Closed:
        """Post it."""
        hold = known_hold(book, self.holds[0])
        if hold.state == HoldState.HELD:
            raise Conflict(f"hold {hold.id} is open: settle or release it")
        paid = correct(book, hold, self._charge, key=self._key, memo=self._memo)
        return Closed(id=hold.id, state=HoldState(hold.state), charged_msat=paid, first=False)
