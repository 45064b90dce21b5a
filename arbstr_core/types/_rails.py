"""What a wallet rail is: its network, what it can do, how it is, what it holds, and what it takes."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from arbstr_core.types._money import MAX_MSAT, Msat


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

    @property
    def step_msat(self) -> int:
        """Amounts are multiples of this, in msat."""
        return 1 if self is Unit.MSAT else 1000


class RailCapability(enum.StrEnum):
    """What a rail can do; absent means it cannot.

    `invoice` asks for money; `bolt11` pays invoices; `ecash` takes, issues and takes back tokens; `cancel` takes an
    invoice back; `fee_limit` never pays more fee than it was allowed.
    """

    INVOICE = "invoice"
    BOLT11 = "bolt11"
    ECASH = "ecash"
    CANCEL = "cancel"
    FEE_LIMIT = "fee_limit"


class RailState(enum.StrEnum):
    """Whether a rail can be used; only `ready` sends.

    `wrong_node` is another node, mint or network than the one whose money was booked; `rolled_back` the right one, with
    records older than what this rail has seen of it. Both freeze what goes out until an operator has looked.
    """

    DOWN = "down"
    LOCKED = "locked"
    SYNCING = "syncing"
    WRONG_NODE = "wrong_node"
    ROLLED_BACK = "rolled_back"
    READY = "ready"


class RailStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A rail's state, and a sentence about it for the operator.

    `identity` is whose money it is: a node's public key, a purse's. `warnings` are sentences for `arbstr doctor`, such
    as that a credential may do more than it needs to.
    """

    state: RailState
    detail: str = ""
    identity: str = ""
    warnings: tuple[str, ...] = ()


class RailBalance(msgspec.Struct, frozen=True, kw_only=True):
    """What a rail holds, in msat: what it can spend now, what is on its way (out, and may come back; or in, and not
    quite here), and what a closing channel or an expiring lock will give back later. `places` is what is spendable by
    place (a mint's URL), where there are several. Tokens that were issued are gone from here, whether claimed or not.
    """

    spendable_msat: Msat
    in_flight_msat: Msat = Msat(0)
    closing_msat: Msat = Msat(0)
    places: Mapping[str, Msat] = {}

    @property
    def most_msat(self) -> int:
        """What it is worth if everything on its way comes back."""
        return self.spendable_msat + self.in_flight_msat + self.closing_msat


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest and the largest amount at a time, in msat."""

    smallest_msat: Msat = Msat(1)
    largest_msat: Msat = MAX_MSAT


class RailLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a rail moves at a time: in by invoice, out by invoice, and either way as a token; and the mints whose tokens
    it takes and issues, by URL, the preferred one first."""

    invoices: Bounds = Bounds()
    payments: Bounds = Bounds()
    tokens: Bounds = Bounds()
    mints: tuple[str, ...] = ()


class RailQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment would cost on a rail, in msat: its amount, the most its fee can be, and what that is likely to be.

    `fee_limit_msat` is what is held for the fee and handed to `pay`: one number.
    """

    amount_msat: Msat
    fee_limit_msat: Msat
    expected_fee_msat: Msat = Msat(0)


class RailCost(msgspec.Struct, frozen=True, kw_only=True):
    """A fee the rail paid on its own account (a swap, a rotation, a consolidation), in msat; once per `reference`."""

    reference: str
    amount_msat: Msat
    reason: str
    cursor: str
