"""What a wallet rail speaks of: targets, invoices, payments, deposits. Money uncertainty is in the type."""

from __future__ import annotations

import enum

import msgspec

from arbstr_core.types._money import Msat


class Network(enum.StrEnum):
    """Where a rail's money lives; an account's realm is one of these. `sim` is not money."""

    SIM = "sim"
    REGTEST = "regtest"
    SIGNET = "signet"
    TESTNET = "testnet"
    MAINNET = "mainnet"


class Unit(enum.StrEnum):
    """The smallest step in which a rail moves money."""

    MSAT = "msat"
    SAT = "sat"


class RailCapability(enum.StrEnum):
    """What a rail can do; absent means it cannot."""

    BOLT11 = "bolt11"
    ECASH = "ecash"
    CANCEL = "cancel"
    FEE_LIMIT = "fee_limit"


class RailState(enum.StrEnum):
    """Whether a rail can be used; only `ready` sends."""

    DOWN = "down"
    LOCKED = "locked"
    SYNCING = "syncing"
    WRONG_NODE = "wrong_node"
    READY = "ready"


class RailStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A rail's state, and a sentence about it for the operator."""

    state: RailState
    detail: str = ""


class PaymentTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded destination. `reference` is unique for it (bolt11: its payment hash, hex); `expires_ms` Unix."""

    text: str
    reference: str
    amount_msat: Msat
    network: Network
    expires_ms: int
    memo: str = ""


class RailQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment would cost on a rail: the amount, and the most its fee can be, in msat."""

    amount_msat: Msat
    fee_limit_msat: Msat


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """A request for payment made by a rail; `reference` finds it again (for bolt11 its payment hash, hex)."""

    text: str
    reference: str
    amount_msat: Msat
    expires_ms: int


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came in, once per `reference`; `cursor` is where to resume after it. Amounts in msat."""

    reference: str
    amount_msat: Msat
    fee_msat: Msat = Msat(0)
    cursor: str = ""


class RailCost(msgspec.Struct, frozen=True, kw_only=True):
    """A fee the rail paid on its own account (a swap, a rotation, a consolidation), in msat."""

    reference: str
    amount_msat: Msat
    reason: str
    cursor: str = ""


class Paid(msgspec.Struct, frozen=True, kw_only=True, tag="paid"):
    """The payment succeeded: the real fee in msat, the proof (a preimage, hex), or the token that carries it."""

    fee_msat: Msat
    proof: str = ""
    token: str = ""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The payment failed for good, and the rail has evidence of it: no money left."""

    reason: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True, tag="unknown"):
    """It is not known whether the payment succeeded; the money stays held until `lookup` says."""

    reason: str


Payment = Paid | Failed | Unknown
