"""What is frozen: nothing leaves a realm, or a rail, until an operator thaws it. Calls are served all the same."""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import Statement, bulk_insert, constant
from arbstr_core.vault import _jobs, _outbox
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault._audit import canonical
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._credits import Place, move_to
from arbstr_core.vault._rail_values import Turn
from arbstr_core.vault._records import EventName
from arbstr_core.vault._sending import WALKED

_FIND = Statement(sa.select(r.FROZEN.c.frozen, r.FROZEN.c.reason).where(r.FROZEN.c.scope == sa.bindparam("scope")))
_INSERT = bulk_insert(r.FROZEN, ("scope", "frozen", "reason", "actor", "at_ms"))
_WRITE = Statement(
    sa.update(r.FROZEN)
    .where(r.FROZEN.c.scope == sa.bindparam("which"))
    .values(frozen=sa.bindparam("on"), reason=sa.bindparam("why"), actor=sa.bindparam("by"), at_ms=sa.bindparam("now"))
)
_CHECKED = Statement(sa.select(r.SOLVENCY.c.below).where(r.SOLVENCY.c.realm == sa.bindparam("realm")))
_FORGET = Statement(sa.update(r.SOLVENCY).where(r.SOLVENCY.c.realm == sa.bindparam("realm")).values(below=constant(0)))
_CHECK = bulk_insert(r.SOLVENCY, ("realm", "at_ms", "below", "body"), replace=True)
CHECKS = 3
"""So many in a row that find less than is owed, and nothing leaves the realm any more"""


def freeze(book: Book, scope: str, reason: str, actor: str) -> bool:
    """Freeze it; False where it is frozen already: the first reason stands."""
    return _set(book, scope, 1, reason, actor)


def _set(book: Book, scope: str, on: int, reason: str, actor: str) -> bool:
    found = book.tx.one(_FIND, {"scope": scope})
    if (0 if found is None else found[0]) == on:
        return False
    reason = reason.replace("\0", " ")
    if found is None:
        book.tx.bulk(_INSERT, [(scope, on, reason, actor, book.now_ms)])
    else:
        book.tx.run(_WRITE, {"which": scope, "on": on, "why": reason, "by": actor, "now": book.now_ms})
    book.note("frozen.on" if on else "frozen.off", scope, canonical(scope, on, reason, actor, book.now_ms), actor=actor)
    event = EventName.FROZEN if on else EventName.THAWED
    _outbox.tell(book.tx, event, scope=scope, reason=reason, actor=actor)
    return True


class SetFrozen(VaultOperation[bool]):
    """An operator freezes or thaws; False where it was so already."""

    def __init__(self, chart: Chart, scope: str, *, frozen: bool, reason: str, actor: str) -> None:
        super().__init__(chart)
        plain_text("a freeze", scope, reason, actor)
        self._scope = scope
        self._on = int(frozen)
        self._reason = reason
        self._actor = actor

    def change(self, book: Book) -> bool:
        """Set it. A thaw forgets the checks that were below."""
        changed = _set(book, self._scope, self._on, self._reason, self._actor)
        realm = self._scope.removeprefix("realm:")
        if changed and not self._on and realm != self._scope:
            book.tx.run(_FORGET, {"realm": realm})
        return changed


class FreezeRail(VaultOperation[bool]):
    """The treasury finds a rail that is not to be trusted."""

    must = True

    def __init__(self, chart: Chart, turn: Turn, rail: str, reason: str) -> None:
        super().__init__(chart)
        self._turn = turn
        self._rail = rail
        self._reason = reason

    def change(self, book: Book) -> bool:
        """Freeze it."""
        _jobs.must_have(book.tx, _jobs.Job.TREASURY, self._turn)
        return freeze(book, f"rail:{self._rail}", self._reason, "arbstr")


class NoteSolvency(VaultOperation[int]):
    """What a check of a realm found; `below` is None where that cannot be told. The third in a row that is below
    freezes the realm. How many in a row it is: what cannot be told does not count, and ends no row."""

    must = True

    def __init__(self, chart: Chart, turn: Turn, realm: str, *, below: bool | None, reason: str, body: bytes) -> None:
        super().__init__(chart)
        self._turn = turn
        self._realm = realm
        self._below = below
        self._reason = reason
        self._body = body.decode()

    def change(self, book: Book) -> int:
        """Write it."""
        _jobs.must_have(book.tx, _jobs.Job.TREASURY, self._turn)
        found = book.tx.one(_CHECKED, {"realm": self._realm})
        before = found[0] if found else 0
        below = before if self._below is None else before + 1 if self._below else 0
        book.tx.bulk(_CHECK, [(self._realm, book.now_ms, below, self._body)])
        if self._below and below >= CHECKS:
            freeze(book, f"realm:{self._realm}", self._reason, "arbstr")
        return below


class Walked(VaultOperation[None]):
    """A rail's records have been compared with a ledger that was restored at `restored_ms`."""

    must = True

    def __init__(self, chart: Chart, turn: Turn, rail: str, restored_ms: int) -> None:
        super().__init__(chart)
        self._turn = turn
        self._rail = rail
        self._restored = restored_ms

    def change(self, book: Book) -> None:
        """Payments may leave over it again."""
        _jobs.must_have(book.tx, _jobs.Job.TREASURY, self._turn)
        move_to(book, Place(self._rail, WALKED, str(self._restored)))
        book.note("rail.walked", self._rail, canonical(self._rail, self._restored))
