"""How payments end: paid, with what it took, or failed, with evidence that nothing left. Once, whoever says it.

An agent pays the amount and the real fee, never more than was held: a fee above its limit is a rail that broke its
word, and the operator's to bear. Its rail is frozen then.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from arbstr_core.types import MAX_MSAT, Deposit, DepositKind, Msat
from arbstr_core.vault import _credits, _events, _frozen, _jobs, _outbox, _payments, _requests, _rows
from arbstr_core.vault import _node_events as nodes
from arbstr_core.vault._book import Book, Chart, Entry, VaultOperation, plain_text
from arbstr_core.vault._holds import known_hold
from arbstr_core.vault._posting import post_event
from arbstr_core.vault._rail_values import PaymentKind, PaymentRecord, PaymentState, RequestState, Turn
from arbstr_core.vault._records import EventName
from arbstr_core.vault._values import HoldState


class PaidEnd(msgspec.Struct, frozen=True, kw_only=True):
    """It left. `proof` and `token` are sealed; `distrust` says why the rail is not to be trusted any more."""

    fee_msat: int
    evidence: str
    proof: bytes | None = None
    token: bytes | None = None
    distrust: str = ""


class FailedEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing left, and nothing will. It is tried again on `next_rail`, where there is another, within `fee_msat`."""

    reason: str
    evidence: str
    next_rail: str | None = None
    fee_msat: int = 0


class EndPayment(VaultOperation[PaymentRecord]):
    """See the module. `turn` is the treasury's; or an operator ends it by name, with evidence of its own."""

    must = True

    def __init__(
        self,
        chart: Chart,
        payment: PaymentRecord,
        end: PaidEnd | FailedEnd,
        *,
        turn: Turn | None = None,
        actor: str = "arbstr",
        payee: str | None = None,
    ) -> None:
        super().__init__(chart)
        if not 0 <= end.fee_msat <= MAX_MSAT:
            raise ValueError(f"payment {payment.id}: a fee of {end.fee_msat} msat is no amount")
        if not end.evidence.strip():
            raise ValueError(f"payment {payment.id}: it does not end without evidence")
        plain_text("the end of a payment", end.evidence, actor)
        self._id = payment.id
        self._attempt = payment.attempt
        self._end = end
        self._turn = turn
        self._actor = actor
        self._payee = payee
        self.holds = (payment.id,) if payment.kind is PaymentKind.PAYOUT else ()
        self.agents = () if payee is None else (payee,)
        self.accounts = _moved(payment)

    def change(self, book: Book) -> PaymentRecord:
        """End it, unless it has ended, or another attempt is under way."""
        if self._turn is not None:
            _jobs.must_have(book.tx, _jobs.Job.TREASURY, self._turn)
        payment = _payments.known(book.tx, self._id)
        if payment.attempt != self._attempt or not payment.state.sent:
            return payment
        if isinstance(self._end, FailedEnd):
            return self._failed(book, payment, self._end)
        return self._paid(book, payment, self._end)

    def _paid(self, book: Book, payment: PaymentRecord, end: PaidEnd) -> PaymentRecord:
        distrust = end.distrust
        if end.fee_msat > payment.fee_limit_msat:
            distrust = distrust or f"it took a fee of {end.fee_msat} msat, and {payment.fee_limit_msat} were allowed"
        if distrust:
            reason = f"payment {payment.id}: {distrust}"
            _frozen.freeze(book, f"rail:{payment.rail}", reason, "arbstr")
            said = {"payment": payment.id, "rail": payment.rail, "reason": distrust}
            _outbox.tell(book.tx, EventName.RAIL_BROKE_ITS_WORD, **said)
        after = _payments.change(
            book,
            payment,
            actor=self._actor,
            state=PaymentState.SUCCEEDED,
            story=_payments.told(payment, "paid", end.evidence, book.now_ms),
            reason=distrust,
            ended_ms=book.now_ms,
            fee_msat=end.fee_msat,
            proof=end.proof,
            token=end.token,
        )
        self._book_it(book, after, end)
        return after

    def _book_it(self, book: Book, payment: PaymentRecord, end: PaidEnd) -> None:
        match payment.kind:
            case PaymentKind.PAYOUT if payment.own_request is not None:
                self._between_agents(book, payment)
            case PaymentKind.PAYOUT:
                _out_of_hold(book, payment, end.fee_msat)
            case PaymentKind.SELLER:
                _post(book, payment, end.fee_msat, _of_seller(payment, end.fee_msat))
            case PaymentKind.CHANGE:
                _post(book, payment, end.fee_msat, _of_change(payment, end.fee_msat))
            case PaymentKind.TOPUP:
                _post(book, payment, end.fee_msat, _of_node(payment, end))

    def _between_agents(self, book: Book, payment: PaymentRecord) -> None:
        """The invoice is one of ours, and was taken back at its rail: nobody else can pay it any more."""
        request = _requests.find(book.tx, payment.own_request or "")
        assert request is not None, f"payment {payment.id}: its invoice is not there"
        assert request.reference is not None, f"payment {payment.id}: its invoice was never made"
        hold = known_hold(book, payment.id)
        payer = _rows.Account(hold.account, "agent", 1)
        if self._payee is None:
            payee = book.account(*_realm(_events.EQUITY, payment.realm))
        else:
            payee = _rows.Account(book.chain(self._payee)[-1].account, "agent", 1)
        entries: list[Entry] = [(payer, "debit", payment.amount_msat), (payee, "credit", payment.amount_msat)]
        transfer = book.end_hold(hold, "settle", payment.amount_msat, entries, _receipt(payment))
        deposit = Deposit(
            reference=request.reference,
            amount_msat=Msat(payment.amount_msat),
            kind=DepositKind.INVOICE,
            cursor="",
            key=request.id,
        )
        _credits.enter(
            book, request.rail, payment.realm, deposit, request=request.id, agent=request.agent, transfer=transfer
        )
        _requests.change(book.tx, request, state=RequestState.PAID, reason=f"by {payment.id}", ended_ms=book.now_ms)

    def _failed(self, book: Book, payment: PaymentRecord, end: FailedEnd) -> PaymentRecord:
        story = _payments.told(payment, "failed", end.evidence, book.now_ms)
        if end.next_rail is not None and end.fee_msat <= payment.fee_held_msat:
            return _payments.change(
                book,
                payment,
                actor=self._actor,
                state=PaymentState.RESERVED,
                attempt=payment.attempt + 1,
                rail=end.next_rail,
                fee_limit_msat=end.fee_msat,
                sent_ms=None,
                reason=end.reason,
                story=story,
                due_ms=book.now_ms,
                tries=0,
            )
        after = _payments.change(
            book,
            payment,
            actor=self._actor,
            state=PaymentState.FAILED,
            reason=end.reason,
            story=story,
            ended_ms=book.now_ms,
        )
        if payment.kind is PaymentKind.PAYOUT:
            book.end_hold(known_hold(book, payment.id), "release", 0, (), _receipt(after))
        said = {"payment": payment.id, "kind": payment.kind.value, "owner": payment.owner, "reason": end.reason}
        _outbox.tell(book.tx, EventName.PAYMENT_FAILED, **said, amount_msat=payment.amount_msat)
        return after


def _moved(payment: PaymentRecord) -> tuple[str, ...]:
    """The accounts beside the payer's, by name."""
    rail, suspense = _events.rail(payment.rail)[0], _events.SUSPENSE[0]
    match payment.kind:
        case PaymentKind.SELLER:
            return rail, suspense, _events.seller(payment.owner)[0]
        case PaymentKind.CHANGE:
            return rail, suspense, _events.temp(payment.owner)[0]
        case PaymentKind.TOPUP:
            return rail, suspense, _events.prepaid(payment.owner)[0], _events.transit(payment.owner)[0]
    return rail, suspense, _events.EQUITY[0]


def _realm(account: tuple[str, str], realm: str) -> tuple[str, str, str]:
    return account[0], realm, account[1]


def _out_of_hold(book: Book, payment: PaymentRecord, fee: int) -> None:
    """The agent pays the amount and the real fee, as far as its hold goes."""
    hold = known_hold(book, payment.id)
    if hold.state != HoldState.HELD:
        raise AssertionError(f"payment {payment.id} has left, and its hold is {hold.state}")
    left = payment.amount_msat + fee
    charge = min(left, hold.amount)
    asset = book.account(*_realm(_events.rail(payment.rail), payment.realm))
    entries: list[Entry] = [(_rows.Account(hold.account, "agent", 1), "debit", charge), (asset, "credit", left)]
    if left > charge:
        entries.append((book.account(*_realm(_events.RAIL_FEE, payment.realm)), "debit", left - charge))
    if (missing := _missing(book, asset, left)) > 0:
        suspense = book.account(*_realm(_events.SUSPENSE, payment.realm))
        entries += [(asset, "debit", missing), (suspense, "credit", missing)]
    book.end_hold(hold, "settle", charge, entries, _receipt(payment))


def _missing(book: Book, asset: _rows.Account, left: int) -> int:
    """A rail that took more than the ledger knows it to have had more than that: whose it was is not known."""
    return max(0, left - book.available(asset))


def _post(book: Book, payment: PaymentRecord, fee: int, events: Sequence[_events.Event]) -> None:
    asset = book.account(*_realm(_events.rail(payment.rail), payment.realm))
    if (missing := _missing(book, asset, payment.amount_msat + fee)) > 0:
        found = _events.Deposit(rail=payment.rail, msat=missing, agent=None)
        post_event(book, found, realm=payment.realm, key=f"payment:{payment.id}:found")
    for number, event in enumerate(events):
        post_event(book, event, realm=payment.realm, key=f"payment:{payment.id}:{number}")


def _of_seller(payment: PaymentRecord, fee: int) -> list[_events.Event]:
    within = min(fee, payment.fee_held_msat)
    paid = _events.SellerPaid(rail=payment.rail, seller=payment.owner, msat=payment.amount_msat, fee_msat=within)
    return [paid, *_beyond(payment, fee)]


def _of_change(payment: PaymentRecord, fee: int) -> list[_events.Event]:
    within = min(fee, payment.fee_held_msat)
    paid = _events.ChangeOfCall(rail=payment.rail, key=payment.owner, msat=payment.amount_msat, fee_msat=within)
    return [paid, *_beyond(payment, fee)]


def _beyond(payment: PaymentRecord, fee: int) -> list[_events.Event]:
    """What the rail took beyond its limit is the operator's to bear."""
    more = fee - payment.fee_held_msat
    return [_events.RailCost(rail=payment.rail, msat=more)] if more > 0 else []


def _of_node(payment: PaymentRecord, end: PaidEnd) -> list[_events.Event]:
    told = {"rail": payment.rail, "node": payment.owner, "msat": payment.amount_msat, "fee_msat": end.fee_msat}
    if end.token is None:
        return [msgspec.convert(told, type=nodes.TopUp)]
    return [msgspec.convert(told, type=nodes.TokenSent)]


def _receipt(payment: PaymentRecord) -> str:
    said = {
        "id": payment.id,
        "ending": payment.state.value,
        "rail": payment.rail,
        "destination": payment.destination,
        "fee_msat": payment.fee_msat,
        "reasons": [payment.reason] if payment.reason else [],
    }
    return msgspec.json.encode(said).decode()


class HandOver(VaultOperation[PaymentRecord]):
    """What a node made of a top-up: once. `credited` msat; None where it denies to have it. A token that it did not
    take is `returned`, and booked as what came in."""

    must = True

    def __init__(
        self, chart: Chart, turn: Turn, payment: PaymentRecord, *, credited: int | None, said: str, returned: bool
    ) -> None:
        super().__init__(chart)
        plain_text("a top-up", said)
        if credited is not None and not 0 <= credited <= MAX_MSAT:
            raise ValueError(f"top-up {payment.id}: {credited} msat are no amount")
        self._id = payment.id
        self._turn = turn
        self._credited = credited
        self._said = said
        self._returned = returned
        self.accounts = (*_moved(payment), _events.claim(payment.owner)[0])

    def change(self, book: Book) -> PaymentRecord:
        """Book it, unless that was done."""
        _jobs.must_have(book.tx, _jobs.Job.TREASURY, self._turn)
        payment = _payments.known(book.tx, self._id)
        if payment.state is not PaymentState.SUCCEEDED or payment.handed is not None:
            return payment
        events = None if self._returned else _handed(payment, self._credited)
        if events:
            post_event(book, events, realm=payment.realm, key=f"payment:{payment.id}:handed")
        story = _payments.told(payment, "handed over", self._said, book.now_ms)
        handed = "returned" if self._returned else "denied" if self._credited is None else "credited"
        return _payments.change(book, payment, handed=handed, story=story)


def _handed(payment: PaymentRecord, credited: int | None) -> _events.Event | None:
    node, sent = payment.owner, payment.amount_msat
    if payment.token is None:
        # The invoice's money is at the node already, by the ledger.
        if credited is None:
            return nodes.NodeClaimed(node=node, msat=sent)
        arrived = credited
        missing, found = max(0, sent - arrived), max(0, arrived - sent)
        if not (missing or found):
            return None
        return nodes.NodeVariance(node=node, missing_msat=missing, found_msat=found)
    if credited is None:
        return nodes.TokenDisputed(node=node, msat=sent)
    return nodes.TokenRedeemed(node=node, msat=sent, credited_msat=min(credited, sent))
