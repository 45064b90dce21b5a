"""The end of a payout that was held for: the agent pays the amount and the real fee, never more than was held."""

from __future__ import annotations

from arbstr_core.types import MAX_MSAT, Conflict
from arbstr_core.vault import _approvals, _events, _rows
from arbstr_core.vault._book import Book, Chart, Entry, VaultOperation, plain_text
from arbstr_core.vault._holds import closed, known_hold
from arbstr_core.vault._records import ApprovalState
from arbstr_core.vault._values import Closed, HoldState, PaidOut


class EndPayout(VaultOperation[Closed]):
    """A payout has left over a rail: what it took, and the rest back.

    A fee above the hold is a rail that broke its word: the agent pays what was held, the operator the rest.
    """

    must = True

    def __init__(self, chart: Chart, paid: PaidOut) -> None:
        super().__init__(chart)
        if not (0 <= paid.amount_msat <= MAX_MSAT and 0 <= paid.fee_msat <= MAX_MSAT):
            raise ValueError(f"payout {paid.id}: {paid.amount_msat} msat and {paid.fee_msat} msat are no amounts")
        self._paid = paid
        self._receipt = paid.receipt.decode()
        plain_text(f"the payout {paid.id}", self._receipt, paid.rail)
        self.holds = (paid.id,)
        self.accounts = (_events.rail(paid.rail)[0],)

    def change(self, book: Book) -> Closed:
        """End it, or give the outcome there is already."""
        hold = known_hold(book, self._paid.id)
        if hold.state != HoldState.HELD:
            return closed(hold, first=False)
        if hold.kind != "payout":
            raise ValueError(f"{hold.id} is held for a {hold.kind}, not for a payout")
        asked = None if hold.approval is None else _approvals.find(book, hold.approval)
        if asked is not None and asked.state == ApprovalState.PENDING:
            raise Conflict(f"payout {hold.id} waits for an operator: nothing may have left for it")
        left = self._paid.amount_msat + self._paid.fee_msat
        charge = min(left, hold.amount)
        name, kind = _events.rail(self._paid.rail)
        asset = book.account(name, hold.realm, kind)
        payer = _rows.Account(hold.account, "agent", 1)
        entries: list[Entry] = [(payer, "debit", charge), (asset, "credit", left)]
        if left > charge:
            entries.append((book.account(_events.RAIL_FEE[0], hold.realm, _events.RAIL_FEE[1]), "debit", left - charge))
        book.end_hold(hold, "settle", charge, entries, self._receipt)
        return closed(hold, first=True)
