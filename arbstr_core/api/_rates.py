"""Owns how rates become a price: one set of rates a model, in one unit, whole or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from arbstr_core.types import Free, MsatPrice, Price, Rate, UsdPrice

_KEYS = ("input", "cached_input", "output", "request")
_MOST_MSAT = Decimal(100_000_000_000)
_MOST_USD = Decimal(100_000)
"""One bitcoin, or so, per million tokens: above it stands a slip of the unit, not a price."""


class Rates(Protocol):
    """What has rates: a row of configuration, or the instance that it belongs to.

    Each is per million tokens, `request` per request; None where it is not written there."""

    @property
    def free(self) -> bool: ...

    @property
    def input(self) -> Rate | None: ...

    @property
    def cached_input(self) -> Rate | None: ...

    @property
    def output(self) -> Rate | None: ...

    @property
    def request(self) -> Rate | None: ...


def price_of(row: Rates | None, instance: Rates) -> Price | None:
    """The price of a row, or of what has none (None); None where neither the row nor the instance has one.

    A row that is free, or that has rates on an instance that is free, stands alone; else each rate it lacks is the
    instance's. Raises ValueError where the rates contradict each other.
    """
    sources = (instance,) if row is None else (row, instance)
    for source in sources:
        if source.free and any(getattr(source, key) is not None for key in _KEYS):
            raise ValueError("it has free = true and rates; keep one of the two")
    rates = _collect(sources)
    if rates is None:
        return Free()
    return _whole(rates) if rates else None


def _collect(sources: tuple[Rates, ...]) -> dict[str, Rate] | None:
    """The rates by key, the first source's where several have one; None where it is free."""
    rates: dict[str, Rate] = {}
    for source in sources:
        if source.free:
            return rates or None
        for key in _KEYS:
            rate = getattr(source, key)
            if rate is not None:
                rates.setdefault(key, rate)
    return rates


def _whole(rates: dict[str, Rate]) -> Price:
    missing = [key for key in ("input", "output") if key not in rates]
    if missing:
        raise ValueError(
            f"it has {', '.join(rates)} and no {' and no '.join(missing)}; add what is missing, 0 sat counts"
        )
    in_usd = [key for key, rate in rates.items() if rate.usd]
    if in_usd and len(in_usd) < len(rates):
        other = [key for key in rates if key not in in_usd]
        raise ValueError(
            f"{', '.join(in_usd)} in usd and {', '.join(other)} in sat; write all rates of a model in one unit, "
            "those it takes from its instance included"
        )
    for key, rate in rates.items():
        if rate.value > (_MOST_USD if in_usd else _MOST_MSAT):
            raise ValueError(f"{key} is above 1 btc or 100000 usd, which is no price; check its unit")
    return _in_usd(rates) if in_usd else _in_msat(rates)


def _in_usd(rates: dict[str, Rate]) -> UsdPrice:
    return UsdPrice(
        input=rates["input"].value,
        cached_input=rates.get("cached_input", rates["input"]).value,
        output=rates["output"].value,
        request=rates["request"].value if "request" in rates else Decimal(0),
    )


def _in_msat(rates: dict[str, Rate]) -> MsatPrice:
    return MsatPrice(
        input=int(rates["input"].value),
        cached_input=int(rates.get("cached_input", rates["input"]).value),
        output=int(rates["output"].value),
        request=int(rates["request"].value) if "request" in rates else 0,
    )
