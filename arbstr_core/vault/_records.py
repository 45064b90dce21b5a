"""What the operator is shown of what waits: approvals to decide, events to be delivered. Amounts are msat, times Unix
milliseconds."""

from __future__ import annotations

import enum

import msgspec


class ApprovalState(enum.StrEnum):
    """Where an approval is in its life."""

    PENDING = "pending"
    GRANTED = "granted"
    HELD = "held"
    """a call is open under it"""
    USED = "used"
    DENIED = "denied"
    EXPIRED = "expired"


class ApprovalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call above the largest charge, or a payout, that an operator decides on.

    A grant lets one call with the same body through, up to `ceiling_msat`; it lifts the largest charge, nothing else.
    """

    id: str
    agent: str
    """who asked; the grant is its root's"""
    agent_name: str
    kind: str
    """`call`, or `payout`"""
    ceiling_msat: int
    models: tuple[str, ...]
    limits_version: int
    """of the limits that it was asked under: once they change, the grant is void"""
    state: ApprovalState
    created_ms: int
    expires_ms: int
    decided_ms: int | None
    decided_by: str | None
    hold_id: str | None
    """the last call under it; the payout that waits for it"""
    to: str | None
    """where a payout goes"""


class EventName(enum.StrEnum):
    """What the operator can be told of."""

    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_GRANTED = "approval_granted"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_EXPIRED = "approval_expired"
    BALANCE_ALERT = "balance_alert"
    DEPOSIT_UNKNOWN = "deposit_unknown"
    """money came in that nobody was known for"""
    LEFT_UNASKED = "left_unasked"
    """a rail's records show a payment that the ledger knows nothing of"""
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_UNKNOWN = "payment_unknown"
    """a rail did not say what became of a payment"""
    RAIL_BROKE_ITS_WORD = "rail_broke_its_word"
    """it took more than it was allowed, or showed a proof that is none: nothing more leaves over it"""
    FROZEN = "frozen"
    THAWED = "thawed"


class OutboxRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is delivered, or will be. `body` is its data as JSON."""

    seq: int
    event: str
    body: bytes
    created_ms: int
    due_ms: int
    """when it is tried next"""
    attempts: int
    delivered_ms: int | None
    last_error: str
