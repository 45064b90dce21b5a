"""The documents that the control plane answers with, for its description and as a check on what goes out.

Amounts are integers of msat, named `*_msat`; times are Unix milliseconds, named `*_ms`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Row = TypeVar("Row")


class Error(BaseModel):
    """OpenAI's four fields; some errors have more beside them."""

    model_config = ConfigDict(extra="allow")
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorDocument(BaseModel):
    """Every error is one of these."""

    error: Error


class Page(BaseModel, Generic[Row]):
    """Some rows of a list. A page may have fewer rows than were asked for, or none, and more may still follow: what is
    looked at for one page is bounded, whatever filters leave of it."""

    data: list[Row]
    next_cursor: str | None = Field(description="asks for the next page; null on the last")
    has_more: bool


class LimitsDocument(BaseModel):
    """One version of an agent's limits; null is none."""

    version: int
    max_charge_msat: int | None
    daily_msat: int | None
    zone: str | None
    hourly_msat: int | None
    max_fee_msat: int | None
    per_minute: int | None
    concurrent: int | None
    models: list[str] | None
    expires_ms: int | None
    approval_seconds: int | None
    pending_approvals: int
    alert_floor_msat: int | None
    alert_cooldown_seconds: int
    attempts_msat: int | None
    payouts_unapproved_msat: int | None


class LimitsVersion(LimitsDocument):
    """And when it was set."""

    created_ms: int


class KeyDocument(BaseModel):
    """A child key; it spends the money of the agent above it."""

    id: str
    name: str
    enabled: bool
    created_ms: int
    limits: LimitsDocument | None
    parent: str | None
    depth: int = Field(description="1 for an agent with an account of its own")


class NewKeyDocument(KeyDocument):
    """With its token, which is shown this once."""

    token: str


class AgentDocument(KeyDocument):
    """A paying sub-account as it stands."""

    realm: str
    posted_msat: int
    held_msat: int
    available_msat: int = Field(description="posted less held")


class NewAgentDocument(AgentDocument):
    """With its token, which is shown this once."""

    token: str


class TokenDocument(BaseModel):
    """A new token, shown this once."""

    id: str
    name: str
    token: str


class ApprovalDocument(BaseModel):
    """A call above the largest charge, or a payout, that an operator decides on."""

    id: str
    agent: str
    agent_name: str
    kind: str
    ceiling_msat: int
    models: list[str]
    limits_version: int
    state: str
    created_ms: int
    expires_ms: int
    decided_ms: int | None
    decided_by: str | None
    hold_id: str | None
    to: str | None = Field(description="where a payout goes")


class EventDocument(BaseModel):
    """Something that the operator is told by webhook."""

    seq: int
    event: str
    body: dict[str, Any]
    created_ms: int
    due_ms: int
    attempts: int
    delivered_ms: int | None
    last_error: str


class UsageDocument(BaseModel):
    """Tokens of a call."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    source: str


class SavedDocument(BaseModel):
    """What some calls cost, and what they would have cost at the baseline."""

    calls: int
    charged_msat: int
    baseline_msat: int
    saved_msat: int
    saved_share: float | None = Field(description="of the baseline; null where that is 0")


class SavedModelDocument(SavedDocument):
    """Of one model."""

    model: str


class SavedAgentDocument(SavedDocument):
    """Of one agent's calls, or a child key's."""

    agent: str


class SavedProviderDocument(SavedDocument):
    """Of the calls that one provider served."""

    provider: str


class SavedDayDocument(SavedDocument):
    """Of one day, UTC."""

    day: str


class SavingsDocument(SavedDocument):
    """What routing has saved."""

    baseline: str
    alone: int = Field(description="calls that nobody else would have served")
    left_out: int = Field(description="calls that the baseline has no price for")
    models: list[SavedModelDocument]
    agents: list[SavedAgentDocument]
    providers: list[SavedProviderDocument]
    days: list[SavedDayDocument]


class ReceiptDocument(BaseModel):
    """What one call cost, who served it, why; docs/receipts.md has all of it."""

    model_config = ConfigDict(extra="allow")
    id: str
    agent: str
    model: str | None
    provider: str | None
    state: str
    held_msat: int
    charged_msat: int
    usage: UsageDocument
    attempts: list[dict[str, Any]]
    reasons: list[str]
    alternatives: list[dict[str, Any]]


class CallDocument(BaseModel):
    """A call, a reservation or a payout in a list."""

    id: str
    agent: str
    kind: str
    model: str | None
    provider: str | None
    state: str
    held_msat: int
    charged_msat: int
    usage: UsageDocument
    ending: str | None
    created_ms: int
    ended_ms: int | None


class HoldDocument(BaseModel):
    """Money that is set aside now."""

    id: str
    agent: str
    kind: str
    model: str
    held_msat: int
    approval: str | None
    created_ms: int


class EntryDocument(BaseModel):
    """One entry of a transfer."""

    account: str
    side: str
    amount_msat: int


class MovementDocument(BaseModel):
    """A transfer as the agent sees it whose balance it changed."""

    seq: int
    kind: str
    at_ms: int
    change_msat: int | None = Field(description="by how much the balance changed")
    call: str | None
    agent: str | None = Field(description="the key whose call it was")
    model: str | None
    refers_to: int | None


class TransferDocument(MovementDocument):
    """A transfer with its entries."""

    realm: str
    amount_msat: int
    key: str | None
    memo: str
    entries: list[EntryDocument]


class AuditDocument(BaseModel):
    """A row of the audit."""

    seq: int
    at_ms: int
    actor: str
    action: str
    subject: str
    data: Any
    hash: str


class BalanceDocument(BaseModel):
    """The account that the agent spends from."""

    agent: str
    name: str
    realm: str
    parent: str | None
    posted_msat: int
    held_msat: int
    available_msat: int = Field(description="posted less held; of a child key, its root's")
    spendable_msat: int = Field(description="the most that one call may be held for now")


class LeftDocument(BaseModel):
    """One limit and what it leaves; msat, or counts where the limit counts."""

    limit: str
    agent: str
    most_msat: int | None = None
    used_msat: int | None = None
    left_msat: int | None = None
    most: int | None = None
    used: int | None = None
    left: int | None = None
    resets_ms: int | None


class AllowanceDocument(BaseModel):
    """The agent's limits, and what each leaves, those of the keys above it among them."""

    limits: LimitsDocument | None
    left: list[LeftDocument]


class ReservedDocument(BaseModel):
    """What was reserved."""

    reservation_id: str
    remaining_balance_msats: int


class SettledDocument(BaseModel):
    """What was charged."""

    settled: bool
    refunded_msats: int
    actual_msats: int = Field(description="what the agent was charged")
    overage_msats: int = Field(description="what was reported above the reservation, and not charged")
    remaining_balance_msats: int


class ReleasedDocument(BaseModel):
    """All of it was given back."""

    released: bool
    remaining_balance_msats: int


class ChangeDocument(BaseModel):
    """What became of a token that paid for a call."""

    state: str = Field(description="redeeming, running, waiting, ready, nothing or refused")
    token: str | None = Field(description="the change, once it is ready; whoever redeems it first has it")
    amount_msat: int = Field(description="what the change is worth")
    paid_msat: int = Field(description="what the token was worth, its fee gone")
    left_msat: int = Field(description="what is left of it beside the change")
    reason: str = Field(description="why a token was refused")


class ReadyDocument(BaseModel):
    """Calls are served."""

    status: str
