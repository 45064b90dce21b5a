"""What one transaction says in the audit: notes of what was done, and a digest of each hold and transfer it wrote."""

from __future__ import annotations

from arbstr_core.storage import Dialect, Transaction
from arbstr_core.vault import _audit, _rows

NOBODY = "arbstr"
"""The actor of what the ledger does by itself"""


class Minutes:
    """Kept while the transaction runs, and written at its end, in order."""

    def __init__(self) -> None:
        self.head = _audit.Head()
        """the end of the chain, on SQLite; on PostgreSQL another process links what is pending"""
        self.holds: list[tuple[int, bytes]] = []
        self.transfers: list[tuple[int, bytes]] = []
        """digests, by number"""
        self._notes: list[tuple[str, str, str, str]] = []

    def note(self, actor: str, action: str, subject: str, data: str) -> None:
        """Say this."""
        self._notes.append((actor, action, subject, data))

    def write(self, tx: Transaction) -> None:
        """Write it down."""
        said = _audit.runs("hold", self.holds) + _audit.runs("transfer", self.transfers)
        if said:
            first, last = said[0], said[-1]
            subject = f"from {first[0]} {first[1]} to {last[0]} {last[1] + len(last[2]) // _audit.HEX_CHARS - 1}"
            self.note(NOBODY, _audit.LEDGER, subject, _audit.canonical(*said))
        if tx.dialect is Dialect.POSTGRESQL:
            tx.bulk(_rows.INSERT_PENDING, [(tx.now_ms, *note) for note in self._notes])
        else:
            tx.bulk(_rows.INSERT_AUDIT, [_audit.chained(self.head, tx.now_ms, note) for note in self._notes])
