"""Whether an offer can be read at all: it comes from a plugin, and may have come from a stranger before that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from arbstr_core.types import FieldRule, Free, LimitField, MsatPrice, Passthrough, Tier, UsdPrice

_MOST_OF_A_NAME = 256
_KINDS = (
    *(("tier", Tier), ("features", frozenset), ("endpoints", frozenset), ("fields", Mapping)),
    *(("limit_field", LimitField), ("passthrough", Passthrough)),
)
_PARTS = ("input", "cached_input", "output", "request")
_COUNTS = ("context_window", "max_output_tokens", "max_choices", "max_concurrent")
_MOST_TOKENS = 1_000_000_000
_MOST_FACTOR = 100


def flaw(offer: Any) -> str | None:
    """What of `offer` is not what it must be, in a sentence; None where all is. Prices are judged elsewhere."""
    if not is_name(offer.model):
        return f"its model has no name that can be asked for: 1 to {_MOST_OF_A_NAME} printable characters"
    if not (_is_text(offer.upstream) and offer.upstream and _is_text(offer.node)):
        return "it does not say which model to ask the provider for"
    if offer.canonical and not is_name(offer.canonical):
        return "its canonical name is none"
    for name, kind in _KINDS:
        if not isinstance(getattr(offer, name), kind):
            return f"its {name} is {getattr(offer, name)!r}, which is none"
    for name, rule in offer.fields.items():
        if not (isinstance(name, str) and isinstance(rule, FieldRule)):
            return f"its fields have {name!r}: {rule!r}, which is no rule"
    for name in _COUNTS:
        count = getattr(offer, name)
        if count is not None and not _whole(count, least=1):
            return f"its {name} is {count!r}, which bounds nothing"
    for name in ("input_overhead", "attachment_tokens"):
        if not _whole(getattr(offer, name), least=0):
            return f"its {name} is {getattr(offer, name)!r}, which bounds nothing"
    factor = offer.input_factor
    if not (isinstance(factor, int | float) and math.isfinite(factor) and 0 < factor <= _MOST_FACTOR):
        return f"its input_factor is {factor!r}, which bounds nothing"
    if not _whole(offer.rail_fee_ppm, least=0):
        return f"its rail_fee_ppm is {offer.rail_fee_ppm!r}, which is no share"
    if not _whole(offer.as_of_ms, least=0, most=2**53):
        return f"its price is of {offer.as_of_ms!r}, which is no time"
    if not (isinstance(offer.reputation, int | float) and 0 < offer.reputation <= 1):
        return f"its reputation is {offer.reputation!r}, which is no share"
    return None if isinstance(offer.withheld, str) else "it does not say why it is withheld"


def is_number(price: Any) -> bool:
    """True where each part of a price is a number, and neither infinite nor NaN."""
    if isinstance(price, Free):
        return True
    kind: type = Decimal if isinstance(price, UsdPrice) else int
    if not isinstance(price, UsdPrice | MsatPrice):
        return False
    parts = [getattr(price, name) for name in _PARTS]
    return all(type(part) is kind for part in parts) and all(part.is_finite() for part in parts if kind is Decimal)


def is_name(name: Any) -> bool:
    """True for what can be asked for."""
    return isinstance(name, str) and 0 < len(name) <= _MOST_OF_A_NAME and name.isprintable() and name == name.strip()


def _is_text(said: Any) -> bool:
    """True for what can be written down: half of a surrogate pair cannot, and would fail the call that it serves."""
    return isinstance(said, str) and said.encode(errors="replace").decode() == said


def _whole(count: Any, *, least: int, most: int = _MOST_TOKENS) -> bool:
    return type(count) is int and least <= count <= most
