"""Which key signs what is said of this database: one for all processes on it, so that each knows the others' word.

Its public half is in a table that only grows, and in the chain. The newest row signs; a key that takes its place is a
row of its own.
"""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import Statement, key_id_of
from arbstr_core.vault import _audit
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation

ADOPTED = "key.adopt"
SUBJECT = "audit.key"

_LAST = sa.select(sa.func.max(t.AUDIT_KEY.alias("last").c.n)).scalar_subquery()
_NEWEST = Statement(sa.select(t.AUDIT_KEY.c.public_key).where(t.AUDIT_KEY.c.n == _LAST))
_FIRST = Statement(
    sa.text("INSERT INTO audit_key (n, public_key, adopted_ms) VALUES (1, :public, :now) ON CONFLICT DO NOTHING")
)


def signing_key_id(connection: sa.Connection) -> str | None:
    """The id of the key that signs for this database; None where none does yet."""
    adopted = connection.execute(sa.select(t.AUDIT_KEY.c.public_key).where(t.AUDIT_KEY.c.n == _LAST)).scalar()
    if adopted is not None:
        return key_id_of(bytes(adopted))
    # Of a database that had checkpoints before its key was written down.
    signed = sa.select(t.CHECKPOINT.c.key_id).order_by(t.CHECKPOINT.c.audit_seq.desc()).limit(1)
    return connection.execute(signed).scalar()


class AdoptAuditKey(VaultOperation[str]):
    """Write down that the key with this public half signs, unless another one does; the id of the one that does."""

    def __init__(self, chart: Chart, public: bytes) -> None:
        super().__init__(chart)
        self._public = public

    def change(self, book: Book) -> str:
        """Write it down. Where two processes do, the second waits for the first, and finds its key."""
        found = book.tx.one(_NEWEST, {})
        if found is None:
            if book.tx.run(_FIRST, {"public": self._public, "now": book.now_ms}) == 1:
                book.note(ADOPTED, SUBJECT, _audit.canonical(1, self._public.hex(), book.now_ms))
            found = book.tx.one(_NEWEST, {})
        assert found is not None, "an audit key was written and is not there"
        return key_id_of(bytes(found[0]))
