"""The SQL of the money path: what a transaction loads at its start and writes at its end, many rows a statement."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Bulk, Statement, bulk_insert, constant, field, one_row, rows_of
from arbstr_core.vault import _tables as t


class Standing(msgspec.Struct, array_like=True):
    """An agent as the transaction sees it: loaded once, then kept up to date in memory."""

    id: str
    realm: str
    account: int
    enabled: int
    posted: int
    held: int
    limits_version: int | None
    max_charge: int | None
    daily: int | None
    used: int | None
    """msat of today's daily limit; None where today has no bucket yet"""


class Held(msgspec.Struct, array_like=True):
    """A hold as the transaction sees it."""

    seq: int
    id: str
    agent: str
    account: int
    realm: str
    amount: int
    state: str
    window: int
    granted: int
    digest: str
    charged: int


class Account(msgspec.Struct, frozen=True, array_like=True):
    """What posting needs to know of an account."""

    id: int
    kind: str
    constrained: int


STANDINGS = msgspec.json.Decoder(list[Standing])
HOLDS = msgspec.json.Decoder(list[Held])

HOLD_COLUMNS = (
    *("seq", "id", "agent_id", "account_id", "kind", "amount_msat", "state", "boot_id", "window_start_ms", "model"),
    *("candidates", "granted", "digest", "created_ms"),
)
TRANSFER_COLUMNS = ("seq", "kind", "realm", "hold_id", "key", "amount_msat", "refers_to", "at_ms", "memo")
ENTRY_COLUMNS = ("transfer_seq", "n", "account_id", "side", "amount_msat")
RECEIPT_COLUMNS = ("seq", "id", "agent_id", "body", "at_ms")
AUDIT_COLUMNS = ("seq", "epoch", "format", "at_ms", "action", "subject", "data", "hash")


def latest_limits() -> sa.ColumnElement[bool]:
    """Joins an agent to its newest limits."""
    newest = t.LIMITS.alias("newest")
    version = sa.select(sa.func.max(newest.c.version)).where(newest.c.agent_id == t.AGENT.c.id).scalar_subquery()
    return sa.and_(t.LIMITS.c.agent_id == t.AGENT.c.id, t.LIMITS.c.version == version)


def _load_standings() -> Statement:
    ids = rows_of("ids")
    today = sa.and_(
        t.BUCKET.c.agent_id == t.AGENT.c.id,
        t.BUCKET.c.kind == constant("daily"),
        t.BUCKET.c.window_start_ms == sa.bindparam("window"),
    )
    columns = (t.AGENT.c.id, t.AGENT.c.realm, t.ACCOUNT.c.id, t.AGENT.c.enabled)
    counters = (t.ACCOUNT.c.posted_msat, t.ACCOUNT.c.held_msat)
    limits = (t.LIMITS.c.version, t.LIMITS.c.max_charge_msat, t.LIMITS.c.daily_msat, t.BUCKET.c.used_msat)
    return Statement(
        sa.select(one_row(*columns, *counters, *limits)).select_from(
            ids.join(t.AGENT, t.AGENT.c.id == ids.c.value)
            .join(t.ACCOUNT, t.ACCOUNT.c.id == t.AGENT.c.account_id)
            .outerjoin(t.LIMITS, latest_limits())
            .outerjoin(t.BUCKET, today)
        )
    )


def _load_holds() -> Statement:
    ids = rows_of("ids")
    hold = t.HOLD.c
    what = (hold.seq, hold.id, hold.agent_id, hold.account_id, t.ACCOUNT.c.realm, hold.amount_msat, hold.state)
    more = (hold.window_start_ms, hold.granted, hold.digest, sa.func.coalesce(t.TRANSFER.c.amount_msat, constant(0)))
    return Statement(
        sa.select(one_row(*what, *more)).select_from(
            ids.join(t.HOLD, hold.id == ids.c.value)
            .join(t.ACCOUNT, t.ACCOUNT.c.id == hold.account_id)
            .outerjoin(t.TRANSFER, t.TRANSFER.c.hold_id == hold.id)
        )
    )


def _load_ends() -> Statement:
    def last(table: sa.Table) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.select(sa.func.max(table.c.seq)).scalar_subquery(), constant(0))

    end = sa.select(sa.func.max(t.AUDIT.alias("ends").c.seq)).scalar_subquery()
    newest = sa.select(t.AUDIT.c.hash).where(t.AUDIT.c.seq == end).scalar_subquery()
    return Statement(sa.select(last(t.HOLD), last(t.TRANSFER), last(t.RECEIPT), last(t.AUDIT), newest))


def _end_holds() -> Bulk:
    rows = rows_of("rows")
    update = sa.update(t.HOLD).where(t.HOLD.c.seq == field(rows, 0))
    return Bulk(update.values(state=field(rows, 1), ended_ms=field(rows, 2)))


def _move_counters() -> Bulk:
    rows = rows_of("rows")
    account = t.ACCOUNT.c
    moved = {
        account.posted_msat: account.posted_msat + field(rows, 1),
        account.held_msat: account.held_msat + field(rows, 2),
    }
    return Bulk(sa.update(t.ACCOUNT).where(account.id == field(rows, 0)).values(moved))


def _use_buckets() -> Bulk:
    rows = rows_of("rows")
    bucket = t.BUCKET.c
    own = sa.and_(
        bucket.agent_id == field(rows, 0), bucket.kind == constant("daily"), bucket.window_start_ms == field(rows, 1)
    )
    return Bulk(sa.update(t.BUCKET).where(own).values({bucket.used_msat: bucket.used_msat + field(rows, 2)}))


LOAD_STANDINGS = _load_standings()
LOAD_HOLDS = _load_holds()
LOAD_ENDS = _load_ends()
FIND_ACCOUNT = Statement(
    sa.select(t.ACCOUNT.c.id, t.ACCOUNT.c.kind, t.ACCOUNT.c.constrained).where(
        t.ACCOUNT.c.name == sa.bindparam("name"), t.ACCOUNT.c.realm == sa.bindparam("realm")
    )
)
FIND_TRANSFER = Statement(
    sa.select(t.TRANSFER.c.amount_msat, t.TRANSFER.c.memo).where(t.TRANSFER.c.key == sa.bindparam("key"))
)
COUNTERS = Statement(
    sa.select(t.ACCOUNT.c.posted_msat - t.ACCOUNT.c.held_msat).where(t.ACCOUNT.c.id == sa.bindparam("id"))
)
LAST_ACCOUNT = Statement(sa.select(sa.func.coalesce(sa.func.max(t.ACCOUNT.c.id), constant(0))))
ORPHANS = Statement(
    sa.select(t.HOLD.c.id)
    .where(t.HOLD.c.state == constant("held"), t.HOLD.c.boot_id != sa.bindparam("boot_id"))
    .limit(sa.bindparam("most", type_=sa.Integer))
    .offset(constant(0))
)
OPEN_ACCOUNT = bulk_insert(t.ACCOUNT, ("id", "name", "realm", "kind", "constrained", "posted_msat", "held_msat"))
INSERT_HOLDS = bulk_insert(t.HOLD, HOLD_COLUMNS)
INSERT_BUCKETS = bulk_insert(t.BUCKET, ("agent_id", "kind", "window_start_ms", "used_msat"))
INSERT_TRANSFERS = bulk_insert(t.TRANSFER, TRANSFER_COLUMNS)
INSERT_ENTRIES = bulk_insert(t.ENTRY, ENTRY_COLUMNS)
INSERT_RECEIPTS = bulk_insert(t.RECEIPT, RECEIPT_COLUMNS)
INSERT_AUDIT = bulk_insert(t.AUDIT, AUDIT_COLUMNS)
END_HOLDS = _end_holds()
MOVE_COUNTERS = _move_counters()
USE_BUCKETS = _use_buckets()
