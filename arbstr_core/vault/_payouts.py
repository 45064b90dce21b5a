"""How payments begin: an agent's payout with the hold for it, and what the operator owes or wants at a node."""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import Statement, constant
from arbstr_core.types import MAX_MSAT, Conflict, IdempotencyConflict, InsufficientFunds
from arbstr_core.vault import _events, _payments, _single_calls
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault._agents import known_node
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._cover import cover
from arbstr_core.vault._holds import OpenHold
from arbstr_core.vault._rail_values import Known, NewPayment, PaymentKind, PaymentState
from arbstr_core.vault._values import ApprovalNeeded, Claimed, Granted, HoldRequest, Refused

PPM = 1_000_000
_PAYMENT = r.PAYMENT.c
_MAY_HAVE_LEFT = ("created", "reserved", "dispatching", "in_flight", "unknown", "succeeded")
_UNDER_WAY = _MAY_HAVE_LEFT[:-1]

_SAME = Statement(
    sa.select(_PAYMENT.id, _PAYMENT.state).where(
        _PAYMENT.realm == sa.bindparam("realm"),
        _PAYMENT.reference == sa.bindparam("reference"),
        _PAYMENT.state.in_([constant(state) for state in _MAY_HAVE_LEFT]),
    )
)
_BY_KEY = Statement(
    sa.select(_PAYMENT.id, _PAYMENT.destination, _PAYMENT.amount_msat, _PAYMENT.agent_id).where(
        _PAYMENT.owner == sa.bindparam("owner"), _PAYMENT.key == sa.bindparam("key")
    )
)
_OF_OWNER = Statement(
    sa.select(_PAYMENT.id).where(
        _PAYMENT.owner == sa.bindparam("owner"),
        _PAYMENT.kind == sa.bindparam("kind"),
        _PAYMENT.realm == sa.bindparam("realm"),
        _PAYMENT.state.in_([constant(state) for state in _UNDER_WAY]),
    )
)
_TOPUPS = Statement(
    sa.select(sa.func.coalesce(sa.func.sum(_PAYMENT.amount_msat + _PAYMENT.fee_held_msat), constant(0))).where(
        _PAYMENT.kind == constant(PaymentKind.TOPUP.value),
        _PAYMENT.realm == sa.bindparam("realm"),
        _PAYMENT.state.in_([constant(state) for state in _UNDER_WAY]),
    )
)


def _checked(new: NewPayment) -> None:
    if not 0 < new.amount_msat <= MAX_MSAT or not 0 <= new.fee_msat <= MAX_MSAT - new.amount_msat:
        raise ValueError(f"payment {new.id}: {new.amount_msat} msat and {new.fee_msat} msat are no amounts")
    if not new.rails or not new.reference:
        raise ValueError(f"payment {new.id}: it needs a rail and a reference")
    plain_text("a payment", new.id, new.owner, new.destination, new.target.decode(), new.reference, new.key or "")


def _refuse_second(book: Book, new: NewPayment) -> None:
    """One destination is paid once, unless the first payment has failed."""
    same = book.tx.one(_SAME, {"realm": new.realm, "reference": new.reference})
    if same is not None and same[0] != new.id:
        state = "paid" if same[1] == PaymentState.SUCCEEDED else f"being paid ({same[1]})"
        raise Conflict(f"this destination is {state} already, as {same[0]}: ask for a new invoice to pay again")


class OpenPayout(OpenHold):
    """An agent's payout: the hold for its amount and the most that its fee may be, and the payment, all or nothing.

    Without an operator's approval, where it needs one, it is created and no more.
    """

    def __init__(self, chart: Chart, new: NewPayment, request: HoldRequest, boot_id: str) -> None:
        super().__init__(chart, request, boot_id)
        _checked(new)
        if new.id != request.id or new.amount_msat + new.fee_msat != request.ceilings[0]:
            raise ValueError(f"payout {new.id}: what is held is not what it is for")
        self._new = new

    def change(self, book: Book) -> Granted | Refused | Claimed | ApprovalNeeded | Known:  # type: ignore[override]
        """Hold, and write it down."""
        new = self._new
        chain = book.chain(self._request.agent)
        owner = chain[-1].id if chain else self._request.agent
        before = None if new.key is None else book.tx.one(_BY_KEY, {"owner": owner, "key": new.key})
        if before is not None:
            if before[3] != self._request.agent:
                # Whose it is sees its token: nobody else is told of it, not even which it is.
                raise IdempotencyConflict(f"the key {new.key!r} was used by another key of this account: use a new one")
            if (before[1], before[2]) != (new.destination, new.amount_msat):
                raise IdempotencyConflict(
                    f"the key {new.key!r} was used for another payout, {before[0]}: use a new one"
                )
            return Known(id=before[0])
        _refuse_second(book, new)
        again = new.id in book.holds
        outcome = super().change(book)
        if again or not isinstance(outcome, Granted | ApprovalNeeded):
            return outcome
        state = PaymentState.RESERVED if isinstance(outcome, Granted) else PaymentState.CREATED
        _payments.insert(book, new, owner, state=state, actor=self._request.agent)
        return outcome


class OpenPayment(VaultOperation[str]):
    """A payment that no agent asked for: a seller's earnings, money for a node, the change of a single call; its id.

    One at a time of each owner. Raises InsufficientFunds, or Conflict where one is under way.
    """

    def __init__(self, chart: Chart, new: NewPayment, *, working_ppm: int = 0) -> None:
        super().__init__(chart)
        _checked(new)
        if new.kind is PaymentKind.PAYOUT:
            raise ValueError(f"payment {new.id}: an agent's payout has a hold")
        self._new = new
        self._working_ppm = working_ppm
        if new.kind is PaymentKind.CHANGE:
            self.agents = (_single_calls.single_agent(new.owner),)
        elif new.kind is PaymentKind.SELLER:
            self.accounts = (_events.seller(new.owner)[0],)

    def change(self, book: Book) -> str:
        """Write it down."""
        new = self._new
        if _payments.find(book.tx, new.id) is not None:
            return new.id
        owned = {"owner": new.owner, "kind": new.kind.value, "realm": new.realm}
        other = book.tx.one(_OF_OWNER, owned)
        if other is not None:
            raise Conflict(f"{other[0]} is under way to {new.owner}: the next one waits for its end")
        _refuse_second(book, new)
        self._affordable(book)
        _payments.insert(book, new, new.owner, state=PaymentState.RESERVED, actor="arbstr")
        return new.id

    def _affordable(self, book: Book) -> None:
        new = self._new
        needed = new.amount_msat + new.fee_msat
        if new.kind is PaymentKind.CHANGE:
            node = known_node(book, self.agents[0])
            purse = book.purse(node.account)
            if purse.held:
                raise Conflict(f"the call of {new.owner} has not ended yet")
            _single_calls.close_single(book, node)
            left = purse.posted
        elif new.kind is PaymentKind.SELLER:
            account = book.find_account(_events.seller(new.owner)[0], new.realm)
            left = 0 if account is None else book.available(account)
        else:
            left = self._for_nodes(book)
        if needed > left:
            raise InsufficientFunds(
                f"{new.kind} of {new.owner}: {needed} msat are needed, and {left} may be spent",
                needed_msat=needed,
                available_msat=left,
            )

    def _for_nodes(self, book: Book) -> int:
        """What may yet be put out of reach at nodes: it stays within what is the operator's own, and the share of what
        is owed that the operator lets work."""
        found = cover(book, self._new.realm)
        under_way = book.tx.one(_TOPUPS, {"realm": self._new.realm})
        working = found.owed_msat * self._working_ppm // PPM
        return int(found.own_msat + working - found.away_msat - (under_way[0] if under_way else 0))
