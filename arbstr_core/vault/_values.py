"""What goes into the vault and what comes out. Amounts are msat, times Unix milliseconds."""

from __future__ import annotations

import enum

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent may spend; with either amount missing it may spend nothing. Versions are never edited."""

    version: int = 0
    max_charge_msat: int | None = None
    daily_msat: int | None = None


class AgentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A paying sub-account as it stands."""

    id: str
    name: str
    realm: str
    enabled: bool
    created_ms: int
    posted_msat: int
    held_msat: int
    available_msat: int
    limits: Limits | None


class HoldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Money to set aside for one call. `ceilings` are the candidates', in the order of the plan.

    Covering the first n candidates takes the largest of their ceilings. `candidates` is JSON, kept with the hold.
    """

    id: str
    agent: str
    ceilings: tuple[int, ...]
    candidates: bytes
    model: str


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The hold is durable: `amount_msat` covers the first `candidates` of the plan."""

    id: str
    amount_msat: int
    candidates: int


class RefusalReason(enum.StrEnum):
    """Why nothing was held, in the order in which it is looked at."""

    CONFLICT = "conflict"
    """the id was used before, for something else or for a call that has ended"""
    UNKNOWN_AGENT = "unknown_agent"
    DISABLED = "disabled"
    NO_LIMITS = "no_limits"
    MAX_CHARGE = "max_charge"
    DAILY = "daily"
    INSUFFICIENT = "insufficient"


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was held. `needed_msat` is the first ceiling, `left_msat` what the limit or balance has left."""

    reason: RefusalReason
    needed_msat: int
    left_msat: int


class ProviderCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt cost us at a provider; `served` for the one that answered."""

    provider: str
    cost_msat: int
    served: bool


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the hold `id`: what the agent is charged, what it cost us, and the receipt (JSON)."""

    id: str
    charge_msat: int
    costs: tuple[ProviderCost, ...]
    receipt: bytes


class HoldState(enum.StrEnum):
    """Where a hold is in its life; it leaves `held` exactly once."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """How a hold ended. `first` is False where it had ended before: then this is the stored outcome."""

    id: str
    state: HoldState
    charged_msat: int
    first: bool


class ReceiptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call's hold and its receipt; `body` is the JSON given at its end, None while it is held."""

    id: str
    agent: str
    agent_name: str
    model: str
    state: HoldState
    held_msat: int
    charged_msat: int
    body: bytes | None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What replaying the whole ledger found; `first_bad` names the first thing that is wrong."""

    ok: bool
    transfers: int
    sum_msat: int
    open_holds: int
    agents: int
    entries: int
    audit_rows: int
    first_bad: str | None
