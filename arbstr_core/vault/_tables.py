"""The tables of money. Amounts are integer msat, times Unix milliseconds.

Rows that only grow have ever-growing keys, so that a call writes to the right edge of each tree and never costs more
because of history; what belongs to one account is found by walking back from its newest row (`previous_seq`), not by an
index, which would have to be written in as many places as there are accounts. Wide rows have an integer key of their
own; narrow ones live in their key. Kinds are open, since SQLite cannot widen a CHECK without making the table anew.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from arbstr_core.storage import BYTES, INTEGER, TEXT, narrow, partial_index, wide

METADATA = sa.MetaData()
PENDING = sa.MetaData()
"""What only PostgreSQL has"""


def _needed(name: str, kind: sa.types.TypeEngine[Any], *more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=False)


def _key(name: str, kind: sa.types.TypeEngine[Any], *more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, primary_key=True, autoincrement=False)


def _amount(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, INTEGER, sa.CheckConstraint(f"{name} >= 0"), nullable=nullable)


def _switch(name: str) -> sa.Column[Any]:
    return _needed(name, INTEGER, sa.CheckConstraint(f"{name} IN (0, 1)"))


ACCOUNT = wide(
    "account",
    METADATA,
    _key("id", INTEGER),
    _needed("name", TEXT),
    _needed("realm", TEXT),
    _needed("kind", TEXT),
    _switch("constrained"),
    _needed("posted_msat", INTEGER),
    _amount("held_msat"),
    # The newest row of its chains: see `previous_seq` of hold and entry. 0 for none.
    _needed("last_hold", INTEGER),
    _needed("last_transfer", INTEGER),
    sa.UniqueConstraint("name", "realm"),
    sa.CheckConstraint("constrained = 0 OR posted_msat - held_msat >= 0", name="available"),
    # Only accounts with a constraint keep counters: the others are sums over entries, so that none of them is hot.
    sa.CheckConstraint("constrained = 1 OR (posted_msat = 0 AND held_msat = 0)", name="counters"),
)

AGENT = narrow(
    "agent",
    METADATA,
    _key("id", TEXT),
    _needed("name", TEXT),
    _needed("realm", TEXT),
    _needed("account_id", INTEGER, sa.ForeignKey("account.id")),
    sa.Column("parent_id", TEXT, sa.ForeignKey("agent.id")),
    _needed("depth", INTEGER, sa.CheckConstraint("depth BETWEEN 1 AND 4")),
    _switch("enabled"),
    _needed("created_ms", INTEGER),
    sa.UniqueConstraint("name"),
    sa.CheckConstraint("(parent_id IS NULL) = (depth = 1)", name="root"),
)
CHILDREN = partial_index("child_of_agent", AGENT.c.parent_id, where=AGENT.c.parent_id.is_not(None))

TOKEN = narrow(
    "token",
    METADATA,
    _key("hash", BYTES),
    _needed("agent_id", TEXT, sa.ForeignKey("agent.id")),
    _needed("created_ms", INTEGER),
    sa.Column("revoked_ms", INTEGER),
)
TOKEN_OF_AGENT = sa.Index("token_of_agent", TOKEN.c.agent_id)

LIMITS = narrow(
    "limits",
    METADATA,
    _key("agent_id", TEXT, sa.ForeignKey("agent.id")),
    _key("version", INTEGER, sa.CheckConstraint("version > 0")),
    _amount("max_charge_msat", nullable=True),
    _amount("daily_msat", nullable=True),
    # All other limits, as JSON; NULL where none is set, as with most agents.
    sa.Column("more", TEXT),
    _needed("created_ms", INTEGER),
)

BUCKET = narrow(
    "bucket",
    METADATA,
    _key("agent_id", TEXT, sa.ForeignKey("agent.id")),
    _key("kind", TEXT),
    _key("window_start_ms", INTEGER),
    # msat, or a count where the kind counts.
    _needed("used", INTEGER, sa.CheckConstraint("used >= 0")),
    guarded=True,
)

HOLD = wide(
    "hold",
    METADATA,
    _key("seq", INTEGER),
    _needed("id", TEXT),
    _needed("agent_id", TEXT, sa.ForeignKey("agent.id")),
    _needed("account_id", INTEGER, sa.ForeignKey("account.id")),
    _needed("kind", TEXT),
    _amount("amount_msat"),
    _needed("state", TEXT, sa.CheckConstraint("state IN ('held', 'settled', 'released')")),
    _needed("boot_id", TEXT),
    # The day of the agent's limit that it counts in, for ever; and how many more windows there are, in hold_window.
    _needed("window_start_ms", INTEGER),
    _needed("windows", INTEGER),
    _needed("model", TEXT),
    _needed("candidates", TEXT),
    # How many of the candidates the hold covers.
    _needed("granted", INTEGER, sa.CheckConstraint("granted > 0")),
    # The hold of the same account before this one; 0 for none.
    _needed("previous_seq", INTEGER),
    sa.Column("approval_id", TEXT),
    _needed("created_ms", INTEGER),
    # What follows changes while it is held: what a heartbeat saw.
    sa.Column("dispatched_ms", INTEGER),
    _amount("seen_msat"),
    sa.Column("seen_ms", INTEGER),
    sa.Column("ended_ms", INTEGER),
    sa.UniqueConstraint("id"),
    sa.CheckConstraint("(state = 'held') = (ended_ms IS NULL)", name="ended"),
    sa.CheckConstraint("seen_msat <= amount_msat", name="seen"),
    guarded=True,
)
OPEN_HOLD = partial_index("open_hold", HOLD.c.account_id, where=HOLD.c.state == "held")

HOLD_WINDOW = narrow(
    "hold_window",
    METADATA,
    _key("hold_seq", INTEGER, sa.ForeignKey("hold.seq")),
    _key("agent_id", TEXT, sa.ForeignKey("agent.id")),
    _key("kind", TEXT),
    _needed("window_start_ms", INTEGER),
    guarded=True,
)

TRANSFER = wide(
    "transfer",
    METADATA,
    _key("seq", INTEGER),
    _needed("kind", TEXT),
    _needed("realm", TEXT),
    sa.Column("hold_seq", INTEGER, sa.ForeignKey("hold.seq")),
    sa.Column("key", TEXT),
    _amount("amount_msat"),
    sa.Column("refers_to", INTEGER, sa.ForeignKey("transfer.seq")),
    _needed("at_ms", INTEGER),
    _needed("memo", TEXT),
    sa.CheckConstraint("(hold_seq IS NULL) <> (key IS NULL)", name="one_cause"),
    sa.CheckConstraint("kind <> 'release' OR amount_msat = 0", name="release_is_empty"),
    guarded=True,
)
TRANSFER_OF_HOLD = partial_index(
    "transfer_of_hold", TRANSFER.c.hold_seq, unique=True, where=TRANSFER.c.hold_seq.is_not(None)
)
CORRECTION_OF = partial_index("correction_of", TRANSFER.c.refers_to, where=TRANSFER.c.refers_to.is_not(None))
TRANSFER_KEY = partial_index("transfer_key", TRANSFER.c.key, unique=True, where=TRANSFER.c.key.is_not(None))

ENTRY = narrow(
    "entry",
    METADATA,
    _key("transfer_seq", INTEGER, sa.ForeignKey("transfer.seq")),
    _key("n", INTEGER),
    _needed("account_id", INTEGER, sa.ForeignKey("account.id")),
    _needed("side", TEXT, sa.CheckConstraint("side IN ('debit', 'credit')")),
    _needed("amount_msat", INTEGER, sa.CheckConstraint("amount_msat > 0")),
    # The transfer before this one with an entry of the same account; 0 for none, NULL for accounts without counters.
    sa.Column("previous_seq", INTEGER),
    guarded=True,
)

RECEIPT = wide(
    "receipt",
    METADATA,
    _key("hold_seq", INTEGER, sa.ForeignKey("hold.seq")),
    _needed("body", TEXT),
    _needed("at_ms", INTEGER),
    guarded=True,
)

CLAIM = narrow(
    "claim",
    METADATA,
    # Ten minutes to a slot, so that old ones are dropped together.
    _key("slot", INTEGER),
    _key("account_id", INTEGER, sa.ForeignKey("account.id")),
    # HMAC of the endpoint and the caller's Idempotency-Key, or of the endpoint and the body.
    _key("digest", BYTES),
    _needed("hold_id", TEXT),
    # HMAC of the body; only with a key of the caller's own.
    sa.Column("body", BYTES),
    _needed("at_ms", INTEGER),
)

REPLAY = wide(
    "replay",
    METADATA,
    _key("hold_seq", INTEGER, sa.ForeignKey("hold.seq")),
    # The answer (status, headers, body), sealed with the master key.
    _needed("sealed", BYTES),
    _needed("at_ms", INTEGER),
)

APPROVAL = narrow(
    "approval",
    METADATA,
    _key("id", TEXT),
    _needed("agent_id", TEXT, sa.ForeignKey("agent.id")),
    _needed("account_id", INTEGER, sa.ForeignKey("account.id")),
    _needed("kind", TEXT),
    # HMAC of what is asked for: the same again is the same approval.
    _needed("digest", BYTES),
    _amount("ceiling_msat"),
    _needed("models", TEXT),
    _needed("limits_version", INTEGER),
    _needed("state", TEXT, sa.CheckConstraint("state IN ('pending', 'granted', 'denied', 'expired', 'held', 'used')")),
    _needed("created_ms", INTEGER),
    _needed("expires_ms", INTEGER),
    sa.Column("decided_ms", INTEGER),
    sa.Column("decided_by", TEXT),
    sa.Column("hold_id", TEXT),
    sa.CheckConstraint("(decided_ms IS NULL) = (decided_by IS NULL)", name="decided"),
    sa.CheckConstraint("state IN ('pending', 'expired') OR decided_by IS NOT NULL", name="decided_by_someone"),
)
APPROVAL_OF = partial_index(
    "approval_of",
    APPROVAL.c.account_id,
    APPROVAL.c.digest,
    where=APPROVAL.c.state.in_(("pending", "granted", "held")),
    unique=True,
)

OUTBOX = wide(
    "outbox",
    METADATA,
    sa.Column("seq", INTEGER, sa.Identity(always=True), primary_key=True),
    _needed("event", TEXT),
    _needed("body", TEXT),
    _needed("created_ms", INTEGER),
    _needed("due_ms", INTEGER),
    _needed("attempts", INTEGER),
    sa.Column("delivered_ms", INTEGER),
    _needed("last_error", TEXT),
)
UNDELIVERED = partial_index("undelivered", OUTBOX.c.seq, where=OUTBOX.c.delivered_ms.is_(None))

ALERT = narrow(
    "alert",
    METADATA,
    _key("agent_id", TEXT, sa.ForeignKey("agent.id")),
    _key("kind", TEXT),
    _needed("last_ms", INTEGER),
)

BOOT = narrow(
    "boot",
    METADATA,
    _key("id", TEXT),
    _needed("started_ms", INTEGER),
    _needed("lease_until_ms", INTEGER),
    sa.Column("ended_ms", INTEGER),
)

JOB = narrow(
    "job",
    METADATA,
    # One process at a time does each: sweeper, sealer, sender.
    _key("name", TEXT),
    _needed("boot_id", TEXT),
    _needed("until_ms", INTEGER),
    # Grows with each new holder: what an old one still writes is refused.
    _needed("fence", INTEGER),
)

AUDIT = wide(
    "audit",
    METADATA,
    _key("seq", INTEGER),
    _needed("epoch", INTEGER),
    _needed("format", INTEGER),
    _needed("at_ms", INTEGER),
    _needed("actor", TEXT),
    _needed("action", TEXT),
    _needed("subject", TEXT),
    _needed("data", TEXT),
    _needed("hash", BYTES),
)
# The ledger's own rows come one with each transaction, and nobody looks for those by subject.
AUDIT_SUBJECT = partial_index("audit_subject", AUDIT.c.subject, AUDIT.c.seq, where=AUDIT.c.action != "ledger")

CHECKPOINT = wide(
    "checkpoint",
    METADATA,
    _key("audit_seq", INTEGER),
    _needed("at_ms", INTEGER),
    _needed("body", TEXT),
    _needed("key_id", TEXT),
    _needed("signature", BYTES),
)

AUDIT_KEY = narrow(
    "audit_key",
    METADATA,
    # The newest signs; those before it have signed what is older.
    _key("n", INTEGER, sa.CheckConstraint("n > 0")),
    _needed("public_key", BYTES),
    _needed("adopted_ms", INTEGER),
)

AUDIT_PENDING = wide(
    "audit_pending",
    PENDING,
    sa.Column("id", INTEGER, sa.Identity(always=True), primary_key=True),
    _needed("at_ms", INTEGER),
    _needed("actor", TEXT),
    _needed("action", TEXT),
    _needed("subject", TEXT),
    _needed("data", TEXT),
)
