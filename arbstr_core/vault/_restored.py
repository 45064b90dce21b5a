"""That the database was restored from a backup: said in the audit, so that nothing can take it back.

What happened to money outside after the backup was made is not in it. So nothing is to be paid out until each rail has
been compared with the ledger; holds that were open in the backup are orphans of a process that is gone.
"""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import Dialect, Statement, Transaction, constant
from arbstr_core.vault import _audit
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text

RESTORED = "db.restored"
SUBJECT = "database"


class MarkRestored(VaultOperation[None]):
    """Say that all before this came out of the backup `source`."""

    def __init__(self, chart: Chart, source: str) -> None:
        super().__init__(chart)
        plain_text("the name of a backup", source)
        self._source = source

    def change(self, book: Book) -> None:
        """Say it."""
        book.note(RESTORED, SUBJECT, _audit.canonical(self._source), actor="operator")


_LAST = Statement(
    sa.select(sa.func.max(t.AUDIT.c.at_ms)).where(
        t.AUDIT.c.subject == constant(SUBJECT), t.AUDIT.c.action == constant(RESTORED)
    )
)
_LAST_PENDING = Statement(
    sa.select(sa.func.max(t.AUDIT_PENDING.c.at_ms)).where(
        t.AUDIT_PENDING.c.subject == constant(SUBJECT), t.AUDIT_PENDING.c.action == constant(RESTORED)
    )
)


def in_transaction(tx: Transaction) -> int | None:
    """The same as `restored_ms`."""
    asked = [_LAST, _LAST_PENDING] if tx.dialect is Dialect.POSTGRESQL else [_LAST]
    found = [row[0] for each in asked if (row := tx.one(each, {})) is not None and row[0] is not None]
    return max(found, default=None)


def restored_ms(connection: sa.Connection) -> int | None:
    """When the database was last restored; None for one that never was."""
    said = [_last(connection, t.AUDIT)]
    if Dialect(connection.dialect.name) is Dialect.POSTGRESQL:
        # What nobody has sealed yet.
        said.append(_last(connection, t.AUDIT_PENDING))
    return max((at for at in said if at is not None), default=None)


def _last(connection: sa.Connection, table: sa.Table) -> int | None:
    own = (table.c.subject == SUBJECT, table.c.action == RESTORED)
    return connection.execute(sa.select(sa.func.max(table.c.at_ms)).where(*own)).scalar()
