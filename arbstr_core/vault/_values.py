"""What goes into the vault and what comes out. Amounts are msat, times Unix milliseconds."""

from __future__ import annotations

import enum

import msgspec


class LiveHolds(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of its calls with a heartbeat: all that are open, and for those that last what each has used
    so far, (id, msat)."""

    ids: frozenset[str] = frozenset()
    seen: tuple[tuple[str, int], ...] = ()


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a heartbeat."""

    lapsed: bool
    """the lease had run out: what was open may have been ended by another process"""
    ended: int
    """holds that were in no exchange of this process any more"""


class HoldState(enum.StrEnum):
    """Where a hold is in its life; it leaves `held` exactly once."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent may spend. Versions are never edited.

    With no largest charge or no daily limit it may spend nothing; any other that is not set does not apply. What an
    agent's children spend counts as its own.
    """

    version: int = 0
    max_charge_msat: int | None = None
    """largest single charge"""
    daily_msat: int | None = None
    """in a day of `zone`"""
    zone: str | None = None
    """IANA name, as Europe/Berlin; None: UTC"""
    hourly_msat: int | None = None
    """in any sixty minutes"""
    max_fee_msat: int | None = None
    """largest routing fee of one payout"""
    per_minute: int | None = None
    """requests in any minute"""
    concurrent: int | None = None
    """open holds at one time"""
    models: tuple[str, ...] | None = None
    """models that may be asked for"""
    expires_ms: int | None = None
    """Unix milliseconds from which on nothing is held"""
    approval_seconds: int | None = None
    """how long a call above the largest charge waits for an operator; None: it is refused at once"""
    pending_approvals: int = 16
    """how many of what it asked for may wait for an operator at one time"""
    alert_floor_msat: int | None = None
    """below this much the operator is told"""
    alert_cooldown_seconds: int = 3600
    attempts_msat: int | None = None
    """what failed attempts may cost us in an hour before falling back after dispatch stops"""
    payouts_unapproved_msat: int | None = None
    """payouts up to this need no approval; None: each does"""


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
    parent: str | None = None
    depth: int = 1


class NewAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent to be made. With a `parent` it is a child key: it spends from its root's account, within both limits."""

    id: str
    name: str
    realm: str
    token_hash: bytes
    """SHA-256 of its token"""
    limits: Limits
    parent: str | None = None
    fund_msat: int = 0
    rail: str = ""
    actor: str = "operator"


CALL = "call"
"""What lives in an exchange of the process that held it, and ends with it; other kinds are ended by who owns them."""


class HoldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Money to set aside for one call. `ceilings` are the candidates', in the order of the plan.

    Covering the first n candidates takes the largest of their ceilings. `candidates` is JSON, kept with the hold.
    `seen_msat` is what the call costs once it is dispatched, even if nothing of its answer is ever seen.
    """

    id: str
    agent: str
    ceilings: tuple[int, ...]
    candidates: bytes
    model: str
    seen_msat: int = 0
    dispatched: bool = True
    """False where some time passes before it is sent: until a heartbeat names it, an end without its process is free"""
    kind: str = CALL
    """`call`; `payout`: its one ceiling is the amount and `fee_msat`, the most that its way may cost"""
    claim: Claim | None = None
    body_digest: bytes = b""
    """see `body_digest`; without it nothing is put before an operator, and no grant is found"""
    fee_msat: int = 0


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is known by when it comes again. `digest` is an HMAC of the endpoint and the caller's own key, or
    of the endpoint and the body."""

    digest: bytes
    body: bytes | None = None
    """HMAC of the body; only with a key of the caller's own"""
    retry: bool = False
    """the client says that it asks again"""
    after: str | None = None
    """a call that ended without its answer being kept, so that the same is asked for anew: it does not count"""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was held: the same was asked for before, as the call `id`."""

    id: str
    state: HoldState | None
    """how that call stands; None where the caller's key was used for another body"""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The hold is durable: `amount_msat` covers the first `candidates` of the plan."""

    id: str
    amount_msat: int
    candidates: int
    attempts_left_msat: int | None = None
    """what failed attempts may cost us yet in this hour; None where there is no limit"""


class ApprovalNeeded(msgspec.Struct, frozen=True, kw_only=True):
    """An operator decides. Nothing is held for a call; for a payout the hold stands while it waits."""

    id: str
    """of the approval"""
    expires_ms: int
    needed_msat: int
    left_msat: int
    """the largest charge that needs none"""


class RefusalReason(enum.StrEnum):
    """Why nothing was held, in the order in which it is looked at."""

    CONFLICT = "conflict"
    """the id was used before, for something else or for a call that has ended"""
    UNKNOWN_AGENT = "unknown_agent"
    DISABLED = "disabled"
    NO_LIMITS = "no_limits"
    EXPIRED = "expired"
    MODEL = "model"
    CONCURRENT = "concurrent"
    RATE = "rate"
    FEE = "fee"
    APPROVALS = "approvals"
    """as many approvals are pending as may be"""
    MAX_CHARGE = "max_charge"
    DAILY = "daily"
    HOURLY = "hourly"
    INSUFFICIENT = "insufficient"


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was held. `needed_msat` is the first ceiling, `left_msat` what the limit or balance has left."""

    reason: RefusalReason
    needed_msat: int
    left_msat: int
    agent: str = ""
    """whose limit it is: the caller's or a parent's"""
    resets_ms: int | None = None
    """when a limit leaves more by itself, Unix milliseconds"""
    open_msat: int = 0
    """what open holds of the same account have set aside; it may come back"""
    approvable: bool = False
    """the same with its `body_digest` would be put before an operator, or find a grant"""


class ProviderCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt cost us at a provider; `served` for the one that answered."""

    provider: str
    cost_msat: int
    served: bool
    node: str | None = None
    """where it was taken from what we hold there; None: the provider bills later"""


class SellerShare(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller gets of a charge; the rest is the operator's margin."""

    seller: str
    msat: int


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the hold `id`: what the agent is charged, what it cost us, and the receipt (JSON)."""

    id: str
    charge_msat: int
    costs: tuple[ProviderCost, ...]
    receipt: bytes
    seller: SellerShare | None = None
    replay: bytes | None = None
    """the answer, sealed, for whoever asks for the same again"""


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


class KnownCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the past from elsewhere: the hash of audit row `audit_seq`, from 1 on, and how many holds and
    transfers there were then."""

    audit_seq: int
    hash: bytes
    holds: int
    transfers: int


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What replaying the whole ledger found; `first_bad` names the first thing that is wrong."""

    ok: bool
    transfers: int
    sum_msat: int
    open_holds: int
    agents: int
    entries: int
    audit_rows: int
    pending_rows: int
    """of the audit, not yet chained; only on PostgreSQL, for a second"""
    checkpoints: int
    """known from before, and compared with"""
    first_bad: str | None
