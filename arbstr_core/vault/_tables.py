"""The tables of money. Amounts are integer msat, times Unix milliseconds.

Rows that only grow have ever-growing keys, so that a call writes to the right edge of each tree and never costs more
because of history. Wide rows (holds, receipts) have an integer key of their own; narrow ones live in their key.
Kinds are open, since SQLite cannot widen a CHECK without making the table anew.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData()
_NARROW: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}
_WIDE: dict[str, Any] = {"sqlite_strict": True}


def _needed(name: str, kind: type[sa.types.TypeEngine[Any]], *more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=False)


ACCOUNT = sa.Table(
    "account",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    _needed("name", sa.Text),
    _needed("realm", sa.Text),
    _needed("kind", sa.Text),
    _needed("constrained", sa.Integer, sa.CheckConstraint("constrained IN (0, 1)")),
    _needed("posted_msat", sa.Integer),
    _needed("held_msat", sa.Integer, sa.CheckConstraint("held_msat >= 0")),
    sa.UniqueConstraint("name", "realm"),
    sa.CheckConstraint("constrained = 0 OR posted_msat - held_msat >= 0", name="available"),
    # Only accounts with a constraint keep counters: the others are sums over entries, so that none of them is hot.
    sa.CheckConstraint("constrained = 1 OR (posted_msat = 0 AND held_msat = 0)", name="counters"),
    **_WIDE,
)

AGENT = sa.Table(
    "agent",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    _needed("name", sa.Text),
    _needed("realm", sa.Text),
    _needed("account_id", sa.Integer, sa.ForeignKey("account.id")),
    sa.Column("parent_id", sa.Text, sa.ForeignKey("agent.id")),
    _needed("enabled", sa.Integer, sa.CheckConstraint("enabled IN (0, 1)")),
    _needed("created_ms", sa.Integer),
    sa.UniqueConstraint("name"),
    **_NARROW,
)

TOKEN = sa.Table(
    "token",
    METADATA,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    _needed("agent_id", sa.Text, sa.ForeignKey("agent.id")),
    _needed("created_ms", sa.Integer),
    sa.Column("revoked_ms", sa.Integer),
    **_NARROW,
)
TOKEN_OF_AGENT = sa.Index("token_of_agent", TOKEN.c.agent_id)

LIMITS = sa.Table(
    "limits",
    METADATA,
    sa.Column("agent_id", sa.Text, sa.ForeignKey("agent.id"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("max_charge_msat", sa.Integer, sa.CheckConstraint("max_charge_msat >= 0")),
    sa.Column("daily_msat", sa.Integer, sa.CheckConstraint("daily_msat >= 0")),
    _needed("created_ms", sa.Integer),
    **_NARROW,
)

BUCKET = sa.Table(
    "bucket",
    METADATA,
    sa.Column("agent_id", sa.Text, sa.ForeignKey("agent.id"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("window_start_ms", sa.Integer, primary_key=True),
    _needed("used_msat", sa.Integer, sa.CheckConstraint("used_msat >= 0")),
    **_NARROW,
)

HOLD = sa.Table(
    "hold",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True),
    _needed("id", sa.Text),
    _needed("agent_id", sa.Text, sa.ForeignKey("agent.id")),
    _needed("account_id", sa.Integer, sa.ForeignKey("account.id")),
    _needed("kind", sa.Text),
    _needed("amount_msat", sa.Integer, sa.CheckConstraint("amount_msat >= 0")),
    _needed("state", sa.Text, sa.CheckConstraint("state IN ('held', 'settled', 'released')")),
    _needed("boot_id", sa.Text),
    _needed("window_start_ms", sa.Integer),
    _needed("model", sa.Text),
    _needed("candidates", sa.Text),
    # How many of the candidates the hold covers, and the digest of the request: the same id again must say the same.
    _needed("granted", sa.Integer, sa.CheckConstraint("granted > 0")),
    _needed("digest", sa.Text),
    _needed("created_ms", sa.Integer),
    sa.Column("dispatched_ms", sa.Integer),
    sa.Column("ended_ms", sa.Integer),
    sa.UniqueConstraint("id"),
    sa.CheckConstraint("(state = 'held') = (ended_ms IS NULL)", name="ended"),
    **_WIDE,
)
OPEN_HOLD = sa.Index("open_hold", HOLD.c.boot_id, sqlite_where=HOLD.c.state == "held")

TRANSFER = sa.Table(
    "transfer",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True),
    _needed("kind", sa.Text),
    _needed("realm", sa.Text),
    sa.Column("hold_id", sa.Text, sa.ForeignKey("hold.id")),
    sa.Column("key", sa.Text),
    _needed("amount_msat", sa.Integer, sa.CheckConstraint("amount_msat >= 0")),
    sa.Column("refers_to", sa.Integer, sa.ForeignKey("transfer.seq")),
    _needed("at_ms", sa.Integer),
    _needed("memo", sa.Text),
    sa.CheckConstraint("(hold_id IS NULL) <> (key IS NULL)", name="one_cause"),
    sa.CheckConstraint("kind <> 'release' OR amount_msat = 0", name="release_is_empty"),
    **_WIDE,
)
TRANSFER_OF_HOLD = sa.Index(
    "transfer_of_hold", TRANSFER.c.hold_id, unique=True, sqlite_where=TRANSFER.c.hold_id.is_not(None)
)
TRANSFER_KEY = sa.Index("transfer_key", TRANSFER.c.key, unique=True, sqlite_where=TRANSFER.c.key.is_not(None))

ENTRY = sa.Table(
    "entry",
    METADATA,
    sa.Column("transfer_seq", sa.Integer, sa.ForeignKey("transfer.seq"), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    _needed("account_id", sa.Integer, sa.ForeignKey("account.id")),
    _needed("side", sa.Text, sa.CheckConstraint("side IN ('debit', 'credit')")),
    _needed("amount_msat", sa.Integer, sa.CheckConstraint("amount_msat > 0")),
    **_NARROW,
)

RECEIPT = sa.Table(
    "receipt",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True),
    _needed("id", sa.Text),
    _needed("agent_id", sa.Text, sa.ForeignKey("agent.id")),
    _needed("body", sa.Text),
    _needed("at_ms", sa.Integer),
    sa.UniqueConstraint("id"),
    **_WIDE,
)

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True),
    _needed("epoch", sa.Integer),
    _needed("format", sa.Integer),
    _needed("at_ms", sa.Integer),
    _needed("action", sa.Text),
    _needed("subject", sa.Text),
    _needed("data", sa.Text),
    _needed("hash", sa.Text),
    **_WIDE,
)
