"""Owns what the purse writes down: its coins, and the jobs that move them, each before its mint hears of it.

A job is an intent with its whole way back: which coins it spends, which outputs it asks for. What was derived is named
by its counter, so a job and the seed make every secret again; what was not (a lock, somebody's token) stands in it.
"""

from __future__ import annotations

import enum

import msgspec

from arbstr_core.api import InvoiceTarget, TokenTarget
from arbstr_wallet_cashu._seed import Lock, Space
from arbstr_wallet_cashu._tokens import Coin


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A coin of the purse. `job` is the one that spends it; empty: it is free."""

    keyset: str
    amount: int
    secret: str
    C: str
    job: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An output whose counter is taken: what the mint is to sign, or has signed. `amount` 0 leaves it to the mint."""

    keyset: str
    counter: int
    amount: int
    space: Space = Space.PURSE
    lock: Lock | None = None


Outputs = tuple[Made, ...]


class State(enum.StrEnum):
    """How far a job is."""

    OPEN = "open"
    """an invoice that nobody has paid yet"""
    WORKING = "working"
    """the mint may have been asked, and may have done it"""
    CANCELLING = "cancelling"
    """a payment's coins are being taken back, so that it can never happen"""
    DONE = "done"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """True where nothing will come any more."""
        return self in (State.DONE, State.FAILED)


class Job(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """What is common to all. `tries` are the outputs asked for, the last ones now; earlier ones were refused."""

    key: str
    mint: str
    state: State = State.WORKING
    tries: tuple[Outputs, ...] = ()
    reason: str = ""
    """why it failed"""
    since_ms: int = 0

    @property
    def outputs(self) -> Outputs:
        """What is asked for now."""
        return self.tries[-1] if self.tries else ()


class InvoiceJob(Job, frozen=True, kw_only=True, omit_defaults=True):
    """An invoice of a mint for us, and the coins for it once it is paid. Amounts in sat."""

    quote: str
    text: str
    reference: str
    amount: int
    expires_ms: int
    signed: bool = False
    """the mint signs only for who has the quote's key (NUT-20)"""


class TakeJob(Job, frozen=True, kw_only=True, omit_defaults=True):
    """Coins in a token are swapped for our own: somebody's, or one we issued ourselves (`of` is its payment)."""

    reference: str
    coins: tuple[Coin, ...]
    witnesses: tuple[str, ...] = ()
    amount: int
    fee: int
    of: str = ""


class SendJob(Job, frozen=True, kw_only=True, omit_defaults=True):
    """Coins of ours are swapped for a token. `token` is what was issued: written here before anybody sees it."""

    target: TokenTarget
    coins: tuple[str, ...] = ()
    """Y of what is spent"""
    fee: int = 0
    token: str = ""
    gone: bool = False
    """somebody was seen to have spent it, or we took it back"""


class MeltJob(Job, frozen=True, kw_only=True, omit_defaults=True):
    """A mint pays an invoice with coins of ours. `tries` are blank outputs for the change."""

    target: InvoiceTarget
    quote: str = ""
    coins: tuple[str, ...] = ()
    seen: bool = False
    """the mint has answered: it got the payment"""
    paid_in: int = 0
    """what the coins are worth together"""
    back: tuple[Outputs, ...] = ()
    """where it is cancelled: what the coins are swapped for"""
    fee: int = 0
    proof: str = ""
    evidence: str = ""
    """how it is known that it failed, where the mint was asked"""


class TidyJob(Job, frozen=True, kw_only=True, omit_defaults=True):
    """Coins of ours are swapped for fewer, or for those of a keyset in use."""

    coins: tuple[str, ...] = ()
    fee: int = 0


AnyJob = InvoiceJob | TakeJob | SendJob | MeltJob | TidyJob


class DepositLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of what came in. Amounts in sat."""

    reference: str
    amount: int
    kind: str
    key: str
    fee: int = 0


class PaymentLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of what went out or may have: which job knows how it ended."""

    job: str


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of what the purse paid for itself, in sat."""

    reference: str
    amount: int
    reason: str
