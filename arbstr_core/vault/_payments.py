"""The rows of payments: how a transaction finds one, changes it, and says so in the audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Statement, Transaction, bulk_insert
from arbstr_core.types import NotFound
from arbstr_core.vault import _audit
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault._book import Book
from arbstr_core.vault._rail_values import NewPayment, PaymentKind, PaymentRecord, PaymentState

_PAYMENT = r.PAYMENT.c
FIXED = (
    *("id", "kind", "realm", "agent_id", "owner", "key", "amount_msat", "fee_held_msat", "destination", "target"),
    *("reference", "rails", "own_request", "created_ms"),
)
"""What never changes of a payment"""
SAID = ("state", "attempt", "rail", "fee_limit_msat", "sent_ms", "ended_ms", "fee_msat", "handed")
"""What changes, and is said in the audit each time"""
_CHANGING = (*SAID, "reason", "story", "due_ms", "tries", "fence", "proof", "token")
COLUMNS = (
    *(_PAYMENT.seq, *(_PAYMENT[name] for name in FIXED[:3]), _PAYMENT.agent_id, _PAYMENT.owner, _PAYMENT.key),
    *(_PAYMENT[name] for name in ("amount_msat", "fee_held_msat", "destination", "target", "reference", "rails")),
    *(_PAYMENT.own_request, _PAYMENT.created_ms, _PAYMENT.state, _PAYMENT.attempt, _PAYMENT.rail),
    *(_PAYMENT.fee_limit_msat, _PAYMENT.reason, _PAYMENT.story, _PAYMENT.due_ms, _PAYMENT.tries, _PAYMENT.fence),
    *(_PAYMENT.sent_ms, _PAYMENT.ended_ms, _PAYMENT.fee_msat, _PAYMENT.proof, _PAYMENT.token, _PAYMENT.handed),
)
"""In the order of PaymentRecord"""

_INSERT = bulk_insert(
    r.PAYMENT,
    (*FIXED, "state", "attempt", "rail", "fee_limit_msat", "reason", "story", "due_ms", "tries"),
)
_FIND = Statement(sa.select(*COLUMNS).where(_PAYMENT.id == sa.bindparam("payment")).with_for_update())
_WRITE = Statement(
    sa.update(r.PAYMENT)
    .where(_PAYMENT.id == sa.bindparam("payment"))
    .values({_PAYMENT[name]: sa.bindparam(f"new_{name}", type_=_PAYMENT[name].type) for name in _CHANGING})
)
_RAILS = msgspec.json.Decoder(tuple[str, ...])
_MOST_REASON = 500
_MOST_STORY = 64_000


def record(row: Sequence[Any]) -> PaymentRecord:
    """A row of COLUMNS."""
    values = dict(zip(PaymentRecord.__struct_fields__, row, strict=True))
    values["kind"] = PaymentKind(values["kind"])
    values["state"] = PaymentState(values["state"])
    values["rails"] = _RAILS.decode(values["rails"])
    for name in ("target", "story"):
        values[name] = values[name].encode()
    for name in ("proof", "token"):
        values[name] = None if values[name] is None else bytes(values[name])
    return PaymentRecord(**values)


def find(tx: Transaction, payment_id: str) -> PaymentRecord | None:
    """The payment with this id; nobody else changes it until the transaction ends."""
    row = tx.one(_FIND, {"payment": payment_id})
    return None if row is None else record(row)


def known(tx: Transaction, payment_id: str) -> PaymentRecord:
    """The same; raises NotFound."""
    found = find(tx, payment_id)
    if found is None:
        raise NotFound(f"there is no payment {payment_id}")
    return found


def insert(book: Book, new: NewPayment, owner: str, *, state: PaymentState, actor: str) -> None:
    """A new payment, on its first rail."""
    rails = msgspec.json.encode(new.rails).decode()
    fixed = (
        *(new.id, new.kind.value, new.realm, new.agent, owner, new.key, new.amount_msat, new.fee_msat),
        *(new.destination, new.target.decode(), new.reference, rails, new.own_request, book.now_ms),
    )
    first = (state.value, 1, new.rails[0], new.fee_msat)
    book.tx.bulk(_INSERT, [(*fixed, *first, "", "[]", book.now_ms, 0)])
    said = _audit.canonical(*fixed, *first, None, None, None, None)
    book.note("payment.open", new.id, said, actor=actor)


def change(book: Book, payment: PaymentRecord, *, actor: str = "arbstr", **changed: Any) -> PaymentRecord:
    """Write what `changed`, and say it in the audit where it is more than when to look again."""
    after = msgspec.structs.replace(payment, **changed)
    reason = after.reason.replace("\0", " ")[:_MOST_REASON]
    story = after.story if len(after.story) <= _MOST_STORY else payment.story
    values = {f"new_{name}": getattr(after, name) for name in _CHANGING}
    values |= {"new_state": after.state.value, "new_reason": reason, "new_story": story.decode()}
    book.tx.run(_WRITE, {"payment": after.id, **values})
    if any(getattr(after, name) != getattr(payment, name) for name in SAID):
        said = [getattr(after, name) for name in SAID]
        said[0] = after.state.value
        book.note(f"payment.{after.state.value}", after.id, _audit.canonical(after.id, *said), actor=actor)
    return after


def told(payment: PaymentRecord, outcome: str, evidence: str, at_ms: int) -> bytes:
    """The payment's story with one more attempt in it."""
    story = msgspec.json.decode(payment.story)
    line = {"rail": payment.rail, "attempt": payment.attempt, "outcome": outcome, "evidence": evidence, "at_ms": at_ms}
    return msgspec.json.encode([*story, line])
