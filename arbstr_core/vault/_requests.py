"""Requests: what money is asked for, or handed in. Whoever serves agents writes them; the treasury answers.

A request is written down before its rail is asked, under the id that the rail is told: so after a crash the same is
asked again, and is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Operation, Statement, Transaction, bulk_insert, constant
from arbstr_core.types import MAX_MSAT, Conflict, NotFound
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault._book import plain_text
from arbstr_core.vault._rail_values import NewRequest, Purpose, RequestKind, RequestRecord, RequestState

_REQUEST = r.REQUEST.c
COLUMNS = (
    *(_REQUEST.seq, _REQUEST.id, _REQUEST.kind, _REQUEST.purpose, _REQUEST.realm, _REQUEST.rail, _REQUEST.agent_id),
    *(_REQUEST.subject, _REQUEST.amount_msat, _REQUEST.fee_msat, _REQUEST.memo, _REQUEST.created_ms),
    *(_REQUEST.reference, _REQUEST.text, _REQUEST.sealed, _REQUEST.state, _REQUEST.reason, _REQUEST.due_ms),
    *(_REQUEST.tries, _REQUEST.expires_ms, _REQUEST.ended_ms),
)
"""In the order of RequestRecord"""

_INSERT = bulk_insert(
    r.REQUEST,
    (
        *("id", "kind", "purpose", "realm", "rail", "agent_id", "subject", "amount_msat", "fee_msat", "memo"),
        *("created_ms", "reference", "sealed", "state", "reason", "due_ms", "tries", "expires_ms"),
    ),
)
_FIND = Statement(sa.select(*COLUMNS).where(_REQUEST.id == sa.bindparam("request")).with_for_update())
_BY_REFERENCE = Statement(
    sa.select(*COLUMNS)
    .where(_REQUEST.rail == sa.bindparam("rail"), _REQUEST.reference == sa.bindparam("reference"))
    .with_for_update()
)
_OPEN_OF = Statement(
    sa.select(sa.func.count()).where(
        _REQUEST.agent_id == sa.bindparam("agent"),
        _REQUEST.kind == constant(RequestKind.INVOICE.value),
        _REQUEST.state.in_([constant(state) for state in ("asked", "open")]),
    )
)
_CHANGING = ("reference", "text", "state", "reason", "due_ms", "tries", "expires_ms", "ended_ms")
_WRITE = Statement(
    sa.update(r.REQUEST)
    .where(_REQUEST.id == sa.bindparam("request"))
    .values({_REQUEST[name]: sa.bindparam(f"new_{name}", type_=_REQUEST[name].type) for name in _CHANGING})
)
_MOST_REASON = 500


def record(row: Sequence[Any]) -> RequestRecord:
    """A row of COLUMNS."""
    values = dict(zip(RequestRecord.__struct_fields__, row, strict=True))
    values["kind"] = RequestKind(values["kind"])
    values["purpose"] = Purpose(values["purpose"])
    values["state"] = RequestState(values["state"])
    values["sealed"] = None if values["sealed"] is None else bytes(values["sealed"])
    return RequestRecord(**values)


def find(tx: Transaction, request_id: str) -> RequestRecord | None:
    """The request with this id; nobody else changes it until the transaction ends."""
    row = tx.one(_FIND, {"request": request_id})
    return None if row is None else record(row)


def by_reference(tx: Transaction, rail: str, reference: str) -> RequestRecord | None:
    """The request that a rail knows by this."""
    row = tx.one(_BY_REFERENCE, {"rail": rail, "reference": reference})
    return None if row is None else record(row)


def change(tx: Transaction, request: RequestRecord, **changed: Any) -> None:
    """Write what `changed`."""
    after = msgspec.structs.replace(request, **changed)
    reason = after.reason.replace("\0", " ")[:_MOST_REASON]
    values = {f"new_{name}": getattr(after, name) for name in _CHANGING}
    tx.run(_WRITE, {"request": after.id, **values, "new_state": after.state.value, "new_reason": reason})


class OpenRequest(Operation[str]):
    """Write a request down; its id. The same id again is the same request. A token that was handed in before, under
    another id, is a Conflict, and so is one more invoice than `most_open` of an agent."""

    def __init__(self, new: NewRequest, *, most_open: int | None = None) -> None:
        if not 0 <= new.amount_msat <= MAX_MSAT or not 0 <= new.fee_msat <= MAX_MSAT:
            raise ValueError(f"request {new.id}: {new.amount_msat} msat and {new.fee_msat} msat are no amounts")
        plain_text("a request", new.id, new.realm, new.rail, new.subject, new.memo, new.reference or "")
        self._new = new
        self._most_open = most_open

    def run(self, tx: Transaction) -> str:
        """Write it."""
        new = self._new
        if find(tx, new.id) is not None:
            return new.id
        before = None if new.reference is None else by_reference(tx, new.rail, new.reference)
        if before is not None:
            raise Conflict(f"the token was handed in before, as {before.id}, which is {before.state}")
        if self._most_open is not None:
            found = tx.one(_OPEN_OF, {"agent": new.agent})
            if found is not None and found[0] >= self._most_open:
                raise Conflict(
                    f"{self._most_open} invoices are open already, and that is the most: pay one, or wait until one "
                    "has expired"
                )
        row = (
            *(new.id, new.kind.value, new.purpose.value, new.realm, new.rail, new.agent, new.subject),
            *(new.amount_msat, new.fee_msat, new.memo, tx.now_ms, new.reference, new.sealed),
            *(RequestState.ASKED.value, "", tx.now_ms, 0, new.expires_ms),
        )
        tx.bulk(_INSERT, [row])
        return new.id


class AnswerRequest(Operation[None]):
    """The rail has made an invoice for a request: it can be paid from now on."""

    must = True

    def __init__(self, request_id: str, *, text: str, reference: str, expires_ms: int) -> None:
        plain_text("an invoice", text, reference)
        self._id = request_id
        self._text = text
        self._reference = reference
        self._expires_ms = expires_ms

    def run(self, tx: Transaction) -> None:
        """Write it."""
        found = _known(tx, self._id)
        if found.state is RequestState.ASKED:
            change(
                tx,
                found,
                text=self._text,
                reference=self._reference,
                state=RequestState.OPEN,
                expires_ms=self._expires_ms,
                due_ms=self._expires_ms,
            )


class PostponeRequest(Operation[None]):
    """The rail could not be asked: it is again after a while."""

    def __init__(self, request_id: str, reason: str, *, wait_ms: int) -> None:
        self._id = request_id
        self._reason = reason
        self._wait_ms = wait_ms

    def run(self, tx: Transaction) -> None:
        """Write it."""
        found = _known(tx, self._id)
        if found.state is RequestState.ASKED:
            change(tx, found, reason=self._reason, tries=found.tries + 1, due_ms=tx.now_ms + self._wait_ms)


class EndRequest(Operation[bool]):
    """No money comes for a request: it was refused, taken back, or nobody paid in time. False where it had ended."""

    must = True

    def __init__(self, request_id: str, state: RequestState, reason: str) -> None:
        self._id = request_id
        self._state = state
        self._reason = reason

    def run(self, tx: Transaction) -> bool:
        """Write it."""
        found = _known(tx, self._id)
        if found.state not in (RequestState.ASKED, RequestState.OPEN):
            return False
        change(tx, found, state=self._state, reason=self._reason, ended_ms=tx.now_ms)
        return True


def _known(tx: Transaction, request_id: str) -> RequestRecord:
    found = find(tx, request_id)
    if found is None:
        raise NotFound(f"there is no request {request_id}")
    return found
