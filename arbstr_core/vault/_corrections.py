"""Corrections: what is posted when a call that was ended without its process turns out to have cost something else.

The hold's end stands. A correction is a transfer of its own that refers to it, never above the old hold; it moves the
limits' buckets that the hold counted in, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import INTEGER, Statement, constant
from arbstr_core.types import Conflict
from arbstr_core.vault import _rows
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Entry
from arbstr_core.vault._buckets import SPENT
from arbstr_core.vault._rows import Held
from arbstr_core.vault._terms import HOUR_MS, more_of

ORPHANED = "orphaned"
"""The memo of the end of a hold whose process did not end it"""
CORRECTION = "correction"

_SIGNED = sa.case((t.ENTRY.c.side == constant("debit"), t.ENTRY.c.amount_msat), else_=-t.ENTRY.c.amount_msat)


def sum_of_entries() -> sa.ColumnElement[int]:
    """SQL for what entries take from an account, less what they give to it."""
    return sa.cast(sa.func.coalesce(sa.func.sum(_SIGNED), constant(0)), INTEGER)


_END = Statement(sa.select(t.TRANSFER.c.seq, t.TRANSFER.c.memo).where(t.TRANSFER.c.hold_seq == sa.bindparam("hold")))
_CORRECTED = Statement(
    sa.select(sum_of_entries())
    .select_from(t.TRANSFER.join(t.ENTRY, t.ENTRY.c.transfer_seq == t.TRANSFER.c.seq))
    .where(
        t.TRANSFER.c.refers_to == sa.bindparam("end"),
        t.TRANSFER.c.kind == constant(CORRECTION),
        t.ENTRY.c.account_id == sa.bindparam("account"),
    )
)


class _End(msgspec.Struct):
    """How a hold ended, and what its agent has been charged for it since."""

    transfer: int
    memo: str
    net: int


def swept(book: Book, hold: Held) -> bool:
    """True where the hold was ended in place of its process."""
    return _end(book, hold).memo == ORPHANED


def correct(
    book: Book, hold: Held, charge: int, *, key: str, memo: str, others: Sequence[Entry] = (), same: bool = True
) -> int:
    """Make `charge` what the agent has paid for an ended hold, as far as the hold, its balance and its limits allow;
    what it has paid then. `others` are entries beside it, which balance. Once for each key; another memo raises
    Conflict, unless `same` is False."""
    end = _end(book, hold)
    before = book.posted(key)
    if before is not None:
        if same and before[2] != memo:
            raise Conflict(f"key {key!r} was used for something else: {before[2]}")
        return end.net
    more = min(charge, hold.amount) - end.net
    if more > 0:
        more = max(0, min(more, _room(book, hold)))
    entries = [*_entries(book, hold, more), *others]
    if not entries and same:
        return end.net
    # Where the owner's own word came late it is written down though it changes nothing: it counts once.
    book.post(CORRECTION, hold.realm, abs(more), entries, key=key, memo=memo, refers_to=end.transfer)
    for agent, kind, window in _windows(book, hold):
        book.buckets.use(agent, kind, window, more)
    end.net += more
    assert 0 <= end.net <= hold.amount, "a correction is never above the old hold"
    return end.net


def _end(book: Book, hold: Held) -> _End:
    ends: dict[int, _End] = book.tx.scratch.setdefault("corrected", {})
    found = ends.get(hold.seq)
    if found is None:
        found = ends[hold.seq] = _ended_here(book, hold) or _ended_before(book, hold)
    return found


def _ended_here(book: Book, hold: Held) -> _End | None:
    end = book.ends.get(hold.seq)
    return None if end is None else _End(*end, hold.charged)


def _ended_before(book: Book, hold: Held) -> _End:
    row = book.tx.one(_END, {"hold": hold.seq})
    assert row is not None, f"hold {hold.id} has ended, and there is no transfer of it"
    corrected = book.tx.one(_CORRECTED, {"end": row[0], "account": hold.account})
    assert corrected is not None, "a SELECT of a sum gave no row"
    return _End(row[0], row[1], hold.charged + corrected[0])


def _entries(book: Book, hold: Held, more: int) -> list[Entry]:
    if not more:
        return []
    agent = _rows.Account(hold.account, "agent", 1)
    sales = book.account("income:sales", hold.realm, "income")
    if more > 0:
        return [(agent, "debit", more), (sales, "credit", more)]
    return [(sales, "debit", -more), (agent, "credit", -more)]


def _windows(book: Book, hold: Held) -> list[tuple[str, str, int]]:
    return [(hold.agent, "day", hold.window), *(each for each in book.windows(hold) if each[1] in SPENT)]


def _room(book: Book, hold: Held) -> int:
    """What the agent's balance, and the limits in the windows of the hold, still leave."""
    purse = book.purse(hold.account)
    room = purse.posted - purse.held
    for agent, kind, window in _windows(book, hold):
        node = next((each for each in book.chain(agent) if each.id == agent), None)
        limit = None if node is None else node.daily if kind == "day" else more_of(node.more).hourly_msat
        if limit is None:
            # A day without a limit allows nothing; an hour without one does not count.
            room = 0 if kind == "day" else room
            continue
        # An hour is any sixty minutes: what is used in all of those that the window is part of.
        span = (window, window) if kind == "day" else (window - HOUR_MS, window + HOUR_MS)
        used = book.buckets.used(agent, kind, span[0])
        if window not in used:
            # It was forgotten: what else counted in it nobody knows any more.
            room = 0
        room = min(room, limit - sum(amount for start, amount in used.items() if start <= span[1]))
    return room
