"""Approvals: what an operator is asked, decides, and what becomes of a grant.

A grant lets one call with the same body through, up to its ceiling; everything but the largest charge is looked at
again when it is used. For a payout the amount is held from the start.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Statement, bulk_insert
from arbstr_core.types import NotFound
from arbstr_core.vault import _audit, _outbox, _payments
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._rail_values import PaymentState
from arbstr_core.vault._records import ApprovalRecord, ApprovalState, EventName
from arbstr_core.vault._rows import Node
from arbstr_core.vault._terms import PAYOUT
from arbstr_core.vault._values import HoldRequest, HoldState

_ID_CHARS = 28
_DENIED = '{"ending":"denied","reasons":["an operator did not approve it"]}'
_LAPSED = '{"ending":"expired","reasons":["nobody approved it in time"]}'

_APPROVAL = t.APPROVAL.c
_LIVE = (ApprovalState.PENDING.value, ApprovalState.GRANTED.value, ApprovalState.HELD.value)
_COLUMNS = ("id", "agent_id", "account_id", "kind", "digest", "ceiling_msat", "models", "limits_version", "state")
_INSERT = bulk_insert(t.APPROVAL, (*_COLUMNS, "created_ms", "expires_ms", "hold_id"))
_WANTED = (
    *(_APPROVAL.id, _APPROVAL.agent_id, _APPROVAL.kind, _APPROVAL.ceiling_msat, _APPROVAL.models),
    *(_APPROVAL.limits_version, _APPROVAL.state, _APPROVAL.created_ms, _APPROVAL.expires_ms, _APPROVAL.hold_id),
)
_FIND_LIVE = Statement(
    sa.select(*_WANTED).where(
        _APPROVAL.account_id == sa.bindparam("account"),
        _APPROVAL.digest == sa.bindparam("digest"),
        # Word for word as in the index.
        sa.text("state IN ('pending', 'granted', 'held')"),
    )
)
_FIND = Statement(sa.select(*_WANTED).where(_APPROVAL.id == sa.bindparam("approval")))
_DECIDE = Statement(
    sa.update(t.APPROVAL)
    .where(_APPROVAL.id == sa.bindparam("approval"))
    .values(
        state=sa.bindparam("after"),
        decided_ms=sa.bindparam("now"),
        decided_by=sa.bindparam("actor"),
        expires_ms=sa.bindparam("expires"),
    )
)
_MOVE = Statement(
    sa.update(t.APPROVAL)
    .where(_APPROVAL.id == sa.bindparam("approval"))
    .values(state=sa.bindparam("after"), hold_id=sa.bindparam("hold"))
)


class Approval(msgspec.Struct):
    """An approval as the transaction sees it."""

    id: str
    agent: str
    kind: str
    ceiling: int
    models: str
    limits_version: int
    state: str
    created_ms: int
    expires_ms: int
    hold_id: str | None


def version_of(chain: Sequence[Node]) -> int:
    """Names the limits of a key and all above it: versions only grow, so their sum changes with any of them."""
    return sum(node.limits_version or 0 for node in chain)


def find(book: Book, approval_id: str) -> Approval | None:
    """The approval with this id."""
    row = book.tx.one(_FIND, {"approval": approval_id})
    return None if row is None else Approval(*row)


def live(book: Book, account: int, request: HoldRequest) -> Approval | None:
    """The approval that is there for the body of `request`, unless it is void: then it ends here."""
    row = book.tx.one(_FIND_LIVE, {"account": account, "digest": request.body_digest})
    if row is None:
        return None
    found = Approval(*row)
    if found.state == ApprovalState.HELD or found.kind == PAYOUT or _still_good(book, found, request):
        return found
    expire(book, found)
    return None


def _still_good(book: Book, found: Approval, request: HoldRequest) -> bool:
    return (
        book.now_ms < found.expires_ms
        and request.ceilings[0] <= found.ceiling
        and request.model in msgspec.json.decode(found.models)
        and version_of(book.chain(found.agent)) == found.limits_version
    )


def ask(book: Book, chain: Sequence[Node], request: HoldRequest, *, seconds: int, hold_id: str | None) -> Approval:
    """Put a call, or a payout that is held for, before an operator."""
    made = Approval(
        *(
            _fresh_id(book, request),
            request.agent,
            request.kind,
            max(request.ceilings),
            msgspec.json.encode([request.model]).decode(),
        ),
        *(version_of(chain), ApprovalState.PENDING.value, book.now_ms, book.now_ms + seconds * 1000, hold_id),
    )
    row = (
        *(made.id, made.agent, chain[0].account, made.kind, request.body_digest, made.ceiling, made.models),
        *(made.limits_version, made.state, made.created_ms, made.expires_ms, made.hold_id),
    )
    book.tx.bulk(_INSERT, [row])
    said = (*row[:4], request.body_digest.hex(), *row[5:])
    book.note("approval.ask", made.id, _audit.canonical(*said), actor=request.agent)
    _tell(book, EventName.APPROVAL_REQUIRED, made)
    return made


def _fresh_id(book: Book, request: HoldRequest) -> str:
    """A call whose approval is void may ask again at once."""
    for number in itertools.count():
        name = hashlib.sha256(f"{request.id} {book.now_ms} {number}".encode()).hexdigest()[:_ID_CHARS]
        if find(book, f"apr_{name}") is None:
            break
    return f"apr_{name}"


def use(book: Book, found: Approval, hold_id: str) -> None:
    """A call is held for under a grant."""
    _move(book, found, ApprovalState.HELD, hold_id)


def expire(book: Book, found: Approval) -> None:
    """End an approval that is void, and what is held for it."""
    _move(book, found, ApprovalState.EXPIRED, found.hold_id)
    _tell(book, EventName.APPROVAL_EXPIRED, found)
    _let_go(book, found, _LAPSED)


def _move(book: Book, found: Approval, after: ApprovalState, hold_id: str | None) -> None:
    book.tx.run(_MOVE, {"approval": found.id, "after": after.value, "hold": hold_id})
    book.note(f"approval.{after.value}", found.id, _audit.canonical(found.id, after.value, hold_id, book.now_ms))
    found.state, found.hold_id = after.value, hold_id


def _let_go(book: Book, found: Approval, receipt: str) -> None:
    if found.kind != PAYOUT or found.hold_id is None:
        return
    book.load_holds([found.hold_id])
    hold = book.holds[found.hold_id]
    payment = _payments.find(book.tx, found.hold_id)
    if payment is not None and payment.state is PaymentState.CREATED:
        reason = msgspec.json.decode(receipt)["reasons"][0]
        _payments.change(book, payment, state=PaymentState.REJECTED, reason=reason, ended_ms=book.now_ms)
    if hold.state == HoldState.HELD and (payment is None or not payment.state.sent):
        book.end_hold(hold, "release", 0, (), receipt)


def _tell(book: Book, event: EventName, found: Approval, **more: str) -> None:
    _outbox.tell(
        book.tx,
        event,
        approval=found.id,
        agent=found.agent,
        kind=found.kind,
        ceiling_msat=found.ceiling,
        models=msgspec.json.decode(found.models),
        expires_ms=found.expires_ms,
        **more,
    )


class Decide(VaultOperation[bool]):
    """An operator grants or denies what is pending; False where there is nothing to decide any more.

    A grant is good for as long as the decision could be waited for.
    """

    def __init__(self, chart: Chart, approval: ApprovalRecord, *, grant: bool, actor: str) -> None:
        super().__init__(chart)
        plain_text("a decision", actor)
        if not actor or actor == approval.agent or actor.startswith("ag_"):
            raise ValueError(f"{actor!r} cannot decide on {approval.id}: an agent never does")
        self.agents = (approval.agent,)
        self.holds = () if approval.hold_id is None else (approval.hold_id,)
        self._id = approval.id
        self._grant = grant
        self._actor = actor

    def change(self, book: Book) -> bool:
        """Decide."""
        found = find(book, self._id)
        if found is None:
            raise NotFound(f"there is no approval {self._id}")
        if found.state != ApprovalState.PENDING:
            return False
        # Under other limits it could not be used: the agent asks anew, and the operator sees what is asked then.
        if book.now_ms >= found.expires_ms or version_of(book.chain(found.agent)) != found.limits_version:
            expire(book, found)
            return False
        after = ApprovalState.GRANTED if self._grant else ApprovalState.DENIED
        if self._grant:
            found.expires_ms += book.now_ms - found.created_ms
        self._write(book, found, after)
        return True

    def _write(self, book: Book, found: Approval, after: ApprovalState) -> None:
        now = book.now_ms
        book.tx.run(
            _DECIDE,
            {"approval": found.id, "after": after.value, "now": now, "actor": self._actor, "expires": found.expires_ms},
        )
        data = _audit.canonical(found.id, after.value, found.expires_ms, self._actor, now)
        book.note(f"approval.{after.value}", found.id, data, actor=self._actor)
        event = EventName.APPROVAL_GRANTED if self._grant else EventName.APPROVAL_DENIED
        _tell(book, event, found, decided_by=self._actor)
        if not self._grant:
            _let_go(book, found, _DENIED)
        elif found.kind == PAYOUT and found.hold_id is not None:
            payment = _payments.find(book.tx, found.hold_id)
            if payment is not None and payment.state is PaymentState.CREATED:
                _payments.change(book, payment, actor=self._actor, state=PaymentState.RESERVED, due_ms=now)


class ExpireApprovals(VaultOperation[int]):
    """End those of these approvals whose time is over; how many it were."""

    must = True

    def __init__(self, chart: Chart, due: Sequence[ApprovalRecord]) -> None:
        super().__init__(chart)
        self.agents = tuple(each.agent for each in due)
        self.holds = tuple(each.hold_id for each in due if each.hold_id is not None)
        self._ids = [each.id for each in due]

    def change(self, book: Book) -> int:
        """End them."""
        over = 0
        for approval_id in self._ids:
            found = find(book, approval_id)
            lapses = found is not None and found.state in (ApprovalState.PENDING, ApprovalState.GRANTED)
            # A granted payout is on its way: what becomes of it is its rail's to say.
            waits = found is not None and (found.kind != PAYOUT or found.state == ApprovalState.PENDING)
            if found is not None and lapses and waits and book.now_ms >= found.expires_ms:
                expire(book, found)
                over += 1
        return over
