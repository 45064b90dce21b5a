"""The tables of money that moves over rails: what is asked for, what came in, what goes out, how each rail stands.

Amounts are integer msat, times Unix milliseconds. What is secret (tokens, preimages) is sealed before it gets here.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from arbstr_core.storage import BYTES, INTEGER, TEXT, narrow, partial_index, wide
from arbstr_core.vault._tables import METADATA

__all__ = ["DEPOSIT", "FROZEN", "METADATA", "PAYMENT", "PLACE", "REQUEST", "SELLER", "SOLVENCY"]


def _needed(name: str, kind: sa.types.TypeEngine[Any], *more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=False)


def _number() -> sa.Column[Any]:
    return sa.Column("seq", INTEGER, sa.Identity(always=True), primary_key=True)


def _amount(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, INTEGER, sa.CheckConstraint(f"{name} >= 0"), nullable=nullable)


def _one_of(name: str, *values: str) -> sa.Column[Any]:
    listed = ", ".join(f"'{value}'" for value in values)
    return _needed(name, TEXT, sa.CheckConstraint(f"{name} IN ({listed})"))


REQUEST = wide(
    "request",
    METADATA,
    _number(),
    _needed("id", TEXT),
    # invoice, token, reclaim: what a rail is asked to do. deposit, capital, call, payout, node: what comes of it.
    _needed("kind", TEXT),
    _needed("purpose", TEXT),
    _needed("realm", TEXT),
    _needed("rail", TEXT),
    sa.Column("agent_id", TEXT, sa.ForeignKey("agent.id")),
    # The payment whose token is taken back; the node whose money it is; the account of a single call.
    _needed("subject", TEXT),
    _amount("amount_msat"),
    _amount("fee_msat"),
    _needed("memo", TEXT),
    _needed("created_ms", INTEGER),
    # What a rail knows it by: an invoice's payment hash, a token's coins.
    sa.Column("reference", TEXT),
    sa.Column("text", TEXT),
    sa.Column("sealed", BYTES),
    _one_of("state", "asked", "open", "paid", "refused", "cancelled", "expired"),
    _needed("reason", TEXT),
    _needed("due_ms", INTEGER),
    _needed("tries", INTEGER),
    sa.Column("expires_ms", INTEGER),
    sa.Column("ended_ms", INTEGER),
    sa.UniqueConstraint("id"),
    sa.CheckConstraint("(state IN ('asked', 'open')) = (ended_ms IS NULL)", name="request_ended"),
)
REQUEST_REFERENCE = partial_index(
    "request_reference", REQUEST.c.rail, REQUEST.c.reference, unique=True, where=REQUEST.c.reference.is_not(None)
)
OPEN_REQUEST = partial_index("open_request", REQUEST.c.due_ms, where=REQUEST.c.state.in_(("asked", "open")))
REQUEST_OF_AGENT = sa.Index("request_of_agent", REQUEST.c.agent_id, REQUEST.c.seq)

DEPOSIT = wide(
    "deposit",
    METADATA,
    _number(),
    _needed("rail", TEXT),
    _needed("reference", TEXT),
    _needed("kind", TEXT),
    _needed("realm", TEXT),
    _needed("amount_msat", INTEGER, sa.CheckConstraint("amount_msat > 0")),
    _amount("fee_msat"),
    sa.Column("request_id", TEXT, sa.ForeignKey("request.id")),
    sa.Column("agent_id", TEXT, sa.ForeignKey("agent.id")),
    # Transfers are written at the end of a transaction.
    _needed("transfer_seq", INTEGER, sa.ForeignKey("transfer.seq", deferrable=True, initially="DEFERRED")),
    _needed("at_ms", INTEGER),
    # Once, whoever tells of it and however often.
    sa.UniqueConstraint("rail", "reference"),
)
DEPOSIT_OF_AGENT = sa.Index("deposit_of_agent", DEPOSIT.c.agent_id, DEPOSIT.c.seq)

PAYMENT = wide(
    "payment",
    METADATA,
    _number(),
    _needed("id", TEXT),
    # payout (an agent's), seller, topup, change.
    _needed("kind", TEXT),
    _needed("realm", TEXT),
    sa.Column("agent_id", TEXT, sa.ForeignKey("agent.id")),
    # Whose account pays: a root agent's id, a seller's name, a node's, a single call's.
    _needed("owner", TEXT),
    # The caller's own name for it: the same again is the same payment.
    sa.Column("key", TEXT),
    _needed("amount_msat", INTEGER, sa.CheckConstraint("amount_msat > 0")),
    _amount("fee_held_msat"),
    _needed("destination", TEXT),
    _needed("target", TEXT),
    _needed("reference", TEXT),
    # Rails that may pay it, in order; and, where the invoice is one of ours, the request that it belongs to.
    _needed("rails", TEXT),
    sa.Column("own_request", TEXT, sa.ForeignKey("request.id")),
    _needed("created_ms", INTEGER),
    # What follows changes.
    _one_of(
        "state",
        *("created", "reserved", "dispatching", "in_flight", "unknown", "succeeded", "failed", "rejected", "cancelled"),
    ),
    _needed("attempt", INTEGER, sa.CheckConstraint("attempt > 0")),
    _needed("rail", TEXT),
    _amount("fee_limit_msat"),
    _needed("reason", TEXT),
    # What each attempt came to, as JSON: its rail, and the evidence.
    _needed("story", TEXT),
    _needed("due_ms", INTEGER),
    _needed("tries", INTEGER),
    sa.Column("fence", INTEGER),
    sa.Column("sent_ms", INTEGER),
    sa.Column("ended_ms", INTEGER),
    _amount("fee_msat", nullable=True),
    sa.Column("proof", BYTES),
    sa.Column("token", BYTES),
    # Of a top-up: what the node made of it.
    sa.Column("handed", TEXT),
    sa.UniqueConstraint("id"),
    sa.CheckConstraint("fee_limit_msat <= fee_held_msat", name="fee_within_hold"),
    sa.CheckConstraint(
        "(state IN ('succeeded', 'failed', 'rejected', 'cancelled')) = (ended_ms IS NOT NULL)", name="payment_ended"
    ),
    sa.CheckConstraint("(state = 'succeeded') = (fee_msat IS NOT NULL)", name="payment_fee"),
    sa.CheckConstraint(
        "state NOT IN ('dispatching', 'in_flight', 'unknown', 'succeeded') OR sent_ms IS NOT NULL", name="payment_sent"
    ),
)
_MAY_HAVE_LEFT = ("created", "reserved", "dispatching", "in_flight", "unknown", "succeeded")
PAYMENT_REFERENCE = partial_index(
    "payment_reference",
    PAYMENT.c.realm,
    PAYMENT.c.reference,
    unique=True,
    where=PAYMENT.c.state.in_(_MAY_HAVE_LEFT),
)
PAYMENT_KEY = partial_index(
    "payment_key", PAYMENT.c.owner, PAYMENT.c.key, unique=True, where=PAYMENT.c.key.is_not(None)
)
DUE_PAYMENT = partial_index(
    "due_payment", PAYMENT.c.due_ms, where=PAYMENT.c.state.in_(("reserved", "dispatching", "in_flight", "unknown"))
)
PAYMENT_OF_OWNER = sa.Index("payment_of_owner", PAYMENT.c.owner, PAYMENT.c.seq)

PLACE = narrow(
    "place",
    METADATA,
    sa.Column("rail", TEXT, primary_key=True),
    # deposits, payments, costs: up to where a rail's records have been read; walked: up to which restore.
    sa.Column("stream", TEXT, primary_key=True),
    _needed("cursor", TEXT),
    _needed("moved_ms", INTEGER),
)

FROZEN = narrow(
    "frozen",
    METADATA,
    # realm:NAME or rail:NAME
    sa.Column("scope", TEXT, primary_key=True),
    _needed("frozen", INTEGER, sa.CheckConstraint("frozen IN (0, 1)")),
    _needed("reason", TEXT),
    _needed("actor", TEXT),
    _needed("at_ms", INTEGER),
)

SOLVENCY = narrow(
    "solvency",
    METADATA,
    sa.Column("realm", TEXT, primary_key=True),
    _needed("at_ms", INTEGER),
    # How many checks in a row found less than what is owed.
    _needed("below", INTEGER, sa.CheckConstraint("below >= 0")),
    _needed("body", TEXT),
)

SELLER = narrow(
    "seller",
    METADATA,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("realm", TEXT, primary_key=True),
    _needed("destination", TEXT),
    _needed("threshold_msat", INTEGER, sa.CheckConstraint("threshold_msat > 0")),
    _needed("every_seconds", INTEGER, sa.CheckConstraint("every_seconds > 0")),
    _needed("enabled", INTEGER, sa.CheckConstraint("enabled IN (0, 1)")),
    _needed("set_ms", INTEGER),
)
