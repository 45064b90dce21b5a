"""Money from one agent to another, at once: by the payer's own limits for payouts, and without a rail."""

from __future__ import annotations

import msgspec

from arbstr_core.types import BadRequest, Conflict, IdempotencyConflict, NotFound
from arbstr_core.vault import _rows
from arbstr_core.vault._book import Book, Chart, Entry
from arbstr_core.vault._holds import OpenHold, known_hold
from arbstr_core.vault._rail_values import Known
from arbstr_core.vault._terms import PAYOUT
from arbstr_core.vault._values import ApprovalNeeded, Claimed, Granted, HoldRequest, HoldState, Refused


class PayAgent(OpenHold):
    """A hold, as for a payout, that is settled in the same transaction: the same request again is Known."""

    def __init__(self, chart: Chart, request: HoldRequest, payee: str, boot_id: str) -> None:
        super().__init__(chart, request, boot_id)
        if request.kind != PAYOUT or request.fee_msat or request.model != payee:
            raise ValueError(f"transfer {request.id}: it is held for as a payout without a fee, to {payee}")
        self.agents = (request.agent, payee)
        self._payee = payee

    def change(self, book: Book) -> Granted | Refused | Claimed | ApprovalNeeded | Known:  # type: ignore[override]
        """Pay, all or nothing. Raises NotFound, BadRequest, Conflict or IdempotencyConflict."""
        request = self._request
        before = book.holds.get(request.id)
        if before is not None:
            asked = (request.agent, request.model, self._candidates)
            same = (before.state, before.amount) == (HoldState.SETTLED, request.ceilings[0])
            if not same or book.asked_for(before.id) != asked:
                raise IdempotencyConflict(f"the key of {request.id} was used for another transfer: use a new one")
            return Known(id=before.id)
        self._fits(book)
        outcome = super().change(book)
        if isinstance(outcome, ApprovalNeeded):
            raise Conflict(
                "so much needs an operator's approval, and a transfer does not wait for one: have the other agent make "
                "an invoice, and pay that out"
            )
        if isinstance(outcome, Granted):
            self._settle(book)
        return outcome

    def _fits(self, book: Book) -> None:
        payer, payee = book.chain(self._request.agent), book.chain(self._payee)
        if not payee:
            raise NotFound(f"there is no agent {self._payee}")
        if payer and payer[-1].account == payee[-1].account:
            raise BadRequest(f"{self._payee} spends the same account: there is nothing to transfer", param="to")
        if payer and payer[-1].realm != payee[-1].realm:
            raise BadRequest(
                f"the money of {self._payee} is of realm {payee[-1].realm}, and this of {payer[-1].realm}", param="to"
            )

    def _settle(self, book: Book) -> None:
        request = self._request
        hold = known_hold(book, request.id)
        payee = _rows.Account(book.chain(self._payee)[-1].account, "agent", 1)
        payer = _rows.Account(hold.account, "agent", 1)
        entries: list[Entry] = [(payer, "debit", hold.amount), (payee, "credit", hold.amount)]
        book.end_hold(hold, "settle", hold.amount, entries, _receipt(request, self._payee))


def _receipt(request: HoldRequest, payee: str) -> str:
    said = {"id": request.id, "ending": "transferred", "destination": payee, "reasons": []}
    return msgspec.json.encode(said).decode()
