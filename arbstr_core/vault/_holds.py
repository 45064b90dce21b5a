"""Holds: how much is granted, and how they end."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from arbstr_core.types import MAX_MSAT, NotFound
from arbstr_core.vault import _approvals, _rows
from arbstr_core.vault._book import Book, Chart, Entry, VaultOperation, plain_text
from arbstr_core.vault._claims import Claims
from arbstr_core.vault._corrections import correct, swept
from arbstr_core.vault._limits import Bound, Spending, Window, plain_room
from arbstr_core.vault._records import ApprovalState
from arbstr_core.vault._rows import Held, Node
from arbstr_core.vault._terms import ATTEMPTS, PAYOUT
from arbstr_core.vault._values import (
    ApprovalNeeded,
    Claimed,
    Closed,
    Granted,
    HoldRequest,
    HoldState,
    ProviderCost,
    RefusalReason,
    Refused,
    SellerShare,
    Settlement,
)

_STATES = {state.value: state for state in HoldState}


class OpenHold(VaultOperation[Granted | Refused | Claimed | ApprovalNeeded]):
    """Set aside what the longest prefix of the candidates needs, as far as balance and limits allow."""

    def __init__(self, chart: Chart, request: HoldRequest, boot_id: str) -> None:
        super().__init__(chart)
        if not request.ceilings or min(request.ceilings) < 0 or max(request.ceilings) > MAX_MSAT:
            raise ValueError(f"hold {request.id}: ceilings {request.ceilings} are not amounts")
        if not 0 <= request.seen_msat <= request.ceilings[0]:
            raise ValueError(f"hold {request.id}: {request.seen_msat} msat seen is no part of {request.ceilings[0]}")
        if not 0 <= request.fee_msat <= request.ceilings[0]:
            raise ValueError(f"hold {request.id}: a fee of {request.fee_msat} msat is no part of {request.ceilings[0]}")
        if request.kind == PAYOUT and not (len(request.ceilings) == 1 and request.body_digest):
            raise ValueError(f"payout {request.id}: it needs one ceiling and a digest of what is to be paid")
        self.agents = (request.agent,)
        self.holds = (request.id,)
        self._request = request
        self._boot_id = boot_id
        self._candidates = request.candidates.decode()
        plain_text("a request to hold", request.id, request.model, self._candidates)

    def change(self, book: Book) -> Granted | Refused | Claimed | ApprovalNeeded:
        """Decide and hold."""
        request = self._request
        before = book.holds.get(request.id)
        if before is not None:
            return self._again(book, before)
        chain = book.chain(request.agent)
        if not chain:
            return self._refused(book, Bound(RefusalReason.UNKNOWN_AGENT, 0, request.agent), None)
        if request.claim is not None:
            claimed = Claims.of(book).before(chain[0].account, request.claim)
            if claimed is not None:
                barred = Spending(book, chain, request).barred()
                return claimed if barred is None else self._refused(book, barred, chain[0])
        room = -1 if request.kind == PAYOUT else plain_room(book, chain[0])
        if room >= request.ceilings[0]:
            if chain[0].used is None:
                book.buckets.open(request.agent, "day", book.day)
            return self._hold(book, chain[0], room, book.day)
        return self._look_closer(book, chain)

    def _look_closer(self, book: Book, chain: Sequence[Node]) -> Granted | Refused | ApprovalNeeded:
        """Everything that may limit a call, in the order in which it refuses."""
        spending = Spending(book, chain, self._request)
        bound = spending.refused() or spending.too_tight(self._request.ceilings[0])
        if bound is None:
            return self._within(book, chain[0], spending, spending.room())
        if bound.reason is RefusalReason.MAX_CHARGE:
            return self._above(book, chain, spending, bound)
        return self._refused(book, bound, chain[0])

    def _within(self, book: Book, node: Node, spending: Spending, room: int, approval: str | None = None) -> Granted:
        spending.begin()
        left = spending.attempts_left
        return self._hold(book, node, room, spending.day, spending.windows, approval=approval, attempts_left=left)

    def _above(
        self, book: Book, chain: Sequence[Node], spending: Spending, bound: Bound
    ) -> Granted | Refused | ApprovalNeeded:
        """An operator may let it through; that lifts the largest charge, so all else is looked at first."""
        request, node = self._request, chain[0]
        needed = request.ceilings[0]
        seconds = spending.approval_seconds(needed)
        if seconds is None:
            return self._refused(book, bound, node)
        other = spending.too_tight(needed, but_the_charge=True)
        if other is not None or not request.body_digest:
            return self._refused(book, other or bound, node, approvable=other is None)
        found = _approvals.live(book, node.account, request)
        if found is not None and request.kind == PAYOUT:
            return self._refused(book, Bound(RefusalReason.CONFLICT, 0, request.agent), node)
        if found is not None and found.state == ApprovalState.GRANTED:
            _approvals.use(book, found, request.id)
            return self._within(book, node, spending, spending.room(approved=found.ceiling), found.id)
        if found is None:
            full = spending.too_many_pending()
            if full is not None:
                return self._refused(book, full, node)
            hold_id = request.id if request.kind == PAYOUT else None
            found = _approvals.ask(book, chain, request, seconds=seconds, hold_id=hold_id)
            spending.count_request()
            if hold_id is not None:
                self._within(book, node, spending, needed, found.id)
        return self._waits(found, bound.left)

    def _waits(self, found: _approvals.Approval, left: int) -> ApprovalNeeded:
        return ApprovalNeeded(
            id=found.id, expires_ms=found.expires_ms, needed_msat=self._request.ceilings[0], left_msat=max(0, left)
        )

    def _hold(
        self,
        book: Book,
        node: Node,
        room: int,
        day: int,
        windows: Sequence[Window] = (),
        *,
        approval: str | None = None,
        attempts_left: int | None = None,
    ) -> Granted:
        request = self._request
        amount, granted = _prefix(request.ceilings, room)
        held = Held(
            *(0, request.id, node.id, node.account, node.realm, request.kind, amount, "held", day),
            *(len(windows), granted, approval, self._boot_id, request.seen_msat),
            *(book.now_ms if request.dispatched else None, 0),
        )
        if request.claim is not None:
            Claims.of(book).claim(node.account, request.claim, request.id)
        book.open_hold(held, model=request.model, candidates=self._candidates, windows=windows)
        return Granted(id=request.id, amount_msat=amount, candidates=granted, attempts_left_msat=attempts_left)

    def _refused(self, book: Book, bound: Bound, node: Node | None, *, approvable: bool = False) -> Refused:
        return Refused(
            reason=bound.reason,
            needed_msat=self._request.ceilings[0],
            left_msat=bound.left,
            agent=bound.agent,
            resets_ms=bound.resets_ms,
            open_msat=book.purse(node.account).held if node is not None else 0,
            approvable=approvable,
        )

    def _again(self, book: Book, before: Held) -> Granted | Refused | ApprovalNeeded:
        # A hold that has ended is not granted again: nothing would stand behind the call.
        asked = (self._request.agent, self._request.model, self._candidates)
        covered = max(self._request.ceilings[: before.granted])
        same = before.state == HoldState.HELD and before.amount == covered and book.asked_for(before.id) == asked
        waiting = _approvals.find(book, before.approval) if same and before.kind == PAYOUT and before.approval else None
        if waiting is not None and waiting.state == ApprovalState.PENDING:
            return self._waits(waiting, 0)
        if same:
            return Granted(id=before.id, amount_msat=before.amount, candidates=before.granted)
        return self._refused(book, Bound(RefusalReason.CONFLICT, 0, self._request.agent), None)


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

    def __init__(self, chart: Chart, settlement: Settlement, *, corrects: bool = True) -> None:
        super().__init__(chart)
        if settlement.charge_msat < 0:
            raise ValueError(f"settlement of {settlement.id}: a charge or cost is negative")
        for cost in settlement.costs:
            if cost.cost_msat < 0:
                raise ValueError(f"settlement of {settlement.id}: a charge or cost is negative")
            plain_text("the name of a provider", cost.provider)
        if settlement.seller is not None and not 0 <= settlement.seller.msat <= settlement.charge_msat:
            raise ValueError(f"settlement of {settlement.id}: the seller's share is no part of the charge")
        self.holds = (settlement.id,)
        self.accounts = _beside_the_agent(settlement)
        self._settlement = settlement
        self._corrects = corrects
        self._receipt = settlement.receipt.decode()
        plain_text("a settlement", self._receipt)

    def change(self, book: Book) -> Closed:
        """Settle, or give the outcome there is already."""
        hold = known_hold(book, self._settlement.id)
        charge = self._settlement.charge_msat
        if hold.state != HoldState.HELD:
            return ended_before(book, hold, charge, self._receipt, self._settlement.costs, corrects=self._corrects)
        if hold.kind == PAYOUT:
            raise ValueError(f"{hold.id} is held for a payout: it ends by what its rail says")
        entries = charge_entries(book, hold, charge, self._settlement.seller)
        entries += _costs_entries(book, hold.realm, self._settlement.costs, charge)
        if self._settlement.replay is not None:
            Claims.of(book).keep(hold.seq, self._settlement.replay)
        _count_failed(book, hold, self._settlement.costs)
        book.end_hold(hold, "settle", charge, entries, self._receipt)
        return closed(hold, first=True)


def _beside_the_agent(settlement: Settlement) -> tuple[str, ...]:
    """Whose counters move as well: nodes that took what they bill from what is held there, and a seller."""
    nodes = tuple([f"asset:prepaid:{cost.node}" for cost in settlement.costs if cost.node is not None])
    return nodes if settlement.seller is None else (*nodes, f"seller:{settlement.seller.seller}")


def _count_failed(book: Book, hold: Held, costs: Sequence[ProviderCost]) -> None:
    """What failed attempts cost us, in the hour of the hold, where that is limited."""
    failed = sum(cost.cost_msat for cost in costs if not cost.served)
    if failed:
        for agent, kind, start in book.windows(hold):
            if kind == ATTEMPTS:
                book.buckets.use(agent, kind, start, failed)


class Release(VaultOperation[Closed]):
    """Give all of a hold back."""

    must = True

    def __init__(self, chart: Chart, hold_id: str, receipt: bytes, *, corrects: bool = True) -> None:
        super().__init__(chart)
        self._corrects = corrects
        self.holds = (hold_id,)
        self._receipt = receipt.decode()
        plain_text(f"the release of {hold_id}", self._receipt)

    def change(self, book: Book) -> Closed:
        """Release, or give the outcome there is already."""
        hold = known_hold(book, self.holds[0])
        if hold.state != HoldState.HELD:
            return ended_before(book, hold, 0, self._receipt, corrects=self._corrects)
        if hold.kind == PAYOUT:
            raise ValueError(f"{hold.id} is held for a payout: it ends by what its rail says")
        book.end_hold(hold, "release", 0, (), self._receipt)
        return closed(hold, first=True)


def known_hold(book: Book, hold_id: str) -> Held:
    """The hold with this id. Raises NotFound."""
    hold = book.holds.get(hold_id)
    if hold is None:
        raise NotFound(f"there is no hold {hold_id}")
    return hold


def closed(hold: Held, *, first: bool) -> Closed:
    """How a hold ended."""
    return Closed(id=hold.id, state=_STATES[hold.state], charged_msat=hold.charged, first=first)


def ended_before(
    book: Book, hold: Held, charge: int, receipt: str, costs: Sequence[ProviderCost] = (), *, corrects: bool = True
) -> Closed:
    """The outcome there is already. Where another had to guess it, what is known now corrects it, if it may."""
    if not corrects or not swept(book, hold):
        return closed(hold, first=False)
    entries = _costs_entries(book, hold.realm, costs, charge)
    memo = msgspec.json.encode({"hold": hold.id, "charge_msat": charge, "receipt": msgspec.Raw(receipt.encode())})
    paid = correct(book, hold, charge, key=f"late:{hold.id}", memo=memo.decode(), others=entries, same=False)
    return Closed(id=hold.id, state=HoldState(hold.state), charged_msat=paid, first=False)


def charge_entries(book: Book, hold: Held, charge: int, seller: SellerShare | None = None) -> list[Entry]:
    """What the agent pays for a call, and whose it is: the operator's, or a seller's less the operator's margin."""
    if not charge:
        return []
    payer = _rows.Account(hold.account, "agent", 1)
    if seller is None:
        return [(payer, "debit", charge), (book.account("income:sales", hold.realm, "income"), "credit", charge)]
    clearing = book.account("clearing", hold.realm, "clearing")
    entries: list[Entry] = [
        (payer, "debit", charge),
        (clearing, "credit", charge),
        (clearing, "debit", seller.msat),
        (book.account(f"seller:{seller.seller}", hold.realm, "seller"), "credit", seller.msat),
        (clearing, "debit", charge - seller.msat),
        (book.account("income:margin", hold.realm, "income"), "credit", charge - seller.msat),
    ]
    return [entry for entry in entries if entry[2]]


def _costs_entries(book: Book, realm: str, costs: Sequence[ProviderCost], charge: int) -> list[Entry]:
    """What all attempts cost us; of two at one node, the second finds what the first has left."""
    entries: list[Entry] = []
    for cost in costs:
        entries += _cost_entries(book, realm, cost, charge, entries)
    return entries


def _cost_entries(book: Book, realm: str, cost: ProviderCost, charge: int, before: Sequence[Entry]) -> list[Entry]:
    """What an attempt cost us: above the agent's charge it is overage, and a failed attempt's is apart."""
    if not cost.cost_msat:
        return []
    within = min(cost.cost_msat, charge)
    parts = [("cost:provider", within), ("cost:overage", cost.cost_msat - within)]
    if not cost.served:
        parts = [("cost:attempt", cost.cost_msat)]
    entries: list[Entry] = [(book.account(name, realm, "cost"), "debit", msat) for name, msat in parts if msat]
    return entries + _paid_from(book, realm, cost, before)


def _paid_from(book: Book, realm: str, cost: ProviderCost, before: Sequence[Entry]) -> list[Entry]:
    """A node took it from what we hold there. What it says to have taken beyond that is a bill: the end of a call never
    fails for what a provider says."""
    owed = book.account(f"payable:{cost.provider}", realm, "payable")
    if cost.node is None:
        return [(owed, "credit", cost.cost_msat)]
    held_there = book.account(f"asset:prepaid:{cost.node}", realm, "asset")
    left = book.available(held_there) - sum(msat for account, _, msat in before if account.id == held_there.id)
    taken = min(cost.cost_msat, left)
    entries: list[Entry] = [(held_there, "credit", taken), (owed, "credit", cost.cost_msat - taken)]
    return [entry for entry in entries if entry[2]]
