"""Holds: how much is granted, how they end, and what happens to those that nobody ended."""

from __future__ import annotations

import msgspec

from arbstr_core.storage import Transaction
from arbstr_core.types import MAX_MSAT, NotFound
from arbstr_core.vault import _audit, _rows
from arbstr_core.vault._book import Book, Chart, Entry, VaultOperation, plain_text
from arbstr_core.vault._rows import Held, Standing
from arbstr_core.vault._values import (
    Closed,
    Granted,
    HoldRequest,
    HoldState,
    ProviderCost,
    RefusalReason,
    Refused,
    Settlement,
)

_SWEPT_AT_ONCE = 256


class OpenHold(VaultOperation[Granted | Refused]):
    """Set aside what the longest prefix of the candidates needs, as far as balance and limits allow."""

    def __init__(self, chart: Chart, request: HoldRequest, boot_id: str) -> None:
        super().__init__(chart)
        if not request.ceilings or not all(0 <= ceiling <= MAX_MSAT for ceiling in request.ceilings):
            raise ValueError(f"hold {request.id}: ceilings {request.ceilings} are not amounts")
        self.agents = (request.agent,)
        self.holds = (request.id,)
        self._request = request
        self._boot_id = boot_id
        self._candidates = request.candidates.decode()
        plain_text("a request to hold", request.id, request.model, self._candidates)
        self._digest = _audit.digest(
            msgspec.json.encode((request.agent, request.ceilings, request.model, self._candidates))
        )

    def change(self, book: Book) -> Granted | Refused:
        """Decide and hold."""
        request = self._request
        before = book.holds.get(request.id)
        if before is not None:
            return self._again(before)
        standing = book.standings.get(request.agent)
        refused, room = _room(standing, request.ceilings[0])
        if refused is not None or standing is None:
            return Refused(
                reason=refused or RefusalReason.UNKNOWN_AGENT, needed_msat=request.ceilings[0], left_msat=room
            )
        amount, granted = _prefix(request.ceilings, room)
        book.open_hold(
            standing,
            id=request.id,
            amount=amount,
            granted=granted,
            model=request.model,
            candidates=self._candidates,
            digest=self._digest,
            boot_id=self._boot_id,
        )
        return Granted(id=request.id, amount_msat=amount, candidates=granted)

    def _again(self, before: Held) -> Granted | Refused:
        # A hold that has ended is not granted again: nothing would stand behind the call.
        if before.digest == self._digest and before.state == HoldState.HELD:
            return Granted(id=before.id, amount_msat=before.amount, candidates=before.granted)
        return Refused(reason=RefusalReason.CONFLICT, needed_msat=self._request.ceilings[0], left_msat=0)


def _room(standing: Standing | None, needed: int) -> tuple[RefusalReason | None, int]:
    """Why `needed` does not fit, or None; and the msat that the reason, or else the tightest bound, has left."""
    if standing is None:
        return RefusalReason.UNKNOWN_AGENT, 0
    if not standing.enabled:
        return RefusalReason.DISABLED, 0
    if standing.max_charge is None or standing.daily is None:
        return RefusalReason.NO_LIMITS, 0
    today = max(0, standing.daily - (standing.used or 0))
    bounds = (
        (RefusalReason.MAX_CHARGE, standing.max_charge),
        (RefusalReason.DAILY, today),
        (RefusalReason.INSUFFICIENT, standing.posted - standing.held),
    )
    for reason, left in bounds:
        if needed > left:
            return reason, left
    return None, min(left for _, left in bounds)


def _prefix(ceilings: tuple[int, ...], room: int) -> tuple[int, int]:
    """(what to hold, how many candidates it covers) for the longest prefix that fits `room`."""
    amount = ceilings[0]
    for covered, ceiling in enumerate(ceilings):
        if ceiling > room:
            return amount, covered
        amount = max(amount, ceiling)
    return amount, len(ceilings)


class Settle(VaultOperation[Closed]):
    """Turn a hold into a charge, book what it cost us, and give the rest back."""

    must = True

    def __init__(self, chart: Chart, settlement: Settlement) -> None:
        super().__init__(chart)
        if settlement.charge_msat < 0 or any(cost.cost_msat < 0 for cost in settlement.costs):
            raise ValueError(f"settlement of {settlement.id}: a charge or cost is negative")
        self.holds = (settlement.id,)
        self._settlement = settlement
        self._receipt = settlement.receipt.decode()
        plain_text(f"the settlement of {settlement.id}", self._receipt, *(cost.provider for cost in settlement.costs))

    def change(self, book: Book) -> Closed:
        """Settle, or give the outcome there is already."""
        hold = _known(book, self._settlement.id)
        if hold.state != HoldState.HELD:
            return _closed(hold, first=False)
        charge = self._settlement.charge_msat
        entries = _charge_entries(book, hold, charge)
        for cost in self._settlement.costs:
            entries += _cost_entries(book, hold.realm, cost, charge)
        book.end_hold(hold, "settle", charge, entries, self._receipt)
        return _closed(hold, first=True)


class Release(VaultOperation[Closed]):
    """Give all of a hold back."""

    must = True

    def __init__(self, chart: Chart, hold_id: str, receipt: bytes) -> None:
        super().__init__(chart)
        self.holds = (hold_id,)
        self._receipt = receipt.decode()
        plain_text(f"the release of {hold_id}", self._receipt)

    def change(self, book: Book) -> Closed:
        """Release, or give the outcome there is already."""
        hold = _known(book, self.holds[0])
        if hold.state != HoldState.HELD:
            return _closed(hold, first=False)
        book.end_hold(hold, "release", 0, (), self._receipt)
        return _closed(hold, first=True)


class SweepOrphans(VaultOperation[int]):
    """Release some of the holds of processes that are gone; how many it were."""

    must = True

    def __init__(self, chart: Chart, boot_id: str) -> None:
        super().__init__(chart)
        self._boot_id = boot_id

    def change(self, book: Book) -> int:
        """Release them."""
        ids = self._orphans(book.tx)
        book.load_holds(name for name in ids if name not in book.holds)
        swept = 0
        for name in ids:
            hold = book.holds[name]
            if hold.state == HoldState.HELD:
                book.end_hold(hold, "release", 0, (), _orphan_receipt(hold))
                swept += 1
        return swept

    def _orphans(self, tx: Transaction) -> list[str]:
        return [row[0] for row in tx.all(_rows.ORPHANS, {"boot_id": self._boot_id, "most": _SWEPT_AT_ONCE})]


def _orphan_receipt(hold: Held) -> str:
    reason = "released at start: the process that held it had ended before the call did"
    return msgspec.json.encode({"id": hold.id, "reasons": [reason]}).decode()


def _known(book: Book, hold_id: str) -> Held:
    hold = book.holds.get(hold_id)
    if hold is None:
        raise NotFound(f"there is no hold {hold_id}")
    return hold


def _closed(hold: Held, *, first: bool) -> Closed:
    return Closed(id=hold.id, state=HoldState(hold.state), charged_msat=hold.charged, first=first)


def _charge_entries(book: Book, hold: Held, charge: int) -> list[Entry]:
    if not charge:
        return []
    payer = _rows.Account(hold.account, "agent", 1)
    return [(payer, "debit", charge), (book.account("income:sales", hold.realm, "income"), "credit", charge)]


def _cost_entries(book: Book, realm: str, cost: ProviderCost, charge: int) -> list[Entry]:
    """What an attempt cost us: above the agent's charge it is overage, and a failed attempt's is apart."""
    if not cost.cost_msat:
        return []
    within = min(cost.cost_msat, charge)
    parts = [("cost:provider", within), ("cost:overage", cost.cost_msat - within)]
    if not cost.served:
        parts = [("cost:attempt", cost.cost_msat)]
    entries: list[Entry] = [(book.account(name, realm, "cost"), "debit", msat) for name, msat in parts if msat]
    return [*entries, (book.account(f"payable:{cost.provider}", realm, "payable"), "credit", cost.cost_msat)]
