"""How payments are sent, and how they end: by evidence, once. Until there is some the money stays held.

Every step is the treasury's: what it writes names the turn that it was given, and is refused once another process has
the job.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Statement, constant
from arbstr_core.types import Conflict
from arbstr_core.vault import _approvals, _events, _jobs, _outbox, _payments, _restored
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._corrections import CORRECTION, sum_of_entries
from arbstr_core.vault._holds import known_hold
from arbstr_core.vault._rail_values import Over, PaymentKind, PaymentRecord, PaymentState, Sent, Turn, Waits
from arbstr_core.vault._records import ApprovalState, EventName
from arbstr_core.vault._values import HoldState

WALKED = "walked"
"""The stream whose cursor says up to which restore a rail's records were compared with the ledger"""
TOLD_AFTER = 11
"""So many lookups that said nothing, more than ten minutes of them, and the operator is told"""
_TOO_LATE_MS = 10_000
"""An invoice that ends so soon is not begun to be paid"""

_FROZEN = Statement(
    sa.select(r.FROZEN.c.scope, r.FROZEN.c.reason).where(
        r.FROZEN.c.frozen == constant(1),
        r.FROZEN.c.scope.in_([sa.bindparam("realm"), sa.bindparam("rail")]),
    )
)
SENT_ON = Statement(
    sa.select(sa.func.coalesce(sa.func.sum(r.PAYMENT.c.amount_msat + r.PAYMENT.c.fee_limit_msat), constant(0))).where(
        r.PAYMENT.c.rail == sa.bindparam("rail"),
        r.PAYMENT.c.realm == sa.bindparam("realm"),
        r.PAYMENT.c.state.in_([constant(state) for state in ("dispatching", "in_flight", "unknown")]),
    )
)
_FEE = sa.case(
    (r.PAYMENT.c.fee_msat < r.PAYMENT.c.fee_held_msat, r.PAYMENT.c.fee_msat), else_=r.PAYMENT.c.fee_held_msat
)
_OF_DAY = (
    r.PAYMENT.c.owner == sa.bindparam("owner"),
    r.PAYMENT.c.agent_id == sa.bindparam("agent"),
    r.PAYMENT.c.kind == constant(PaymentKind.PAYOUT.value),
    r.PAYMENT.c.state.in_([constant(state) for state in ("dispatching", "in_flight", "unknown", "succeeded")]),
    t.HOLD.c.window_start_ms == sa.bindparam("day"),
)
_HELD = r.PAYMENT.join(t.HOLD, t.HOLD.c.id == r.PAYMENT.c.id)
_SENT_OF = Statement(
    sa.select(sa.func.coalesce(sa.func.sum(r.PAYMENT.c.amount_msat + _FEE), constant(0)))
    .select_from(_HELD)
    .where(*_OF_DAY)
)
_END, _CORRECTION = t.TRANSFER.alias("ending"), t.TRANSFER.alias("correction")
_CORRECTED_OF = Statement(
    sa.select(sum_of_entries())
    .select_from(
        _HELD.join(_END, _END.c.hold_seq == t.HOLD.c.seq)
        .join(_CORRECTION, _CORRECTION.c.refers_to == _END.c.seq)
        .join(t.ENTRY, t.ENTRY.c.transfer_seq == _CORRECTION.c.seq)
    )
    .where(*_OF_DAY, _CORRECTION.c.kind == constant(CORRECTION), t.ENTRY.c.account_id == t.HOLD.c.account_id)
)
_LARGEST_DAILY = Statement(
    sa.select(sa.func.max(t.LIMITS.c.daily_msat)).where(t.LIMITS.c.agent_id == sa.bindparam("agent"))
)
_WALKED = Statement(
    sa.select(r.PLACE.c.cursor).where(r.PLACE.c.rail == sa.bindparam("rail"), r.PLACE.c.stream == constant(WALKED))
)


class _Expiry(msgspec.Struct):
    expires_ms: int = 0


_EXPIRY = msgspec.json.Decoder(_Expiry)


class _OfTreasury:
    """What each step begins with."""

    def __init__(self, turn: Turn, payment_id: str, attempt: int) -> None:
        self._turn = turn
        self._id = payment_id
        self._attempt = attempt

    def _found(self, book: Book) -> PaymentRecord | None:
        """The payment, if it is still at this attempt."""
        _jobs.must_have(book.tx, _jobs.Job.TREASURY, self._turn)
        found = _payments.known(book.tx, self._id)
        return found if found.attempt == self._attempt and not found.state.final else None


class Dispatch(_OfTreasury, VaultOperation[Sent | Waits | Over]):
    """Write down that a payment is handed to its rail now, if it may be: only then is the rail called."""

    def __init__(self, chart: Chart, turn: Turn, payment: PaymentRecord, *, fee_limit_msat: int) -> None:
        VaultOperation.__init__(self, chart)
        _OfTreasury.__init__(self, turn, payment.id, payment.attempt)
        if not 0 <= fee_limit_msat <= payment.fee_held_msat:
            raise ValueError(f"payment {payment.id}: a fee of {fee_limit_msat} msat is above what is held for it")
        self._fee_limit = fee_limit_msat
        self.holds = (payment.id,) if payment.kind is PaymentKind.PAYOUT else ()
        self.agents = () if payment.agent is None else (payment.agent,)
        self.accounts = (_events.rail(payment.rail)[0],)

    def change(self, book: Book) -> Sent | Waits | Over:
        """Decide, and write it."""
        payment = self._found(book)
        if payment is None or payment.state is not PaymentState.RESERVED:
            return Waits(reason="it is not to be sent any more")
        late = _EXPIRY.decode(payment.target).expires_ms
        if late and book.now_ms + _TOO_LATE_MS >= late:
            return _over(book, payment, "the invoice expired before it could be paid")
        reason = _held_up(book, payment) or self._unallowed(book, payment) or self._illiquid(book, payment)
        if reason is not None:
            return Waits(reason=reason)
        sent = _payments.change(
            book,
            payment,
            state=PaymentState.DISPATCHING,
            fee_limit_msat=self._fee_limit,
            sent_ms=book.now_ms,
            due_ms=book.now_ms,
            fence=self._turn.fence,
            reason="",
            tries=0,
        )
        return Sent(payment=sent)

    def _unallowed(self, book: Book, payment: PaymentRecord) -> str | None:
        """What was allowed when it was asked for must be so still."""
        if payment.kind is not PaymentKind.PAYOUT:
            return None
        hold = known_hold(book, payment.id)
        if hold.state != HoldState.HELD:
            raise AssertionError(f"payment {payment.id} is to be sent, and its hold is {hold.state}")
        approval = None if hold.approval is None else _approvals.find(book, hold.approval)
        if approval is not None and approval.state != ApprovalState.GRANTED:
            raise AssertionError(f"payment {payment.id} is to be sent, and its approval is {approval.state}")
        chain = book.chain(payment.agent or "")
        off = next((node.id for node in chain if not node.enabled), None)
        if off is not None:
            return f"{off} is disabled; enable it, or cancel the payout"
        return _too_fast(book, payment, hold.window, chain[0].daily or 0)

    def _illiquid(self, book: Book, payment: PaymentRecord) -> str | None:
        """By the ledger. Nothing leaves an account of ours for an invoice that is our own."""
        if payment.own_request is not None:
            return None
        account = book.account(*_named(_events.rail(payment.rail), payment.realm))
        row = book.tx.one(SENT_ON, {"rail": payment.rail, "realm": payment.realm})
        left = book.available(account) - (row[0] if row else 0)
        needed = payment.amount_msat + self._fee_limit
        if needed <= left:
            return None
        return f"{needed} msat are needed on {payment.rail}, and {max(0, left)} are free there by the ledger"


def _too_fast(book: Book, payment: PaymentRecord, day: int, daily: int) -> str | None:
    """By payments and their corrections alone, which nobody else writes: windows of limits are written by whoever
    serves calls. What was held before a limit was lowered may go, so the largest that there ever was counts."""
    of_day = {"owner": payment.owner, "agent": payment.agent, "day": day}
    rows = [book.tx.one(query, of_day) for query in (_SENT_OF, _CORRECTED_OF)]
    sent = sum(int(row[0]) for row in rows if row)
    was = book.tx.one(_LARGEST_DAILY, {"agent": payment.agent})
    daily = max(daily, int(was[0] or 0) if was else 0)
    if sent + payment.amount_msat + payment.fee_held_msat <= daily:
        return None
    return f"{payment.agent} was paid out {sent} msat of that day's {daily} already; raise its daily limit, or cancel"


def _named(account: tuple[str, str], realm: str) -> tuple[str, str, str]:
    return account[0], realm, account[1]


def _held_up(book: Book, payment: PaymentRecord) -> str | None:
    """Why nothing leaves now."""
    scopes = {"realm": f"realm:{payment.realm}", "rail": f"rail:{payment.rail}"}
    frozen = book.tx.one(_FROZEN, scopes)
    if frozen is not None:
        return f"{frozen[0]} is frozen: {frozen[1]}"
    restored = _restored.in_transaction(book.tx)
    if restored is None:
        return None
    row = book.tx.one(_WALKED, {"rail": payment.rail})
    if row is not None and int(row[0]) >= restored:
        return None
    return f"the ledger was restored from a backup, and {payment.rail} has not been compared with it yet"


def _over(book: Book, payment: PaymentRecord, reason: str) -> Over:
    cancel(book, payment, PaymentState.CANCELLED, reason)
    return Over(reason=reason)


def cancel(book: Book, payment: PaymentRecord, state: PaymentState, reason: str, *, actor: str = "arbstr") -> None:
    """End a payment that was never sent, and give back what is held for it."""
    _payments.change(book, payment, actor=actor, state=state, reason=reason, ended_ms=book.now_ms)
    if payment.kind is PaymentKind.PAYOUT:
        hold = known_hold(book, payment.id)
        if hold.state == HoldState.HELD:
            book.end_hold(hold, "release", 0, (), _receipt(payment, state, reason))


def _receipt(payment: PaymentRecord, state: PaymentState, reason: str) -> str:
    said = {"id": payment.id, "ending": state.value, "destination": payment.destination, "reasons": [reason]}
    return msgspec.json.encode(said).decode()


class CancelPayment(VaultOperation[PaymentRecord]):
    """End a payment that was not sent yet. Raises Conflict where it was."""

    def __init__(self, chart: Chart, payment: PaymentRecord, *, actor: str, reason: str) -> None:
        super().__init__(chart)
        plain_text("a cancellation", actor, reason)
        self._id = payment.id
        self._actor = actor
        self._reason = reason
        self.holds = (payment.id,) if payment.kind is PaymentKind.PAYOUT else ()

    def change(self, book: Book) -> PaymentRecord:
        """End it."""
        payment = _payments.known(book.tx, self._id)
        if payment.state is PaymentState.CANCELLED:
            return payment
        if payment.state not in (PaymentState.CREATED, PaymentState.RESERVED):
            raise Conflict(f"payout {payment.id} is {payment.state}: it cannot be cancelled any more")
        cancel(book, payment, PaymentState.CANCELLED, self._reason, actor=self._actor)
        return _payments.known(book.tx, self._id)


class Postpone(_OfTreasury, VaultOperation[None]):
    """A payment waits, and is looked at again after a while; why. With a `state` its rail was called, and did not say
    how it ends."""

    must = True

    def __init__(
        self,
        chart: Chart,
        turn: Turn,
        payment: PaymentRecord,
        reason: str,
        *,
        wait_ms: int,
        state: PaymentState | None = None,
    ) -> None:
        VaultOperation.__init__(self, chart)
        _OfTreasury.__init__(self, turn, payment.id, payment.attempt)
        self._reason = reason
        self._wait_ms = wait_ms
        self._state = state

    def change(self, book: Book) -> None:
        """Write it."""
        payment = self._found(book)
        if payment is None or (self._state is not None and not payment.state.sent):
            return
        state = self._state or payment.state
        if state is PaymentState.UNKNOWN and payment.tries + 1 == TOLD_AFTER:
            said = {"payment": payment.id, "kind": payment.kind.value, "owner": payment.owner}
            amount, why = payment.amount_msat, self._reason
            _outbox.tell(book.tx, EventName.PAYMENT_UNKNOWN, **said, amount_msat=amount, reason=why)
        due = book.now_ms + self._wait_ms
        _payments.change(book, payment, state=state, reason=self._reason, tries=payment.tries + 1, due_ms=due)


class SentElsewhere(_OfTreasury, VaultOperation[None]):
    """A rail's records show a payment that the ledger, restored from a backup, holds for one that was never sent."""

    must = True

    def __init__(self, chart: Chart, turn: Turn, payment: PaymentRecord) -> None:
        VaultOperation.__init__(self, chart)
        _OfTreasury.__init__(self, turn, payment.id, payment.attempt)

    def change(self, book: Book) -> None:
        """Look it up from now on."""
        payment = self._found(book)
        if payment is None or payment.state not in (PaymentState.CREATED, PaymentState.RESERVED):
            return
        reason = "its rail has a record of it that is newer than the ledger"
        now = book.now_ms
        if payment.state is PaymentState.CREATED:
            payment = _payments.change(book, payment, state=PaymentState.RESERVED)
        payment = _payments.change(book, payment, state=PaymentState.DISPATCHING, sent_ms=now)
        _payments.change(book, payment, state=PaymentState.UNKNOWN, reason=reason, due_ms=now)
