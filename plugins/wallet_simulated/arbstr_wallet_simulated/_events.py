"""Owns what can happen to the simulated wallet, and the book that follows from it."""

from __future__ import annotations

import msgspec

from arbstr_wallet_simulated._config import Outcome


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One line of the journal."""


class Invoiced(Event, frozen=True, kw_only=True):
    """An invoice was made for `key`."""

    key: str
    reference: str
    text: str
    amount_msat: int
    expires_ms: int


class Cancelled(Event, frozen=True, kw_only=True):
    """An invoice was taken back."""

    reference: str


class CameIn(Event, frozen=True, kw_only=True):
    """An invoice was paid by somebody: a deposit."""

    reference: str
    amount_msat: int


class Sent(Event, frozen=True, kw_only=True):
    """A payment was decided: what it costs, and how it will end. `reason` says why where it fails."""

    key: str
    reference: str
    amount_msat: int
    fee_msat: int
    outcome: Outcome
    scripted: bool = False
    proof: str = ""
    token: str = ""
    reason: str = ""
    sent_ms: int = 0


class LookedUp(Event, frozen=True, kw_only=True):
    """The end of a payment that was unknown is known from now on."""

    key: str


class TookToken(Event, frozen=True, kw_only=True):
    """A token was redeemed, or taken back, for `key`."""

    key: str
    token_id: str
    amount_msat: int
    fee_msat: int = 0
    reclaimed: bool = False


class Claimed(Event, frozen=True, kw_only=True):
    """Somebody else redeemed a token that we issued."""

    token_id: str


Line = Invoiced | Cancelled | CameIn | Sent | LookedUp | TookToken | Claimed


class Book:
    """The state after some events. `balance` is what can be spent, `in_flight` the money of unknown payments."""

    def __init__(self, balance_msat: int) -> None:
        self.balance_msat = balance_msat
        self.invoices: dict[str, Invoiced] = {}
        self.invoice_of: dict[str, Invoiced] = {}
        self.cancelled: set[str] = set()
        self.unpaid: dict[str, int] = {}
        """when invoices expire that somebody may pay yet, by reference"""
        self.in_flight_msat = 0
        self.deposits: list[CameIn | TookToken] = []
        self.left: list[Sent] = []
        self.settled: set[str] = set()
        self.payments: dict[str, Sent] = {}
        self.paid_to: dict[str, str] = {}
        self.issued: dict[str, Sent] = {}
        self.claimed: set[str] = set()
        self.known: set[str] = set()
        self.taken: dict[str, TookToken] = {}
        self.taken_for: dict[str, TookToken] = {}
        self.scripted = 0

    def apply(self, event: Line) -> None:
        """Let `event` have happened."""
        match event:
            case Invoiced():
                self.invoices[event.reference] = self.invoice_of[event.key] = event
                self.unpaid[event.reference] = event.expires_ms
            case Cancelled():
                self.cancelled.add(event.reference)
                self.unpaid.pop(event.reference, None)
            case CameIn():
                self.unpaid.pop(event.reference, None)
                self.deposits.append(event)
                self.settled.add(event.reference)
                self.balance_msat += event.amount_msat
            case Sent():
                self._sent(event)
            case LookedUp():
                self.known.add(event.key)
                sent = self.payments[event.key]
                self.in_flight_msat -= sent.amount_msat + sent.fee_msat
                if not sent.outcome.pays:
                    self.balance_msat += sent.amount_msat + sent.fee_msat
                    self.paid_to.pop(sent.reference, None)
            case TookToken():
                self.taken[event.token_id] = self.taken_for[event.key] = event
                self.deposits.append(event)
                self.balance_msat += event.amount_msat
            case Claimed():
                self.claimed.add(event.token_id)
        assert self.balance_msat >= 0, "the simulated wallet spent more than it has"

    def awaits(self, now_ms: int) -> bool:
        """True where somebody may pay an invoice now."""
        for reference in [name for name, expires_ms in self.unpaid.items() if expires_ms <= now_ms]:
            del self.unpaid[reference]
        return bool(self.unpaid)

    def _sent(self, event: Sent) -> None:
        self.payments[event.key] = event
        self.scripted += event.scripted
        if event.outcome.pays or event.outcome.unsure:
            self.balance_msat -= event.amount_msat + event.fee_msat
            self.in_flight_msat += event.amount_msat + event.fee_msat if event.outcome.unsure else 0
            self.paid_to[event.reference] = event.key
            self.left.append(event)
        if event.token:
            self.issued[event.reference] = event
