"""Owns the shape of `[plugins.wallet_simulated]`."""

from __future__ import annotations

import enum

import msgspec

from arbstr_core.api import Amount, Msat, Ppm, Unit


class Outcome(enum.StrEnum):
    """How a payment ends; the unknown ones end so at the first lookup."""

    PAID = "paid"
    FAILED = "failed"
    UNKNOWN_THEN_PAID = "unknown_then_paid"
    UNKNOWN_THEN_FAILED = "unknown_then_failed"

    @property
    def unsure(self) -> bool:
        """True where a lookup is needed to know the end."""
        return self in (Outcome.UNKNOWN_THEN_PAID, Outcome.UNKNOWN_THEN_FAILED)

    @property
    def pays(self) -> bool:
        """True where the money is gone in the end."""
        return self in (Outcome.PAID, Outcome.UNKNOWN_THEN_PAID)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin's table. `balance` is what the rail has at the very beginning."""

    balance: Amount = Amount(Msat(100_000_000_000))
    fee: Ppm = Ppm(0)
    redeem_fee: Amount = Amount(Msat(0))
    unit: Unit = Unit.MSAT
    script: tuple[Outcome, ...] = ()
    unknown_seconds: int = 0
    invoice_seconds: int = 3600
    poll_ms: int = 250

    def __post_init__(self) -> None:
        for key, least in (("invoice_seconds", 1), ("poll_ms", 1), ("unknown_seconds", 0)):
            value = getattr(self, key)
            if value < least:
                raise ValueError(f"{key} is {value}; it is at least {least}")
