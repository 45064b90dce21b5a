"""Reservations: what another program holds for calls that it sends itself. It settles or releases them by its word.

They belong to no process of arbstr, so no restart ends them. One that is not heard of for too long is ended as never
sent; what is heard of it later corrects that, as with every hold that was ended in its owner's place.
"""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import INTEGER, Statement, constant
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation
from arbstr_core.vault._corrections import ORPHANED
from arbstr_core.vault._terms import PAYOUT
from arbstr_core.vault._values import CALL, HoldState

BILLING = "billing"
"""The kind of their holds"""
HOLD_KINDS = frozenset({CALL, PAYOUT, BILLING})

_AT_ONCE = 256
_LAPSED = '{"ending":"lapsed","reasons":["it was neither settled nor released in time"]}'

_OLD = Statement(
    sa.select(t.HOLD.c.id)
    .where(
        t.HOLD.c.state == constant(HoldState.HELD.value),
        t.HOLD.c.kind == constant(BILLING),
        t.HOLD.c.created_ms <= sa.bindparam("before", type_=INTEGER),
    )
    .limit(sa.bindparam("most", type_=INTEGER))
    .offset(constant(0))
)


class EndOldReservations(VaultOperation[int]):
    """Release some of the reservations that are `age_ms` old; how many it were."""

    must = True

    def __init__(self, chart: Chart, age_ms: int) -> None:
        super().__init__(chart)
        self._age_ms = age_ms

    def change(self, book: Book) -> int:
        """Release them."""
        rows = book.tx.all(_OLD, {"before": book.now_ms - self._age_ms, "most": _AT_ONCE})
        ids = [row[0] for row in rows]
        book.load_holds(ids)
        old = [book.holds[name] for name in ids if book.holds[name].state == HoldState.HELD]
        for hold in old:
            book.end_hold(hold, "release", 0, (), _LAPSED, memo=ORPHANED)
        return len(old)
