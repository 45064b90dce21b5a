"""Holds whose process is gone: each is ended once, with what is known to have been used."""

from __future__ import annotations

import msgspec

from arbstr_core.vault import _rows
from arbstr_core.vault._book import Book, Chart, VaultOperation
from arbstr_core.vault._holds import charge_entries
from arbstr_core.vault._rows import Held
from arbstr_core.vault._values import HoldState

_AT_ONCE = 256


class SweepOrphans(VaultOperation[int]):
    """End some of the holds of processes that are gone; how many it were.

    What was not dispatched is released. Else the agent is charged what was last seen of it: the input, and the output
    up to the last heartbeat; or, with `full`, the whole hold.
    """

    must = True

    def __init__(self, chart: Chart, boot_id: str, *, full: bool) -> None:
        super().__init__(chart)
        self._boot_id = boot_id
        self._full = full

    def change(self, book: Book) -> int:
        """End them."""
        found = book.tx.all(_rows.ORPHANS, {"boot_id": self._boot_id, "most": _AT_ONCE})
        ids = [row[0] for row in found]
        book.load_holds(ids)
        swept = [book.holds[name] for name in ids if book.holds[name].state == HoldState.HELD]
        for hold in swept:
            end_orphan(book, hold, full=self._full)
        return len(swept)


def end_orphan(book: Book, hold: Held, *, full: bool) -> None:
    """End one."""
    if hold.dispatched is None:
        book.end_hold(hold, "release", 0, (), _receipt(hold, "released: it had not been sent"))
        return
    charge = hold.amount if full else hold.seen
    said = "charged as held" if full else "charged what was seen of it"
    book.end_hold(hold, "settle", charge, charge_entries(book, hold, charge), _receipt(hold, said))


def _receipt(hold: Held, said: str) -> str:
    reason = f"the process that held it ended before the call did; {said}"
    return msgspec.json.encode({"id": hold.id, "ending": "orphaned", "reasons": [reason]}).decode()
