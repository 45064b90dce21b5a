"""What can happen to money beside calls, and the entries that each of it makes: the table "Entries" of MONEY.md.

Amounts are msat. `legs` gives (side, account, msat); an account is a (name, kind). Legs of nothing are left out, and
the rest balance, whatever the amounts are: `Post` refuses what does not.
"""

from __future__ import annotations

from abc import abstractmethod

import msgspec

Account = tuple[str, str]
"""(name, kind)"""
Leg = tuple[str, Account, int]
"""("debit" or "credit", account, msat)"""

EQUITY: Account = ("equity:operator", "equity")
SUSPENSE: Account = ("suspense", "suspense")
RAIL_FEE: Account = ("cost:rail_fee", "cost")


def agent(id: str) -> Account:
    """A root agent's account."""
    return f"agent:{id}", "agent"


def rail(name: str) -> Account:
    """What is held on a rail."""
    return f"asset:{name}", "asset"


def suspended(name: str) -> Account:
    """What has left a rail, and nobody knows why."""
    return f"asset:suspense:{name}", "asset"


def seller(name: str) -> Account:
    """What a seller has earned."""
    return f"seller:{name}", "seller"


def prepaid(node: str) -> Account:
    """What is held at a provider's node."""
    return f"asset:prepaid:{node}", "asset"


def transit(node: str) -> Account:
    """What is on its way to a node, or back."""
    return f"asset:transit:{node}", "asset"


def claim(node: str) -> Account:
    """What a node owes us and disputes."""
    return f"asset:claim:{node}", "asset"


def payable(provider: str) -> Account:
    """What is owed to a provider that bills later."""
    return f"payable:{provider}", "payable"


def temp(key: str) -> Account:
    """The balance of a caller who pays a single call by token."""
    return f"temp:{key}", "temp"


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that moved money. `kind` is the transfer's; `amount_msat` what the transfer says that it moved."""

    @property
    def kind(self) -> str:
        """As the ledger shows it: the class's name, in lower case with underscores."""
        return _kind_of(type(self))

    @abstractmethod
    def legs(self) -> tuple[Leg, ...]:
        """The entries."""

    @property
    def amount_msat(self) -> int:
        """Everything that is debited."""
        return sum(msat for side, _, msat in self.legs() if side == "debit")


def _kind_of(event: type[Event]) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in event.__name__).lstrip("_")


def transfer_kinds() -> frozenset[str]:
    """The kinds of all transfers that there can be: of events, and of what is no event."""
    return frozenset({"settle", "release", "fund", "correction"} | {_kind_of(each) for each in Event.__subclasses__()})


class Capital(Event, frozen=True, kw_only=True):
    """The operator's own money was found on a rail."""

    rail: str
    msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return ("debit", rail(self.rail), self.msat), ("credit", EQUITY, self.msat)


class Deposit(Event, frozen=True, kw_only=True):
    """Money came in over a rail, for an agent, or for nobody known. `fee_msat` is what a token's swap took of it."""

    rail: str
    msat: int
    agent: str | None
    fee_msat: int = 0

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        owner = SUSPENSE if self.agent is None else agent(self.agent)
        came = self.msat - self.fee_msat
        return ("debit", rail(self.rail), came), ("credit", owner, came)


class Assigned(Event, frozen=True, kw_only=True):
    """An operator has found out whose a deposit was that nobody was known for."""

    agent: str
    msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return ("debit", SUSPENSE, self.msat), ("credit", agent(self.agent), self.msat)


class LeftUnasked(Event, frozen=True, kw_only=True):
    """A rail's records show a payment that the ledger knows nothing of: made by somebody else, or after the backup that
    the ledger is."""

    rail: str
    msat: int
    fee_msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        spent = self.msat + self.fee_msat
        return ("debit", suspended(self.rail), spent), ("credit", rail(self.rail), spent)


class SellerPaid(Event, frozen=True, kw_only=True):
    """A seller was paid out what it has earned; it bears the fee."""

    rail: str
    seller: str
    msat: int
    fee_msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        spent = self.msat + self.fee_msat
        return ("debit", seller(self.seller), spent), ("credit", rail(self.rail), spent)


class AgentTransfer(Event, frozen=True, kw_only=True):
    """One agent paid another."""

    payer: str
    payee: str
    msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return ("debit", agent(self.payer), self.msat), ("credit", agent(self.payee), self.msat)


class Reclaimed(Event, frozen=True, kw_only=True):
    """A token that an agent was paid out was never claimed, and came back less a fee."""

    rail: str
    agent: str
    msat: int
    fee_msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        back = self.msat - self.fee_msat
        return ("debit", rail(self.rail), back), ("credit", agent(self.agent), back)


class RailCost(Event, frozen=True, kw_only=True):
    """A swap, a consolidation or a keyset's rotation took a fee."""

    rail: str
    msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return ("debit", RAIL_FEE, self.msat), ("credit", rail(self.rail), self.msat)


class BillPaid(Event, frozen=True, kw_only=True):
    """A provider's bill was paid: over a rail, or outside of arbstr. What the price of bitcoin did since is `fx`."""

    provider: str
    owed_msat: int
    paid_msat: int
    rail: str | None = None

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        source = EQUITY if self.rail is None else rail(self.rail)
        fx = ("cost:fx", "cost")
        return (
            ("debit", payable(self.provider), self.owed_msat),
            ("debit", fx, max(0, self.paid_msat - self.owed_msat)),
            ("credit", fx, max(0, self.owed_msat - self.paid_msat)),
            ("credit", source, self.paid_msat),
        )


class TokenOfCall(Event, frozen=True, kw_only=True):
    """A caller paid for a single call with a token, which took a fee to swap."""

    rail: str
    key: str
    msat: int
    fee_msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        came = self.msat - self.fee_msat
        return ("debit", rail(self.rail), came), ("credit", temp(self.key), came)


class ChangeOfCall(Event, frozen=True, kw_only=True):
    """The rest of a single call's token went back as a token of whole sats; making it took a fee."""

    rail: str
    key: str
    msat: int
    fee_msat: int = 0

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        spent = self.msat + self.fee_msat
        return ("debit", temp(self.key), spent), ("credit", rail(self.rail), spent)


class DustKept(Event, frozen=True, kw_only=True):
    """What was left of a single call's token for ninety days is less than a sat, or was never asked for."""

    key: str
    msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return ("debit", temp(self.key), self.msat), ("credit", ("income:dust", "income"), self.msat)


class Loss(Event, frozen=True, kw_only=True):
    """A node, a mint or proofs are lost: the operator's loss, never an agent's. `asset` is a name under `asset:`."""

    asset: str
    msat: int
    reason: str = ""

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return ("debit", ("cost:loss", "cost"), self.msat), ("credit", (f"asset:{self.asset}", "asset"), self.msat)
