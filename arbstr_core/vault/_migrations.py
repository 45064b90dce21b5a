"""How the tables of money are made, and the guards that keep what they hold from being rewritten."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Dialect, Guard, Migration, Schema, append_only, create, fixed, kept
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault import _tables as t
from arbstr_core.vault._bounds import bounds
from arbstr_core.vault._buckets import FORGOTTEN, KEPT_MS
from arbstr_core.vault._operator_tables import LIVE_OPERATOR, OPERATOR, SESSION, operator_guards
from arbstr_core.vault._rail_guards import rail_guards

_IN_ORDER = (
    *(t.ACCOUNT, t.AGENT, t.TOKEN, t.LIMITS, t.BUCKET, t.HOLD, t.HOLD_WINDOW, t.TRANSFER, t.ENTRY, t.RECEIPT),
    *(t.CLAIM, t.REPLAY, t.APPROVAL, t.OUTBOX, t.ALERT, t.BOOT, t.JOB, t.AUDIT, t.CHECKPOINT),
)
_INDEXES = (
    *(t.CHILDREN, t.TOKEN_OF_AGENT, t.OPEN_HOLD, t.TRANSFER_OF_HOLD, t.TRANSFER_KEY, t.CORRECTION_OF),
    *(t.APPROVAL_OF, t.UNDELIVERED, t.AUDIT_SUBJECT),
)
_APPEND_ONLY = (t.LIMITS, t.HOLD_WINDOW, t.TRANSFER, t.ENTRY, t.RECEIPT, t.AUDIT, t.CHECKPOINT)
_APPEND_ONLY_SINCE = {2: (t.AUDIT_KEY,)}
"""by the migration that made them"""
_RAIL_TABLES = (r.REQUEST, r.DEPOSIT, r.PAYMENT, r.PLACE, r.FROZEN, r.SOLVENCY, r.SELLER)
_RAIL_INDEXES = (
    *(r.REQUEST_REFERENCE, r.OPEN_REQUEST, r.REQUEST_OF_AGENT, r.DEPOSIT_OF_AGENT, r.PAYMENT_REFERENCE),
    *(r.PAYMENT_KEY, r.DUE_PAYMENT, r.PAYMENT_OF_OWNER),
)
_KEPT = (t.ACCOUNT, t.AGENT, t.TOKEN, t.BUCKET, t.HOLD, t.APPROVAL)

# Columns that never change, of rows that do.
_FIXED = (
    (t.ACCOUNT, ("id", "name", "realm", "kind", "constrained")),
    (t.AGENT, ("id", "name", "realm", "account_id", "parent_id", "depth", "created_ms")),
    (t.TOKEN, ("hash", "agent_id", "created_ms")),
    (t.BUCKET, ("agent_id", "kind", "window_start_ms")),
    (
        t.APPROVAL,
        ("id", "agent_id", "account_id", "kind", "digest", "ceiling_msat", "models", "limits_version", "created_ms"),
    ),
)
_BUCKETS_GO = Guard(
    name="bucket_no_delete",
    table="bucket",
    event="DELETE",
    message="bucket: days are never deleted, and of what is shorter the last two days are kept",
    when=f"OLD.kind NOT IN ({', '.join(repr(kind) for kind in FORGOTTEN)}) OR OLD.window_start_ms >= (SELECT"
    f" max(b.window_start_ms) FROM bucket b WHERE b.agent_id = OLD.agent_id AND b.kind = OLD.kind) - {KEPT_MS}",
)
_FIXED_OF_HOLD = (
    *("seq", "id", "agent_id", "account_id", "kind", "amount_msat", "boot_id", "window_start_ms", "windows"),
    *("model", "candidates", "granted", "previous_seq", "approval_id", "created_ms"),
)


def schema() -> Schema:
    """The migrations of this room."""
    first = Migration(
        version=1,
        name="agents, holds, transfers, audit",
        sqlite=(*create(Dialect.SQLITE, *_IN_ORDER, *_INDEXES), *_put_up(Dialect.SQLITE)),
        postgresql=(
            *create(Dialect.POSTGRESQL, *_IN_ORDER, t.AUDIT_PENDING, *_INDEXES),
            *(f"CREATE SEQUENCE {name}" for name in ("hold_numbers", "transfer_numbers", "account_numbers")),
            *_put_up(Dialect.POSTGRESQL),
        ),
    )
    second = Migration(
        version=2,
        name="the audit key in force",
        sqlite=(*create(Dialect.SQLITE, t.AUDIT_KEY), *_put_up(Dialect.SQLITE, 2)),
        postgresql=(*create(Dialect.POSTGRESQL, t.AUDIT_KEY), *_put_up(Dialect.POSTGRESQL, 2)),
    )
    third = Migration(
        version=3,
        name="requests, deposits, payments",
        sqlite=(*create(Dialect.SQLITE, *_RAIL_TABLES, *_RAIL_INDEXES), *_put_up(Dialect.SQLITE, 3)),
        postgresql=(*create(Dialect.POSTGRESQL, *_RAIL_TABLES, *_RAIL_INDEXES), *_put_up(Dialect.POSTGRESQL, 3)),
    )
    fourth = Migration(
        version=4,
        name="minutes that are over are forgotten",
        sqlite=("DROP TRIGGER bucket_no_delete", *_BUCKETS_GO.made(Dialect.SQLITE)),
        postgresql=(
            "DROP TRIGGER bucket_no_delete ON bucket",
            "DROP FUNCTION bucket_no_delete()",
            *_BUCKETS_GO.made(Dialect.POSTGRESQL),
        ),
    )
    fifth = Migration(
        version=5,
        name="operators and their sessions",
        sqlite=(*create(Dialect.SQLITE, OPERATOR, LIVE_OPERATOR, SESSION), *_put_up(Dialect.SQLITE, 5)),
        postgresql=(*create(Dialect.POSTGRESQL, OPERATOR, LIVE_OPERATOR, SESSION), *_put_up(Dialect.POSTGRESQL, 5)),
    )
    sixth = Migration(
        version=6,
        name="bounds of processes that are not the treasury",
        sqlite=(),
        postgresql=tuple(statement for bound in bounds() for statement in bound.made()),
    )
    return Schema(room="vault", migrations=(first, second, third, fourth, fifth, sixth))


def _put_up(dialect: Dialect, version: int = 1) -> tuple[str, ...]:
    made = _first_guards(dialect) if version == 1 else _later_guards(version)
    return tuple(statement for guard in made for statement in guard.made(dialect))


def guards(dialect: Dialect) -> tuple[Guard, ...]:
    """Every guard; `verify` looks for each, word for word."""
    made = (*_first_guards(dialect), *(guard for version in (2, 3, 5) for guard in _later_guards(version)))
    return (*(guard for guard in made if guard.name != _BUCKETS_GO.name), _BUCKETS_GO)


def _later_guards(version: int) -> tuple[Guard, ...]:
    if version == 3:
        return rail_guards()
    if version == 5:
        return operator_guards()
    return tuple(guard for table in _APPEND_ONLY_SINCE[version] for guard in append_only(table))


def _first_guards(dialect: Dialect) -> tuple[Guard, ...]:
    if dialect is Dialect.SQLITE:
        return _guards()
    # What waits for the sealer goes row by row, and never changes.
    waiting = (guard for guard in append_only(t.AUDIT_PENDING) if guard.event in ("UPDATE", "TRUNCATE"))
    return (*_guards(), *waiting)


def _guards() -> tuple[Guard, ...]:
    made = [guard for table in _APPEND_ONLY for guard in append_only(table)]
    made += [guard for table in _KEPT for guard in kept(table)]
    made += [fixed(table, *columns) for table, columns in _FIXED]
    by_name = {guard.name: guard for guard in (*made, *_own())}
    return tuple(by_name.values())


def _own() -> tuple[Guard, ...]:
    return (
        _entry_realm(),
        _charge_within_hold(),
        _hold_changes(),
        _refers(t.HOLD, "agent a ON a.id = fresh.agent_id AND a.account_id = fresh.account_id"),
        _refers(t.HOLD_WINDOW, "hold a ON a.seq = fresh.hold_seq"),
        _refers(t.RECEIPT, "hold a ON a.seq = fresh.hold_seq"),
        _refers(t.BUCKET, "agent a ON a.id = fresh.agent_id"),
        Guard(
            name="token_revoked",
            table="token",
            event="UPDATE",
            message="token: it is revoked",
            when="OLD.revoked_ms IS NOT NULL",
        ),
        Guard(
            name="approval_decided",
            table="approval",
            event="UPDATE",
            message="approval: it has been decided, or this does not follow, or an agent decides",
            when="OLD.state IN ('denied', 'expired', 'used')"
            " OR (OLD.state = 'pending' AND NEW.state IN ('held', 'used'))"
            " OR (OLD.state IN ('granted', 'held') AND NEW.state IN ('pending', 'denied'))"
            " OR (OLD.decided_ms IS NOT NULL"
            " AND (NEW.decided_ms IS DISTINCT FROM OLD.decided_ms OR NEW.decided_by IS DISTINCT FROM OLD.decided_by))"
            " OR EXISTS (SELECT 1 FROM agent WHERE id = NEW.decided_by)",
        ),
    )


def _entry_realm() -> Guard:
    """One guard for two: an entry of another realm, and one whose key is taken."""
    taken = next(guard for guard in kept(t.ENTRY) if guard.event == "INSERT")
    other = (
        "(SELECT realm FROM account WHERE id = NEW.account_id)"
        " IS DISTINCT FROM (SELECT realm FROM transfer WHERE seq = NEW.transfer_seq)"
    )
    fresh = (
        "SELECT 1 FROM fresh LEFT JOIN account a ON a.id = fresh.account_id"
        " LEFT JOIN transfer x ON x.seq = fresh.transfer_seq WHERE a.realm IS DISTINCT FROM x.realm"
    )
    return msgspec.structs.replace(
        taken,
        message="entry: the account is of another realm, or the key is taken",
        when=f"{other} OR {taken.when}",
        fresh=fresh,
    )


def _refers(table: sa.Table, other: str) -> Guard:
    """What a row refers to is there; on SQLite, where foreign keys say that, the key is free."""
    taken = next(guard for guard in kept(table) if guard.event == "INSERT")
    return msgspec.structs.replace(
        taken,
        message=f"{table.name}: what it refers to is not there, or the key is taken",
        fresh=f"SELECT 1 FROM fresh LEFT JOIN {other} WHERE a IS NULL",
    )


def _charge_within_hold() -> Guard:
    """One guard for two: a charge above its hold, and a transfer whose key is taken."""
    taken = next(guard for guard in kept(t.TRANSFER) if guard.event == "INSERT")
    fits = "h.state = 'held' AND h.amount_msat >="
    above = (
        "NEW.hold_seq IS NOT NULL AND NOT EXISTS"
        f" (SELECT 1 FROM hold h WHERE h.seq = NEW.hold_seq AND {fits} NEW.amount_msat)"
    )
    fresh = (
        "SELECT 1 FROM fresh WHERE hold_seq IS NOT NULL AND NOT EXISTS"
        f" (SELECT 1 FROM hold h WHERE h.seq = fresh.hold_seq AND {fits} fresh.amount_msat)"
    )
    return msgspec.structs.replace(
        taken,
        message="transfer: above its hold, or the hold has ended, or the key is taken",
        when=f"{above} OR {taken.when}",
        fresh=fresh,
    )


def _hold_changes() -> Guard:
    changed = fixed(t.HOLD, *_FIXED_OF_HOLD)
    return msgspec.structs.replace(
        changed,
        message="hold: it has ended, or this column never changes, or less was seen than before",
        when=f"OLD.state <> 'held' OR NEW.seen_msat < OLD.seen_msat OR {changed.when}",
        columns=(),
    )
