"""Questions about money that moves over rails, which change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from typing import Any

import sqlalchemy as sa

from arbstr_core.storage import INTEGER
from arbstr_core.types import Network
from arbstr_core.vault import _events, _payments, _requests
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault import _tables as t
from arbstr_core.vault._agents import MADE
from arbstr_core.vault._rail_values import (
    DepositRecord,
    Freeze,
    Owed,
    PaymentKind,
    PaymentRecord,
    PaymentState,
    RequestRecord,
    RequestState,
    SellerRecord,
    SolvencyRecord,
)

_SENT = [state.value for state in PaymentState if state.sent]
_CAME_TO_NOTHING = [state.value for state in PaymentState if state.final and state is not PaymentState.SUCCEEDED]
_ASSET = "asset:"
_OPEN_PAYMENT = sa.text("payment.state IN ('reserved', 'dispatching', 'in_flight', 'unknown')")
_OPEN_REQUEST = sa.text("request.state IN ('asked', 'open')")
# These are asked ever again, all day: to build a query costs more than to run it.
_DUE_PAYMENTS = (
    sa.select(*_payments.COLUMNS)
    .where(_OPEN_PAYMENT, r.PAYMENT.c.due_ms <= sa.bindparam("now"))
    .order_by(sa.case((r.PAYMENT.c.state.in_(_SENT), 0), else_=1), r.PAYMENT.c.due_ms, r.PAYMENT.c.seq)
    .limit(sa.bindparam("most", type_=INTEGER))
)
_DUE_REQUESTS = (
    sa.select(*_requests.COLUMNS)
    .where(_OPEN_REQUEST, r.REQUEST.c.due_ms <= sa.bindparam("now"))
    .order_by(r.REQUEST.c.due_ms, r.REQUEST.c.seq)
    .limit(sa.bindparam("most", type_=INTEGER))
)
_NEXT_DUE = (
    sa.select(sa.func.min(r.PAYMENT.c.due_ms)).where(_OPEN_PAYMENT),
    sa.select(sa.func.min(r.REQUEST.c.due_ms)).where(_OPEN_REQUEST),
)
_OWED = {"agent": "agents", "seller": "sellers", "temp": "calls", "suspense": "suspense", "equity": "equity"}


def payment(connection: sa.Connection, payment_id: str) -> PaymentRecord | None:
    """The payment with this id."""
    row = connection.execute(sa.select(*_payments.COLUMNS).where(r.PAYMENT.c.id == payment_id)).first()
    return None if row is None else _payments.record(row)


def payments(
    connection: sa.Connection,
    *,
    owner: str | None = None,
    agents: Sequence[str] | None = None,
    kind: PaymentKind | None = None,
    state: PaymentState | None = None,
    before: int | None = None,
    most: int,
) -> list[PaymentRecord]:
    """Payments, the newest first."""
    column = r.PAYMENT.c
    query = sa.select(*_payments.COLUMNS).order_by(column.seq.desc()).limit(most)
    wanted = ((column.owner, owner), (column.kind, kind and kind.value), (column.state, state and state.value))
    for asked, value in wanted:
        query = query if value is None else query.where(asked == value)
    if agents is not None:
        query = query.where(column.agent_id.in_(agents))
    if before is not None:
        query = query.where(column.seq < before)
    return [_payments.record(row) for row in connection.execute(query)]


def due_payments(connection: sa.Connection, now_ms: int, most: int) -> list[PaymentRecord]:
    """Those that are to be sent or looked up now: what may be on its way first, each kind the longest due first."""
    return [_payments.record(row) for row in connection.execute(_DUE_PAYMENTS, {"now": now_ms, "most": most})]


def sent_payments(connection: sa.Connection) -> list[PaymentRecord]:
    """All that may be on their way."""
    column = r.PAYMENT.c
    query = sa.select(*_payments.COLUMNS).where(column.state.in_(_SENT)).order_by(column.seq)
    return [_payments.record(row) for row in connection.execute(query)]


def next_due_ms(connection: sa.Connection) -> int | None:
    """When the next payment or request is to be looked at; None where there is none."""
    found = [connection.execute(query).scalar() for query in _NEXT_DUE]
    return min((due for due in found if due is not None), default=None)


def unhanded(connection: sa.Connection) -> list[PaymentRecord]:
    """Top-ups that have left, and that their node has not been told of, or did not say anything of yet."""
    column = r.PAYMENT.c
    query = sa.select(*_payments.COLUMNS).where(
        column.kind == PaymentKind.TOPUP.value,
        column.state == PaymentState.SUCCEEDED.value,
        column.handed.is_(None),
    )
    return [_payments.record(row) for row in connection.execute(query.order_by(column.seq))]


def payment_by_reference(connection: sa.Connection, realm: str, reference: str) -> PaymentRecord | None:
    """The newest payment to a destination."""
    column = r.PAYMENT.c
    query = sa.select(*_payments.COLUMNS).where(column.realm == realm, column.reference == reference)
    row = connection.execute(query.order_by(column.seq.desc()).limit(1)).first()
    return None if row is None else _payments.record(row)


def payment_by_key(connection: sa.Connection, owner: str, key: str) -> PaymentRecord | None:
    """The payment that its owner calls so."""
    column = r.PAYMENT.c
    row = connection.execute(sa.select(*_payments.COLUMNS).where(column.owner == owner, column.key == key)).first()
    return None if row is None else _payments.record(row)


def request(connection: sa.Connection, request_id: str) -> RequestRecord | None:
    """The request with this id."""
    row = connection.execute(sa.select(*_requests.COLUMNS).where(r.REQUEST.c.id == request_id)).first()
    return None if row is None else _requests.record(row)


def request_by_reference(connection: sa.Connection, reference: str, rail: str | None = None) -> RequestRecord | None:
    """The request whose invoice or token is known by this."""
    query = sa.select(*_requests.COLUMNS).where(r.REQUEST.c.reference == reference)
    if rail is not None:
        query = query.where(r.REQUEST.c.rail == rail)
    row = connection.execute(query.limit(1)).first()
    return None if row is None else _requests.record(row)


def requests(
    connection: sa.Connection,
    *,
    agents: Sequence[str] | None = None,
    kind: str | None = None,
    state: RequestState | None = None,
    subject: str | None = None,
    before: int | None = None,
    most: int,
) -> list[RequestRecord]:
    """Requests, the newest first."""
    column = r.REQUEST.c
    query = sa.select(*_requests.COLUMNS).order_by(column.seq.desc()).limit(most)
    for asked, value in ((column.kind, kind), (column.state, state and state.value), (column.subject, subject)):
        query = query if value is None else query.where(asked == value)
    if agents is not None:
        query = query.where(column.agent_id.in_(agents))
    if before is not None:
        query = query.where(column.seq < before)
    return [_requests.record(row) for row in connection.execute(query)]


def due_requests(connection: sa.Connection, now_ms: int, most: int) -> list[RequestRecord]:
    """Requests whose rail is to be asked now, or whose time is over."""
    return [_requests.record(row) for row in connection.execute(_DUE_REQUESTS, {"now": now_ms, "most": most})]


def deposits(
    connection: sa.Connection,
    *,
    agents: Sequence[str] | None = None,
    nobodys: bool = False,
    before: int | None = None,
    most: int,
) -> list[DepositRecord]:
    """Deposits, the newest first; `nobodys`: those that wait for somebody to say whose they are."""
    column = r.DEPOSIT.c
    assigned = sa.exists().where(t.TRANSFER.c.key == sa.literal("assign:") + column.rail + ":" + column.reference)
    query = (
        sa.select(
            *(column.seq, column.rail, column.reference, column.kind, column.realm, column.amount_msat),
            *(column.fee_msat, column.request_id, r.REQUEST.c.purpose, column.agent_id, column.transfer_seq),
            *(assigned, column.at_ms),
        )
        .select_from(r.DEPOSIT.outerjoin(r.REQUEST, r.REQUEST.c.id == column.request_id))
        .order_by(column.seq.desc())
        .limit(most)
    )
    if agents is not None:
        query = query.where(column.agent_id.in_(agents))
    if nobodys:
        query = query.where(column.request_id.is_(None), ~assigned)
    if before is not None:
        query = query.where(column.seq < before)
    names = DepositRecord.__struct_fields__
    rows = [dict(zip(names, row, strict=True)) for row in connection.execute(query)]
    return [DepositRecord(**row | {"assigned": bool(row["assigned"])}) for row in rows]


def place(connection: sa.Connection, rail: str, stream: str) -> str:
    """Up to where a stream of a rail has been read; empty for its beginning."""
    query = sa.select(r.PLACE.c.cursor).where(r.PLACE.c.rail == rail, r.PLACE.c.stream == stream)
    return str(connection.execute(query).scalar() or "")


def frozen(connection: sa.Connection) -> list[Freeze]:
    """What is frozen now."""
    column = r.FROZEN.c
    query = sa.select(column.scope, column.reason, column.actor, column.at_ms).where(column.frozen == 1)
    return [Freeze(scope=row[0], reason=row[1], actor=row[2], at_ms=row[3]) for row in connection.execute(query)]


def solvency(connection: sa.Connection) -> list[SolvencyRecord]:
    """The last check of each realm."""
    column = r.SOLVENCY.c
    query = sa.select(column.realm, column.at_ms, column.below, column.body).order_by(column.realm)
    return [
        SolvencyRecord(realm=row[0], at_ms=row[1], below=row[2], body=row[3].encode())
        for row in connection.execute(query)
    ]


def owed(connection: sa.Connection) -> dict[str, Owed]:
    """What the ledger says of each realm, out of the counters of its accounts."""
    account = t.ACCOUNT.c
    columns = (account.realm, account.kind, account.name, account.posted_msat, account.held_msat)
    query = sa.select(*columns).where(account.constrained == 1)
    held: Counter[str] = Counter()
    sums: dict[str, dict[str, int]] = {}
    assets: dict[str, dict[str, int]] = {}
    for realm, kind, name, posted, holds in connection.execute(query):
        held[realm] += holds
        of_realm = sums.setdefault(realm, dict.fromkeys(_OWED.values(), 0))
        if kind == "asset":
            assets.setdefault(realm, {})[name.removeprefix(_ASSET)] = posted
        elif kind in _OWED:
            of_realm[_OWED[kind]] += posted
    made = _made(connection) if Network.SIM in sums else 0
    lost = _lost(connection)
    return {
        realm: Owed(
            realm=realm,
            assets=assets.get(realm, {}),
            held_msat=held[realm],
            made_msat=made if realm == Network.SIM else 0,
            lost_msat=lost.get(realm, 0),
            **{f"{name}_msat": msat for name, msat in found.items()},
        )
        for realm, found in sums.items()
    }


def _made(connection: sa.Connection) -> int:
    """What agents of the realm `sim` were funded with, which was made for them."""
    column = t.TRANSFER.c
    made = (column.key.is_not(None), column.key.like(f"{MADE}%"), column.kind == "capital", column.realm == Network.SIM)
    return int(
        connection.execute(sa.select(sa.func.coalesce(sa.func.sum(column.amount_msat), 0)).where(*made)).scalar_one()
    )


def _lost(connection: sa.Connection) -> dict[str, int]:
    """What was written off in each realm."""
    column = t.TRANSFER.c
    total = sa.func.sum(column.amount_msat)
    losses = sa.select(column.realm, total).where(column.key.is_not(None), column.kind == "loss")
    return {row[0]: int(row[1]) for row in connection.execute(losses.group_by(column.realm))}


def balance_of_single(connection: sa.Connection, key: str) -> tuple[int, int] | None:
    """(posted, held) of what pays a single call; None where nothing ever did."""
    account = t.ACCOUNT.c
    row = connection.execute(
        sa.select(account.posted_msat, account.held_msat).where(account.name == _events.temp(key)[0])
    ).first()
    return None if row is None else (int(row[0]), int(row[1]))


def singles_to_end(
    connection: sa.Connection, before_ms: int, *, after: str, least_msat: int, most: int
) -> list[tuple[str, str, int]]:
    """(key, realm, msat) of single calls begun before then that have so much money left, and no change made of it, or
    being made; by key, those `after` one."""
    account, agent, paid = t.ACCOUNT.c, t.AGENT.c, r.PAYMENT.c
    key = sa.func.substr(account.name, len("temp:") + 1)
    of_call = sa.and_(paid.owner == key, paid.kind == PaymentKind.CHANGE.value)
    failed = paid.state.in_(_CAME_TO_NOTHING)
    changed = sa.exists().where(of_call, ~failed)
    # Its account is closed with the first change that is begun.
    again = sa.exists().where(of_call, failed)
    query = (
        sa.select(key, account.realm, account.posted_msat)
        .select_from(t.ACCOUNT.join(t.AGENT, agent.account_id == account.id))
        .where(account.kind == "temp", account.posted_msat >= least_msat, account.held_msat == 0, key > after)
        .where(agent.created_ms <= before_ms, (agent.enabled == 1) | again, ~changed)
        .order_by(key)
        .limit(most)
    )
    return [(row[0], row[1], int(row[2])) for row in connection.execute(query)]


def sellers(connection: sa.Connection) -> list[SellerRecord]:
    """How sellers are paid, what each has earned, and when it was last paid; and who has earned, and nobody has said
    how he is paid."""
    column, account, paid = r.SELLER.c, t.ACCOUNT.c, r.PAYMENT.c
    last = (
        sa.select(sa.func.max(paid.created_ms))
        .where(paid.kind == PaymentKind.SELLER.value, paid.owner == column.name, paid.realm == column.realm)
        .scalar_subquery()
    )
    own = sa.and_(account.name == sa.literal("seller:") + column.name, account.realm == column.realm)
    rows: Any = connection.execute(
        sa.select(
            *(column.name, column.realm, column.destination, column.threshold_msat, column.every_seconds),
            *(column.enabled, sa.func.coalesce(account.posted_msat, 0), last),
        )
        .select_from(r.SELLER.outerjoin(t.ACCOUNT, own))
        .order_by(column.name, column.realm)
    )
    found = [
        SellerRecord(
            name=row[0],
            realm=row[1],
            destination=row[2],
            threshold_msat=row[3],
            every_seconds=row[4],
            enabled=bool(row[5]),
            balance_msat=int(row[6]),
            last_ms=row[7],
        )
        for row in rows
    ]
    return found + _unsaid(connection, {(each.name, each.realm) for each in found})


def _unsaid(connection: sa.Connection, known: Set[tuple[str, str]]) -> list[SellerRecord]:
    account = t.ACCOUNT.c
    rows: Any = connection.execute(
        sa.select(account.name, account.realm, account.posted_msat)
        .where(account.kind == "seller", account.posted_msat > 0)
        .order_by(account.name, account.realm)
    )
    earned = [(row[0].removeprefix("seller:"), row[1], int(row[2])) for row in rows]
    terms: Any = {"destination": "", "threshold_msat": 0, "every_seconds": 0, "enabled": False}
    return [
        SellerRecord(name=name, realm=realm, balance_msat=msat, **terms)
        for name, realm, msat in earned
        if (name, realm) not in known
    ]
