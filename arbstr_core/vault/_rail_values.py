"""What goes into the vault, and comes out of it, about money that moves over rails. Amounts are msat, times Unix
milliseconds."""

from __future__ import annotations

import enum

import msgspec


class RequestKind(enum.StrEnum):
    """What a rail is asked to do."""

    INVOICE = "invoice"
    TOKEN = "token"
    RECLAIM = "reclaim"


class Purpose(enum.StrEnum):
    """What comes of the money that a request brings in."""

    DEPOSIT = "deposit"
    """an agent's"""
    CAPITAL = "capital"
    """the operator's"""
    CALL = "call"
    """pays a single call"""
    PAYOUT = "payout"
    """an agent's payout that nobody claimed"""
    NODE = "node"
    """the operator's again: a node gave it back, or never took it"""


class RequestState(enum.StrEnum):
    """Where a request is in its life."""

    ASKED = "asked"
    OPEN = "open"
    """an invoice that can be paid"""
    PAID = "paid"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class NewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Money to ask a rail for. `sealed` is a token; `subject` the payment, node or single call that it is about."""

    id: str
    kind: RequestKind
    purpose: Purpose
    realm: str
    rail: str
    amount_msat: int
    agent: str | None = None
    subject: str = ""
    fee_msat: int = 0
    memo: str = ""
    reference: str | None = None
    sealed: bytes | None = None
    expires_ms: int | None = None


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it stands."""

    seq: int
    id: str
    kind: RequestKind
    purpose: Purpose
    realm: str
    rail: str
    agent: str | None
    subject: str
    amount_msat: int
    fee_msat: int
    memo: str
    created_ms: int
    reference: str | None
    text: str | None
    sealed: bytes | None
    state: RequestState
    reason: str
    due_ms: int
    tries: int
    expires_ms: int | None
    ended_ms: int | None


class DepositRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came in, and was credited."""

    seq: int
    rail: str
    reference: str
    kind: str
    realm: str
    amount_msat: int
    fee_msat: int
    request: str | None
    purpose: str | None
    agent: str | None
    """whom it was credited; None for the operator, a single call, or nobody known"""
    transfer: int
    assigned: bool
    """it was nobody's, and an operator has said since whose it is"""
    at_ms: int


class PaymentKind(enum.StrEnum):
    """Whose money leaves."""

    PAYOUT = "payout"
    SELLER = "seller"
    TOPUP = "topup"
    CHANGE = "change"


class PaymentState(enum.StrEnum):
    """Where a payment is in its life. The last four are final."""

    CREATED = "created"
    """waits for an operator"""
    RESERVED = "reserved"
    """waits for the sender"""
    DISPATCHING = "dispatching"
    """handed to its rail, or about to be"""
    IN_FLIGHT = "in_flight"
    """its rail says that it is on its way"""
    UNKNOWN = "unknown"
    """its rail did not answer: it may have left"""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """with evidence that nothing left"""
    REJECTED = "rejected"
    """an operator said no, or nobody in time"""
    CANCELLED = "cancelled"
    """before it was sent"""

    @property
    def final(self) -> bool:
        """True where nothing changes any more."""
        return self in _FINAL

    @property
    def sent(self) -> bool:
        """True while it may be on its way."""
        return self in (PaymentState.DISPATCHING, PaymentState.IN_FLIGHT, PaymentState.UNKNOWN)


_FINAL = frozenset({PaymentState.SUCCEEDED, PaymentState.FAILED, PaymentState.REJECTED, PaymentState.CANCELLED})


class NewPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment to be made. `target` is the destination as JSON; `rails` may pay it, the first one first.

    `owner` is a seller's name, a node's, or a single call's; of an agent's payout the vault knows it. `own_request` is
    the request whose invoice it is, where that is one of ours.
    """

    id: str
    kind: PaymentKind
    realm: str
    amount_msat: int
    fee_msat: int
    """held for its fee, and the limit of what it may be"""
    destination: str
    target: bytes
    reference: str
    rails: tuple[str, ...]
    owner: str = ""
    agent: str | None = None
    key: str | None = None
    own_request: str | None = None


class PaymentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as it stands."""

    seq: int
    id: str
    kind: PaymentKind
    realm: str
    agent: str | None
    owner: str
    key: str | None
    amount_msat: int
    fee_held_msat: int
    destination: str
    target: bytes
    reference: str
    rails: tuple[str, ...]
    own_request: str | None
    created_ms: int
    state: PaymentState
    attempt: int
    rail: str
    fee_limit_msat: int
    reason: str
    story: bytes
    due_ms: int
    tries: int
    fence: int | None
    sent_ms: int | None
    ended_ms: int | None
    fee_msat: int | None
    proof: bytes | None
    """sealed"""
    token: bytes | None
    """sealed"""
    handed: str | None

    @property
    def rail_key(self) -> str:
        """What its rail knows this attempt by."""
        return f"{self.id}:{self.attempt}"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The same payment was asked for before, by the caller's own key."""

    id: str


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """It is written down that the payment is handed to its rail now: so it may be."""

    payment: PaymentRecord


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """The payment is not to be sent now; why."""

    reason: str


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """The payment is not to be sent, for good: it has been cancelled."""

    reason: str


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender's turn is worth: the process and the number it was given. What an old one writes is refused."""

    boot: str
    fence: int


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """What does not leave any more: a realm's money, or a rail's (`realm:sim`, `rail:NAME`)."""

    scope: str
    reason: str
    actor: str
    at_ms: int


class SolvencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last check of a realm; `body` is JSON. `below` counts the checks in a row that found too little."""

    realm: str
    at_ms: int
    below: int
    body: bytes


def spendable(equity_msat: int, assets_msat: int, owed_msat: int) -> int:
    """What of a realm is the operator's to spend: the equity, less what was lost of it."""
    return min(equity_msat, assets_msat - owed_msat)


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says of a realm: what is owed and to whom, the operator's equity, and the assets by name (`NAME`
    of a rail, `prepaid:NODE`, `transit:NODE`, `claim:NODE`, `suspense:RAIL`)."""

    realm: str
    agents_msat: int
    sellers_msat: int
    calls_msat: int
    suspense_msat: int
    equity_msat: int
    assets: dict[str, int]
    held_msat: int = 0
    """of what is owed, what calls and payouts hold now"""
    made_msat: int = 0
    """of the assets: simulated money that was made for agents, and is on no rail"""
    lost_msat: int = 0
    """what operators have written off, ever; it is in no asset any more"""

    @property
    def liabilities_msat(self) -> int:
        """Everything that is somebody else's."""
        return self.agents_msat + self.sellers_msat + self.calls_msat + self.suspense_msat

    @property
    def own_msat(self) -> int:
        """What is the operator's to spend."""
        return spendable(self.equity_msat, sum(self.assets.values()), self.liabilities_msat)


class SellerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a seller is paid: from `threshold_msat` on, at most every so many seconds. `destination` is empty where he
    has earned, and nobody has said."""

    name: str
    realm: str
    destination: str
    threshold_msat: int
    every_seconds: int
    enabled: bool
    balance_msat: int = 0
    last_ms: int | None = None
    """when it was last paid"""
