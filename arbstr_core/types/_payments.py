"""What goes over a rail: destinations, invoices, payments, deposits, tokens. Money uncertainty is in the type."""

from __future__ import annotations

import enum

import msgspec

from arbstr_core.types._money import Msat
from arbstr_core.types._rails import Network


class InvoiceTarget(msgspec.Struct, frozen=True, kw_only=True, tag="invoice"):
    """An invoice somebody else made, decoded. `text` is the whole of it; all else comes out of it.

    `reference` is its payment hash, hex; `expires_ms` Unix time, milliseconds. `description_hash` is hex, empty where
    the invoice has none: what LNURL-pay binds it with. `payee` is the node it pays, where the text says.
    """

    text: str
    reference: str
    amount_msat: Msat
    network: Network
    expires_ms: int
    memo: str = ""
    description_hash: str = ""
    payee: str = ""


class TokenTarget(msgspec.Struct, frozen=True, kw_only=True, tag="token"):
    """An ecash token to be issued, worth `amount_msat` to whoever has it, less what its mint takes to redeem it.

    `reference` is unique for it. An empty `mint` leaves the choice to the rail. `lock` is a public key (NUT-11, hex)
    that alone can redeem it; then the rail can take it back from `refund_ms` on (Unix, milliseconds; 0: never).
    """

    reference: str
    amount_msat: Msat
    network: Network
    mint: str = ""
    lock: str = ""
    refund_ms: int = 0


PaymentTarget = InvoiceTarget | TokenTarget
"""What a rail pays. A Lightning address or an LNURL is none yet: the kernel fetches an invoice for it first."""


class AddressKind(enum.StrEnum):
    """What sort of address answers with invoices."""

    LIGHTNING_ADDRESS = "lightning_address"
    LNURL = "lnurl"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where an invoice for any amount is to be had: the text as it was given, and its URL (LUD-16, LUD-06)."""

    kind: AddressKind
    text: str
    url: str


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """A request for payment made by a rail; `reference` is its payment hash, hex: what finds it again."""

    text: str
    reference: str
    amount_msat: Msat
    expires_ms: int


class TokenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says of itself, before anybody asks its mint: what redeeming it would add, and what that costs.

    `reference` is what its deposit will be known by, and the same for the same coins however they are written down.
    """

    reference: str
    mint: str
    amount_msat: Msat
    fee_msat: Msat = Msat(0)
    locked: bool = False


class DepositKind(enum.StrEnum):
    """How money came in: an invoice was paid, a token redeemed, a token of our own taken back."""

    INVOICE = "invoice"
    TOKEN = "token"
    RECLAIMED = "reclaimed"


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came in, once per `reference`.

    `amount_msat` is what the rail has more for it, the fee of redeeming it (`fee_msat`) already gone. `key` is that of
    the `invoice`, `receive` or `reclaim` it answers: whose it is. Empty where the rail does not know. `cursor` is where
    to resume after it.
    """

    reference: str
    amount_msat: Msat
    kind: DepositKind
    cursor: str
    key: str = ""
    fee_msat: Msat = Msat(0)


class PaymentRef(msgspec.Struct, frozen=True, kw_only=True):
    """All that is written down of a payment before it is sent; finds it again. `sent_ms` is when, Unix milliseconds."""

    key: str
    target: PaymentTarget
    fee_limit_msat: Msat
    sent_ms: int = 0


class Paid(msgspec.Struct, frozen=True, kw_only=True, tag="paid"):
    """The payment succeeded; `evidence` says how that is known, in the words of the node or the mint.

    `fee_msat` is the real fee. `proof` is the preimage of an invoice (hex; its SHA-256 is the payment hash), empty
    where a mint shows none. `token` is what carries the money, where a token was asked for.
    """

    fee_msat: Msat
    evidence: str
    proof: str = ""
    token: str = ""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The payment failed for good: no money left and none will. `reason` is for whoever wanted to pay; `evidence` says
    how that is known, in the words of the node or the mint. A time-out or an exception is none."""

    reason: str
    evidence: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True, tag="unknown"):
    """It is not known whether the payment succeeded; the money stays held until `lookup` says."""

    reason: str


Payment = Paid | Failed | Unknown


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A payment in the rail's own records: it left, or it may yet. `key` is empty where arbstr did not ask for it.

    `reference` is its target's.
    """

    reference: str
    amount_msat: Msat
    payment: Paid | Unknown
    cursor: str
    key: str = ""


class NodeClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What a node owes us and does not give, and why; its `id` is unique at the node."""

    id: str
    amount_msat: Msat
    reason: str


class NodeFunds(msgspec.Struct, frozen=True, kw_only=True):
    """What is prepaid at one node, in msat: `balance_msat` of which `reserved_msat` is set aside for open calls; with
    none reserved the balance is what the node itself says.

    `wanted_msat` is what the provider would like to have there, 0 for nothing more; `drain` asks for a sweep, for a
    `reason`. `mints` are those whose tokens the node takes; `bolt11` says that it takes Lightning. `claims` are all
    that there ever were, but for those that the operator has done with: they are no part of the balance, and each is
    booked once, by its id. `funding` and `sweeping` are the keys of what was begun, and that the kernel has not said
    to be done with.
    """

    node: str
    balance_msat: Msat
    reserved_msat: Msat = Msat(0)
    wanted_msat: Msat = Msat(0)
    drain: bool = False
    reason: str = ""
    bolt11: bool = False
    mints: tuple[str, ...] = ()
    claims: tuple[NodeClaim, ...] = ()
    funding: str = ""
    sweeping: str = ""


class Bolt11Request(msgspec.Struct, frozen=True, kw_only=True, tag="bolt11"):
    """The node wants its money over Lightning: pay this invoice, and come back with the preimage."""

    text: str


class EcashRequest(msgspec.Struct, frozen=True, kw_only=True, tag="ecash"):
    """The node wants its money as a token of one of `mints`: come back with the token."""

    mints: tuple[str, ...]
    amount_msat: Msat


class Credited(msgspec.Struct, frozen=True, kw_only=True, tag="credited"):
    """The node has taken the money and gave `amount_msat` for it."""

    amount_msat: Msat


class FundingDenied(msgspec.Struct, frozen=True, kw_only=True, tag="denied"):
    """The node says, for good, that it will not credit what it was given. The kernel takes a token back if it can."""

    reason: str
    evidence: str


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """A node gave its money back: a token worth `token_msat`, for the balance of `balance_msat` that is gone there."""

    token: str
    token_msat: Msat
    balance_msat: Msat
