"""Amounts and prices: integer msat, rates per million tokens, and the readers for what people write."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, NewType

import msgspec

Msat = NewType("Msat", int)
"""Millisatoshi, an integer; 1 sat = 1000 msat, 1 BTC = 10^11 msat."""

MSAT_PER_SAT = 1_000
MSAT_PER_BTC = 100_000_000_000
MAX_MSAT = Msat(2_100_000_000_000_000_000)
"""All bitcoin there will ever be, in msat; fits 64 bits."""
TOKENS_PER_RATE = 1_000_000
"""Rates are per million tokens."""
PPM = 1_000_000

_AMOUNT = re.compile(r"\s*(?P<number>\d{1,22}(?:\.\d{1,12})?)\s*(?P<unit>[a-zA-Z]*)\s*\Z")
_SCALE = {"": MSAT_PER_SAT, "sat": MSAT_PER_SAT, "sats": MSAT_PER_SAT, "msat": 1, "msats": 1, "btc": MSAT_PER_BTC}


def ceil_div(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded up; charges round up, and only here."""
    return -(-numerator // denominator)


def parse_amount(text: str) -> Msat:
    """Read `21`, `21sat`, `1500 msat` or `0.5btc`; a bare number is sat.

    Raises ValueError with a sentence when it is not an amount, finer than 1 msat, or more than all bitcoin.
    """
    found = _AMOUNT.match(text)
    scale = _SCALE.get(found["unit"].lower()) if found else None
    if found is None or scale is None:
        raise ValueError(f"{text!r} is not an amount: write 21, 21sat, 1500msat or 0.5btc")
    exact = Decimal(found["number"]) * scale
    if exact != int(exact):
        raise ValueError(f"{text!r} is finer than 1 msat, the smallest amount")
    if exact > MAX_MSAT:
        raise ValueError(f"{text!r} is more than all bitcoin there is")
    return Msat(int(exact))


def format_amount(amount: int) -> str:
    """An amount for people: `1,234.567 sat`."""
    sign, rest = ("-", -amount) if amount < 0 else ("", amount)
    sat, msat = divmod(rest, MSAT_PER_SAT)
    return f"{sign}{sat:,}.{msat:03d} sat" if msat else f"{sign}{sat:,} sat"


class Amount(msgspec.Struct, frozen=True):
    """An amount in a configuration table: `"1000 sat"`, `"1500 msat"`, `"0.5 btc"`, or a number of sat."""

    msat: Msat

    @classmethod
    def from_config(cls, value: Any) -> Amount:
        """Read a configuration value; ValueError says what is wrong with it."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is not an amount: write "1000 sat"')
        return cls(parse_amount(value))


class Ppm(msgspec.Struct, frozen=True):
    """A share in parts per million, in a configuration table: `"5000 ppm"` or `"0.5 %"`."""

    ppm: int

    @classmethod
    def from_config(cls, value: Any) -> Ppm:
        """Read a configuration value; ValueError says what is wrong with it."""
        found = re.match(r"\s*(\d{1,9}(?:\.\d{1,4})?)\s*(ppm|%)\s*\Z", value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f'{value!r} is not a share: write "5000 ppm" or "0.5 %"')
        exact = Decimal(found[1]) * (1 if found[2] == "ppm" else 10_000)
        if exact != int(exact) or exact > 10 * PPM:
            raise ValueError(f"{value!r} is finer than 1 ppm or above 1000 %")
        return cls(int(exact))


class Rate(msgspec.Struct, frozen=True):
    """A price for a million tokens (or a fee for a request) as an operator writes it: sat, msat, btc or usd."""

    value: Decimal
    """msat where `usd` is false, else US dollars"""
    usd: bool = False

    @classmethod
    def from_config(cls, value: Any) -> Rate:
        """Read `"590 sat"`, `"590000 msat"` or `"0.59 usd"`; ValueError says what is wrong with it."""
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is not a price: write "590 sat", "590000 msat" or "0.59 usd"')
        dollars = re.match(r"\s*(\d{1,9}(?:\.\d{1,12})?)\s*usd\s*\Z", value, re.IGNORECASE)
        if dollars:
            return cls(Decimal(dollars[1]), usd=True)
        try:
            return cls(Decimal(parse_amount(value)))
        except ValueError as bad:
            raise ValueError(f'{bad}; a price is "590 sat", "590000 msat" or "0.59 usd"') from None


class MsatPrice(msgspec.Struct, frozen=True, kw_only=True, tag="msat"):
    """What a call costs, in msat: three rates per million tokens, and a fee per request."""

    input: int
    cached_input: int
    output: int
    request: int = 0

    def cost(self, *, input_tokens: int, cached_input_tokens: int = 0, output_tokens: int = 0) -> Msat:
        """The cost in msat, rounded up once over the sum. `cached_input_tokens` are part of `input_tokens`."""
        fresh = input_tokens - cached_input_tokens
        tokens = fresh * self.input + cached_input_tokens * self.cached_input + output_tokens * self.output
        return Msat(-(-tokens // TOKENS_PER_RATE) + self.request)

    def with_margin(self, margin_ppm: int) -> MsatPrice:
        """This price with the operator's share on top, each rate rounded up to 1 msat."""
        if not margin_ppm:
            return self
        part = PPM + margin_ppm
        return MsatPrice(
            input=ceil_div(self.input * part, PPM),
            cached_input=ceil_div(self.cached_input * part, PPM),
            output=ceil_div(self.output * part, PPM),
            request=ceil_div(self.request * part, PPM),
        )

    @property
    def free(self) -> bool:
        """True when nothing of it costs anything."""
        return not (self.input or self.cached_input or self.output or self.request)


class UsdPrice(msgspec.Struct, frozen=True, kw_only=True, tag="usd"):
    """A price in US dollars, exact: three rates per million tokens, and a fee per request. The market converts it."""

    input: Decimal
    cached_input: Decimal
    output: Decimal
    request: Decimal = Decimal(0)


class Free(msgspec.Struct, frozen=True, tag="free"):
    """Said, not guessed, to cost nothing."""


Price = MsatPrice | UsdPrice | Free
NO_COST = MsatPrice(input=0, cached_input=0, output=0, request=0)


class FxRate(msgspec.Struct, frozen=True, kw_only=True):
    """The rate by which a USD price became msat; frozen into what was held for."""

    usd_per_btc: Decimal
    spread_ppm: int
    source: str
    as_of_ms: int
    """Unix time, milliseconds"""

    def to_msat(self, dollars: Decimal) -> int:
        """US dollars in msat, the operator's spread on top, rounded up."""
        exact = dollars * MSAT_PER_BTC * (PPM + self.spread_ppm) / (self.usd_per_btc * PPM)
        return int(exact.to_integral_value(rounding="ROUND_CEILING"))
