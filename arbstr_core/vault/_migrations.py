"""How the tables of money are made, and the triggers that keep what they hold from being rewritten."""

from __future__ import annotations

from arbstr_core.storage import (
    Migration,
    Schema,
    create_index,
    create_table,
    immutable,
    no_delete,
    no_insert_over,
    trigger,
)
from arbstr_core.vault import _tables as t

_IN_ORDER = (t.ACCOUNT, t.AGENT, t.TOKEN, t.LIMITS, t.BUCKET, t.HOLD, t.TRANSFER, t.ENTRY, t.RECEIPT, t.AUDIT)
_APPEND_ONLY = (t.LIMITS, t.TRANSFER, t.ENTRY, t.RECEIPT, t.AUDIT)
_KEPT = (t.ACCOUNT, t.AGENT, t.TOKEN, t.BUCKET, t.HOLD)
_INDEXES = (t.TOKEN_OF_AGENT, t.OPEN_HOLD, t.TRANSFER_OF_HOLD, t.TRANSFER_KEY)

# Columns of rows that may change, which themselves may not.
_FIXED = {
    "account": ("id", "name", "realm", "kind", "constrained"),
    "agent": ("id", "name", "realm", "account_id", "parent_id", "created_ms"),
    "token": ("hash", "agent_id", "created_ms"),
    "bucket": ("agent_id", "kind", "window_start_ms"),
}
_FIXED_OF_HOLD = (
    "seq",
    "id",
    "agent_id",
    "account_id",
    "kind",
    "amount_msat",
    "boot_id",
    "window_start_ms",
    "model",
    "candidates",
    "granted",
    "digest",
    "created_ms",
)


def schema() -> Schema:
    """The migrations of this room."""
    tables = tuple(create_table(table) for table in _IN_ORDER)
    indexes = tuple(create_index(index) for index in _INDEXES)
    first = Migration(version=1, name="agents, holds, transfers, audit", sqlite=tables + indexes + triggers())
    return Schema(room="vault", migrations=(first,))


def triggers() -> tuple[str, ...]:
    """Every trigger; `verify` looks for each, word for word."""
    append_only = [text for table in _APPEND_ONLY for text in immutable(table)]
    kept = [text for table in _KEPT for text in (no_delete(table), no_insert_over(table))]
    fixed = [
        trigger(f"{table}_fixed", "UPDATE", table, _changed(columns), f"{table}: this column never changes")
        for table, columns in _FIXED.items()
    ]
    return (*append_only, *kept, *fixed, *_guards())


def _changed(columns: tuple[str, ...]) -> str:
    return " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in columns)


def _guards() -> tuple[str, ...]:
    other_realm = (
        "(SELECT realm FROM account WHERE id = NEW.account_id)"
        " IS NOT (SELECT realm FROM transfer WHERE seq = NEW.transfer_seq)"
    )
    above_hold = (
        "NEW.hold_id IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM hold WHERE id = NEW.hold_id AND state = 'held' AND amount_msat >= NEW.amount_msat)"
    )
    return (
        trigger("entry_realm", "INSERT", "entry", other_realm, "entry: the account is of another realm"),
        trigger("hold_ended", "UPDATE", "hold", "OLD.state <> 'held'", "hold: it has ended"),
        trigger("hold_fixed", "UPDATE", "hold", _changed(_FIXED_OF_HOLD), "hold: this column never changes"),
        trigger(
            "charge_within_hold", "INSERT", "transfer", above_hold, "transfer: above its hold, or the hold has ended"
        ),
        trigger("token_revoked", "UPDATE", "token", "OLD.revoked_ms IS NOT NULL", "token: it is revoked"),
    )
