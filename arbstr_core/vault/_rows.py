"""The SQL of the money path: what a transaction loads at its start and writes at its end, many rows a statement."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from arbstr_core.storage import INTEGER, TEXT, Bulk, Load, Rows, Statement, bulk_insert, constant
from arbstr_core.vault import _tables as t


class Node(msgspec.Struct, array_like=True):
    """An agent as the transaction sees it, kept up to date in memory. A child has its root's account."""

    id: str
    parent: str | None
    realm: str
    account: int
    depth: int
    enabled: int
    limits_version: int | None
    max_charge: int | None
    daily: int | None
    more: str | None
    used: int | None
    """msat of the daily limit in today's UTC day; None where it has no bucket yet"""


class Purse(msgspec.Struct, array_like=True):
    """An account's counters as the transaction sees them."""

    account: int
    posted: int
    held: int
    last_hold: int
    last_transfer: int


class Held(msgspec.Struct, array_like=True):
    """A hold as the transaction sees it."""

    seq: int
    id: str
    agent: str
    account: int
    realm: str
    kind: str
    amount: int
    state: str
    window: int
    windows: int
    granted: int
    approval: str | None
    boot: str
    seen: int
    dispatched: int | None
    charged: int


class Account(msgspec.Struct, frozen=True, array_like=True):
    """What posting needs to know of an account."""

    id: int
    kind: str
    constrained: int


HOLD_SMALL = (
    *("seq", "id", "agent_id", "account_id", "kind", "amount_msat", "boot_id", "window_start_ms", "windows"),
    *("model", "granted", "previous_seq", "approval_id", "created_ms"),
)
"""What never changes of a hold, but `candidates`, which is large"""
HOLD_COLUMNS = (*HOLD_SMALL, "candidates", "state", "dispatched_ms", "seen_msat")
TRANSFER_COLUMNS = ("seq", "kind", "realm", "hold_seq", "key", "amount_msat", "refers_to", "at_ms", "memo")
ENTRY_COLUMNS = ("transfer_seq", "n", "account_id", "side", "amount_msat", "previous_seq")
AUDIT_COLUMNS = ("seq", "epoch", "format", "at_ms", "actor", "action", "subject", "data", "hash")


def latest_limits() -> sa.ColumnElement[bool]:
    """Joins an agent to its newest limits."""
    newest = t.LIMITS.alias("newest")
    version = sa.select(sa.func.max(newest.c.version)).where(newest.c.agent_id == t.AGENT.c.id).scalar_subquery()
    return sa.and_(t.LIMITS.c.agent_id == t.AGENT.c.id, t.LIMITS.c.version == version)


def _lock(*, by_name: bool) -> Statement:
    """The accounts that a transaction is about, locked in order of their number, so that two processes never wait for
    each other. With `by_name` also those with counters that have one of the names, in any realm. PostgreSQL only."""
    account = t.ACCOUNT.c

    def named(table: sa.Table, name: str) -> sa.Select[Any]:
        return sa.select(table.c.account_id).where(table.c.id == sa.any_(sa.bindparam(name, type_=ARRAY(TEXT))))

    more = sa.func.unnest(sa.bindparam("accounts", type_=ARRAY(INTEGER))).table_valued("id").render_derived()
    ids = [named(t.AGENT, "agents"), named(t.HOLD, "holds"), sa.select(more.c.id)]
    if by_name:
        own = t.ACCOUNT.alias("named").c
        given = sa.any_(sa.bindparam("names", type_=ARRAY(TEXT)))
        ids.append(sa.select(own.id).where(own.name == given, own.constrained == constant(1)))
    columns = (account.id, account.posted_msat, account.held_msat, account.last_hold, account.last_transfer)
    return Statement(sa.select(*columns).where(account.id.in_(sa.union(*ids))).order_by(account.id).with_for_update())


def _load_nodes(ids: Rows) -> sa.Select[Any]:
    today = sa.and_(
        t.BUCKET.c.agent_id == t.AGENT.c.id,
        t.BUCKET.c.kind == constant("day"),
        t.BUCKET.c.window_start_ms == sa.bindparam("window", type_=INTEGER),
    )
    agent, limits = t.AGENT.c, t.LIMITS.c
    columns = (agent.id, agent.parent_id, agent.realm, agent.account_id, agent.depth, agent.enabled)
    more = (limits.version, limits.max_charge_msat, limits.daily_msat, limits.more, t.BUCKET.c.used)
    return sa.select(*columns, *more).select_from(
        ids.table.join(t.AGENT, agent.id == ids[0]).outerjoin(t.LIMITS, latest_limits()).outerjoin(t.BUCKET, today)
    )


def _load_purses(ids: Rows) -> sa.Select[Any]:
    account = t.ACCOUNT.c
    columns = (account.id, account.posted_msat, account.held_msat, account.last_hold, account.last_transfer)
    return sa.select(*columns).select_from(ids.table.join(t.ACCOUNT, account.id == ids[0]))


def _load_holds(ids: Rows) -> sa.Select[Any]:
    hold = t.HOLD.c
    what = (hold.seq, hold.id, hold.agent_id, hold.account_id, t.ACCOUNT.c.realm, hold.kind, hold.amount_msat)
    more = (hold.state, hold.window_start_ms, hold.windows, hold.granted, hold.approval_id, hold.boot_id)
    charged = sa.func.coalesce(t.TRANSFER.c.amount_msat, constant(0))
    return sa.select(*what, *more, hold.seen_msat, hold.dispatched_ms, charged).select_from(
        ids.table.join(t.HOLD, hold.id == ids[0])
        .join(t.ACCOUNT, t.ACCOUNT.c.id == hold.account_id)
        .outerjoin(t.TRANSFER, t.TRANSFER.c.hold_seq == hold.seq)
    )


def _load_ends() -> Statement:
    def last(table: sa.Table) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.select(sa.func.max(table.c.seq)).scalar_subquery(), constant(0))

    end = sa.select(sa.func.max(t.AUDIT.alias("ends").c.seq)).scalar_subquery()
    newest = sa.select(t.AUDIT.c.hash).where(t.AUDIT.c.seq == end).scalar_subquery()
    return Statement(sa.select(last(t.HOLD), last(t.TRANSFER), last(t.AUDIT), newest))


def _end_holds(rows: Rows) -> sa.Update:
    return sa.update(t.HOLD).where(t.HOLD.c.seq == rows[0]).values(state=rows[1], ended_ms=rows[2])


def _move_counters(rows: Rows) -> sa.Update:
    account = t.ACCOUNT.c
    moved = {
        account.posted_msat: account.posted_msat + rows[1],
        account.held_msat: account.held_msat + rows[2],
        account.last_hold: rows[3],
        account.last_transfer: rows[4],
    }
    return sa.update(t.ACCOUNT).where(account.id == rows[0]).values(moved)


def _use_buckets(rows: Rows) -> sa.Update:
    bucket = t.BUCKET.c
    own = sa.and_(bucket.agent_id == rows[0], bucket.kind == rows[1], bucket.window_start_ms == rows[2])
    return sa.update(t.BUCKET).where(own).values({bucket.used: bucket.used + rows[3]})


LOCK = _lock(by_name=False)
LOCK_NAMED = _lock(by_name=True)
LOAD_NODES = Load(Node, (TEXT,), _load_nodes)
LOAD_PURSES = Load(Purse, (INTEGER,), _load_purses)
LOAD_HOLDS = Load(Held, (TEXT,), _load_holds)
LOAD_ENDS = _load_ends()
LOCK_OPENING = Statement(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(constant("arbstr accounts")))))
"""on PostgreSQL: one at a time opens an account that others may open, too"""
FIND_ACCOUNT = Statement(
    sa.select(t.ACCOUNT.c.id, t.ACCOUNT.c.kind, t.ACCOUNT.c.constrained).where(
        t.ACCOUNT.c.name == sa.bindparam("name"), t.ACCOUNT.c.realm == sa.bindparam("realm")
    )
)
FIND_TRANSFER = Statement(
    sa.select(t.TRANSFER.c.seq, t.TRANSFER.c.amount_msat, t.TRANSFER.c.memo).where(
        t.TRANSFER.c.key == sa.bindparam("key")
    )
)
FIND_REQUEST = Statement(
    sa.select(t.HOLD.c.agent_id, t.HOLD.c.model, t.HOLD.c.candidates).where(t.HOLD.c.id == sa.bindparam("id"))
)
LAST_ACCOUNT = Statement(sa.select(sa.func.coalesce(sa.func.max(t.ACCOUNT.c.id), constant(0))))
WINDOWS = Statement(
    sa.select(t.HOLD_WINDOW.c.agent_id, t.HOLD_WINDOW.c.kind, t.HOLD_WINDOW.c.window_start_ms).where(
        t.HOLD_WINDOW.c.hold_seq == sa.bindparam("seq")
    )
)
USED = Statement(
    sa.select(t.BUCKET.c.window_start_ms, t.BUCKET.c.used).where(
        t.BUCKET.c.agent_id == sa.bindparam("agent"),
        t.BUCKET.c.kind == sa.bindparam("kind"),
        t.BUCKET.c.window_start_ms >= sa.bindparam("since"),
    )
)
END_APPROVAL = Statement(
    sa.update(t.APPROVAL)
    .where(
        t.APPROVAL.c.id == sa.bindparam("approval"),
        t.APPROVAL.c.hold_id == sa.bindparam("under"),
        t.APPROVAL.c.state.in_([constant(state) for state in ("pending", "granted", "held")]),
    )
    .values(state=sa.bindparam("after"))
)
OPEN_OF_ACCOUNT = Statement(
    sa.select(t.HOLD.c.agent_id).where(
        t.HOLD.c.state == constant("held"), t.HOLD.c.account_id == sa.bindparam("account")
    )
)
PENDING_APPROVALS = Statement(
    sa.select(t.APPROVAL.c.agent_id).where(
        t.APPROVAL.c.account_id == sa.bindparam("account"),
        t.APPROVAL.c.state == constant("pending"),
        # Word for word as in the index.
        sa.text("state IN ('pending', 'granted', 'held')"),
    )
)
ORPHANS = Statement(
    sa.select(t.HOLD.c.id)
    .where(t.HOLD.c.state == constant("held"), t.HOLD.c.boot_id != sa.bindparam("boot_id"))
    .limit(sa.bindparam("most", type_=INTEGER))
    .offset(constant(0))
)
OPEN_ACCOUNT = bulk_insert(
    t.ACCOUNT,
    ("id", "name", "realm", "kind", "constrained", "posted_msat", "held_msat", "last_hold", "last_transfer"),
)
INSERT_HOLDS = bulk_insert(t.HOLD, HOLD_COLUMNS)
INSERT_WINDOWS = bulk_insert(t.HOLD_WINDOW, ("hold_seq", "agent_id", "kind", "window_start_ms"))
INSERT_BUCKETS = bulk_insert(t.BUCKET, ("agent_id", "kind", "window_start_ms", "used"))
INSERT_TRANSFERS = bulk_insert(t.TRANSFER, TRANSFER_COLUMNS)
INSERT_ENTRIES = bulk_insert(t.ENTRY, ENTRY_COLUMNS)
INSERT_RECEIPTS = bulk_insert(t.RECEIPT, ("hold_seq", "body", "at_ms"))
INSERT_AUDIT = bulk_insert(t.AUDIT, AUDIT_COLUMNS)
INSERT_PENDING = bulk_insert(t.AUDIT_PENDING, ("at_ms", "actor", "action", "subject", "data"))
END_HOLDS = Bulk((INTEGER, TEXT, INTEGER), _end_holds)
MOVE_COUNTERS = Bulk((INTEGER,) * 5, _move_counters)
USE_BUCKETS = Bulk((TEXT, TEXT, INTEGER, INTEGER), _use_buckets)


def numbers(sequence: str) -> Statement:
    """The next `most` numbers of a sequence; PostgreSQL only."""
    series = sa.func.generate_series(constant(1), sa.bindparam("most", type_=INTEGER)).table_valued("n")
    return Statement(sa.select(sa.func.nextval(constant(sequence))).select_from(series))


HOLD_NUMBERS = numbers("hold_numbers")
TRANSFER_NUMBERS = numbers("transfer_numbers")
ACCOUNT_NUMBERS = numbers("account_numbers")
