"""Walks the audit chain: every row follows from the one before, and what was known of it before is still true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Dialect
from arbstr_core.vault import _audit
from arbstr_core.vault import _tables as t
from arbstr_core.vault._audit import Run
from arbstr_core.vault._rows import AUDIT_COLUMNS
from arbstr_core.vault._said import Said
from arbstr_core.vault._standing import Standing
from arbstr_core.vault._values import KnownCheckpoint

_PAGE = 2_000
_UNREADABLE = (ValueError, LookupError, TypeError)
_RUNS = msgspec.json.Decoder(list[Run])


class Walk:
    """What the audit says, and the first thing that is wrong with it. Audit rows that nobody has sealed yet (only
    PostgreSQL has those) count as those that follow."""

    def __init__(self, known: Sequence[KnownCheckpoint] = ()) -> None:
        self.said = Said()
        self.standing = Standing()
        self.head = _audit.Head()
        self.sealed = 0
        self.pending = 0
        self.well = False
        """whether it came to the end, and nothing was wrong"""
        self._known = sorted(known, key=lambda each: each.audit_seq)
        self._met = 0

    def run(self, connection: sa.Connection) -> str | None:
        """Walk to the end, or to the first that is wrong."""
        for page in _pages(connection):
            wrong = self._follow(page)
            if wrong is not None:
                return wrong
        self.sealed = self.head.seq
        if Dialect(connection.dialect.name) is Dialect.POSTGRESQL:
            wrong = self._follow_pending(connection)
            if wrong is not None:
                return wrong
        wrong = self._lost()
        self.well = wrong is None
        return wrong

    def _follow(self, page: Sequence[Sequence[Any]]) -> str | None:
        head = self.head
        for row in page:
            seq = row[0]
            if seq != head.seq + 1:
                return f"audit row {seq}: the sequence has a gap before it"
            if _audit.link(head.hash, row[:-1]) != row[-1]:
                return f"audit row {seq}: its hash does not follow from the row before"
            head.seq, head.hash = seq, row[-1]
            wrong = self._note(seq, row[5], row[7])
            if wrong is None and self._known:
                wrong = self._meet()
            if wrong is not None:
                return wrong
        return None

    def _follow_pending(self, connection: sa.Connection) -> str | None:
        pending = t.AUDIT_PENDING.c
        for action, data in connection.execute(sa.select(pending.action, pending.data).order_by(pending.id)):
            self.pending += 1
            wrong = self._note(self.sealed + self.pending, action, data)
            if wrong is not None:
                return wrong
        return None

    def _note(self, place: int, action: str, data: str) -> str | None:
        try:
            if action != _audit.LEDGER:
                self.standing.note(place, action, data)
                return None
            for run in _RUNS.decode(data):
                wrong = self.said.add(place, run)
                if wrong is not None:
                    return wrong
        except _UNREADABLE:
            return f"audit row {place}: what it says ({action}) cannot be"
        return None

    def _meet(self) -> str | None:
        """Compare with the checkpoints that know the row which was reached."""
        while self._met < len(self._known) and self._known[self._met].audit_seq <= self.head.seq:
            known = self._known[self._met]
            self._met += 1
            # There may have been rows that nobody had sealed yet.
            more = known.holds < self.said.counts["hold"] or known.transfers < self.said.counts["transfer"]
            if self.head.hash != known.hash or more:
                return f"audit row {known.audit_seq} is not the one that a checkpoint knows: history was written anew"
        return None

    def _lost(self) -> str | None:
        """What a checkpoint knows and the audit does not speak of any more."""
        cut = "its tail was cut, or the database is older than the checkpoint"
        for known in self._known[self._met :]:
            return f"the audit ends at row {self.sealed}, and a checkpoint knows row {known.audit_seq}: {cut}"
        for known in self._known:
            for kind, count in (("hold", known.holds), ("transfer", known.transfers)):
                if self.said.counts[kind] < count:
                    spoken = self.said.counts[kind]
                    return f"the audit speaks of {spoken} {kind}s, and a checkpoint knows {count}: {cut}"
        return None


def _pages(connection: sa.Connection) -> Iterator[Sequence[Sequence[Any]]]:
    last = 0
    columns = [t.AUDIT.c[name] for name in AUDIT_COLUMNS]
    while True:
        query = sa.select(*columns).where(t.AUDIT.c.seq > last).order_by(t.AUDIT.c.seq).limit(_PAGE)
        page = [tuple(row) for row in connection.execute(query)]
        if not page:
            return
        yield page
        last = page[-1][0]
