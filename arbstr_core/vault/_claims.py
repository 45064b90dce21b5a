"""Retries: which call a request was made for before, and the answer that it got.

A client that lost its connection asks again, and must not pay twice. Each call is claimed in the transaction of its
hold; a claim is good for ten minutes. Nothing of this is money: rows go when they are old.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import INTEGER, Operation, Statement, Transaction, bulk_insert, constant
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book
from arbstr_core.vault._values import Claim, Claimed, HoldState

SLOT_MS = 600_000
"""How long a claim is good for; they are kept in slots of this length."""
_AT_ONCE = 1_000

_FIND = Statement(
    sa.select(t.CLAIM.c.hold_id, t.CLAIM.c.body, t.CLAIM.c.at_ms)
    .where(
        t.CLAIM.c.slot.in_((sa.bindparam("slot"), sa.bindparam("slot") - constant(1))),
        t.CLAIM.c.account_id == sa.bindparam("account"),
        t.CLAIM.c.digest == sa.bindparam("digest"),
    )
    .order_by(t.CLAIM.c.at_ms.desc())
)
_INSERT = bulk_insert(t.CLAIM, ("slot", "account_id", "digest", "hold_id", "body", "at_ms"), replace=True)
_INSERT_REPLAY = bulk_insert(t.REPLAY, ("hold_seq", "sealed", "at_ms"))
_DROP_CLAIMS = Statement(sa.delete(t.CLAIM).where(t.CLAIM.c.slot < sa.bindparam("slot")))
_OLDEST = sa.select(t.REPLAY.c.hold_seq).order_by(t.REPLAY.c.hold_seq).limit(sa.bindparam("most", type_=INTEGER))
_DROP_REPLAYS = Statement(
    sa.delete(t.REPLAY).where(
        t.REPLAY.c.hold_seq.in_(_OLDEST.offset(constant(0)).scalar_subquery()),
        t.REPLAY.c.at_ms < sa.bindparam("before"),
    )
)


class _Row(msgspec.Struct):
    hold_id: str
    body: bytes | None
    at_ms: int


class Claims:
    """What the calls of one transaction claim; written with it."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._new: dict[tuple[int, int, bytes], _Row] = {}
        self._replays: list[tuple[int, bytes, int]] = []
        book.tx.before_commit(self._write)

    @classmethod
    def of(cls, book: Book) -> Claims:
        """Those of the book's transaction."""
        found: Claims | None = book.tx.scratch.get("claims")
        if found is None:
            found = book.tx.scratch["claims"] = cls(book)
        return found

    def before(self, account: int, claim: Claim) -> Claimed | None:
        """The call that the same was asked for in the last ten minutes, unless it came to nothing; None for a new one.

        Without a key of the caller's own only a retry looks: to ask the same twice on purpose is the caller's business.
        """
        if not (claim.retry or claim.body is not None):
            return None
        row = self._find(account, claim.digest)
        if row is None or row.at_ms <= self._book.now_ms - SLOT_MS:
            return None
        if row.hold_id == claim.after:
            return None
        if claim.body is not None and row.body != claim.body:
            return Claimed(id=row.hold_id, state=None)
        self._book.load_holds([row.hold_id])
        state = HoldState(self._book.holds[row.hold_id].state)
        # What was released cost nothing and gave nothing: asking again is what the client should do.
        return None if state is HoldState.RELEASED else Claimed(id=row.hold_id, state=state)

    def _find(self, account: int, digest: bytes) -> _Row | None:
        slot = self._book.now_ms // SLOT_MS
        new = self._new.get((slot, account, digest))
        if new is not None:
            return new
        row = self._book.tx.one(_FIND, {"slot": slot, "account": account, "digest": digest})
        return None if row is None else _Row(row[0], None if row[1] is None else bytes(row[1]), row[2])

    def claim(self, account: int, claim: Claim, hold_id: str) -> None:
        """From now on, whoever asks for the same is told of this call."""
        now = self._book.now_ms
        self._new[(now // SLOT_MS, account, claim.digest)] = _Row(hold_id, claim.body, now)

    def _write(self) -> None:
        rows = [(*key, row.hold_id, row.body, row.at_ms) for key, row in self._new.items()]
        self._book.tx.bulk(_INSERT, rows)
        self._book.tx.bulk(_INSERT_REPLAY, self._replays)

    def keep(self, hold_seq: int, sealed: bytes) -> None:
        """The answer of a call, for those who ask again."""
        self._replays.append((hold_seq, sealed, self._book.now_ms))


class DropOldClaims(Operation[int]):
    """Forget some of what is older than ten minutes; the number of answers that went."""

    def run(self, tx: Transaction) -> int:
        """Drop them."""
        tx.run(_DROP_CLAIMS, {"slot": tx.now_ms // SLOT_MS - 1})
        return tx.run(_DROP_REPLAYS, {"before": tx.now_ms - SLOT_MS, "most": _AT_ONCE})
