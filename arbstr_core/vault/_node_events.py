"""What can happen to money that is held at a provider's nodes, or on its way there: part of the table "Entries"."""

from __future__ import annotations

from arbstr_core.vault._events import RAIL_FEE, Event, Leg, claim, prepaid, rail, transit


class TopUp(Event, frozen=True, kw_only=True):
    """A node's invoice was paid."""

    rail: str
    node: str
    msat: int
    fee_msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        spent = self.msat + self.fee_msat
        return (
            ("debit", prepaid(self.node), self.msat),
            ("debit", RAIL_FEE, self.fee_msat),
            ("credit", rail(self.rail), spent),
        )


class TokenSent(Event, frozen=True, kw_only=True):
    """A token was made for a node; it is on its way."""

    rail: str
    node: str
    msat: int
    fee_msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        spent = self.msat + self.fee_msat
        return (
            ("debit", transit(self.node), self.msat),
            ("debit", RAIL_FEE, self.fee_msat),
            ("credit", rail(self.rail), spent),
        )


class TokenRedeemed(Event, frozen=True, kw_only=True):
    """A node took a token of `msat` and credited `credited_msat` for it."""

    node: str
    msat: int
    credited_msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return (
            ("debit", prepaid(self.node), self.credited_msat),
            ("debit", RAIL_FEE, self.msat - self.credited_msat),
            ("credit", transit(self.node), self.msat),
        )


class TokenReturned(Event, frozen=True, kw_only=True):
    """A token that was on its way to or from a node is ours again, less a fee."""

    rail: str
    node: str
    msat: int
    fee_msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return (
            ("debit", rail(self.rail), self.msat - self.fee_msat),
            ("debit", RAIL_FEE, self.fee_msat),
            ("credit", transit(self.node), self.msat),
        )


class TokenDisputed(Event, frozen=True, kw_only=True):
    """A node has a token and says that it has not."""

    node: str
    msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return ("debit", claim(self.node), self.msat), ("credit", transit(self.node), self.msat)


class NodeClaimed(Event, frozen=True, kw_only=True):
    """A node has our money, and does not give it."""

    node: str
    msat: int

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return ("debit", claim(self.node), self.msat), ("credit", prepaid(self.node), self.msat)


class NodeSwept(Event, frozen=True, kw_only=True):
    """A node gave back its balance as a token; what no token can be made of is dust. `found_msat` of the balance the
    ledger did not know of."""

    node: str
    balance_msat: int
    token_msat: int
    found_msat: int = 0

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        return (
            ("debit", transit(self.node), self.token_msat),
            ("debit", ("cost:dust", "cost"), self.balance_msat - self.token_msat),
            ("credit", ("cost:variance", "cost"), self.found_msat),
            ("credit", prepaid(self.node), self.balance_msat - self.found_msat),
        )


class NodeVariance(Event, frozen=True, kw_only=True):
    """A node's balance at rest is not what the ledger says: less of it is missing, more of it was found."""

    node: str
    missing_msat: int = 0
    found_msat: int = 0

    def legs(self) -> tuple[Leg, ...]:
        """The entries."""
        variance = ("cost:variance", "cost")
        return (
            ("debit", variance, self.missing_msat),
            ("credit", prepaid(self.node), self.missing_msat),
            ("debit", prepaid(self.node), self.found_msat),
            ("credit", variance, self.found_msat),
        )


OUT_OF_REACH = ("asset:prepaid:", "asset:transit:", "asset:claim:")
"""How the names of accounts begin whose money others have"""
