"""What a caller wishes of routing, in the words of OpenRouter: `provider.*` of a request, and suffixes of a model."""

from __future__ import annotations

import enum

import msgspec

from arbstr_core.types._money import Rate


class Sort(enum.StrEnum):
    """What to order candidates by."""

    PRICE = "price"
    THROUGHPUT = "throughput"
    LATENCY = "latency"


class MaxPrice(msgspec.Struct, frozen=True, kw_only=True):
    """The most that tokens may cost, a million of them, and a request; None for any."""

    prompt: Rate | None = None
    completion: Rate | None = None
    request: Rate | None = None


class Knobs(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's wishes. `order`, `only` and `ignore` name providers, whole (`stem.instance`) or by their last part.

    Source: OpenRouter's documentation, "Provider Routing".
    """

    sort: Sort | None = None
    order: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    max_price: MaxPrice | None = None
    free: bool = False
    """only what costs nothing: the suffix `:free`"""
