"""Reads a caller's wishes of routing: the member `provider` of a request, and what stands after a model's name.

Source: OpenRouter's documentation, "Provider Routing" and "Model Variants".
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from arbstr_core.types import BadRequest, Knobs, MaxPrice, Rate, Sort
from arbstr_core.wire._reading import Reader

_SUFFIXES: dict[str, dict[str, Any]] = {
    "floor": {"sort": Sort.PRICE},
    "nitro": {"sort": Sort.THROUGHPUT},
    "free": {"free": True},
}
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "data_collection": (None, "allow"),
    "zdr": (None, False),
    "quantizations": (None, []),
    "enforce_distillable_text": (None, False),
}
"""What restricts whom the request may go to by what nobody here knows of a provider, and the values that do not"""
_PREFERENCES = frozenset({"preferred_min_throughput", "preferred_max_latency", "require_parameters"})
"""They order by more than is known, or ask for what is always so: an offer that lacks a field is no candidate."""
_MOST_NAMES = 64
_MOST_DIGITS = 32


class _Price(msgspec.Struct, forbid_unknown_fields=True):
    prompt: float | int | str | None = None
    completion: float | int | str | None = None
    request: float | int | str | None = None
    image: float | int | str | None = None
    audio: float | int | str | None = None


class _Sorted(msgspec.Struct):
    by: Sort | None = None


class _Provider(msgspec.Struct):
    sort: Sort | _Sorted | None = None
    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    allow_fallbacks: bool | None = None
    max_price: _Price | None = None


_KNOWN = frozenset(_Provider.__struct_fields__)


def read_knobs(read: Reader) -> Knobs | None:
    """The wishes in `provider`; None where there is none. Raises BadRequest, which names the knob."""
    said = read("provider", dict[str, Any], "an object")
    if not said:
        return None
    for name, value in said.items():
        if name in _HARMLESS and value not in _HARMLESS[name]:
            what = f"provider.{name} cannot be promised: arbstr does not know that of its providers; leave it out"
            raise BadRequest(what, param=f"provider.{name}")
        if name not in _KNOWN and name not in _HARMLESS and name not in _PREFERENCES:
            raise BadRequest(f"provider.{name[:64]} is not known here; leave it out", param="provider")
    try:
        asked = msgspec.convert(said, _Provider)
    except msgspec.ValidationError as bad:
        raise BadRequest(f"provider: {bad}", param="provider") from None
    return Knobs(
        sort=asked.sort.by if isinstance(asked.sort, _Sorted) else asked.sort,
        order=_names("order", asked.order),
        only=None if asked.only is None else _names("only", asked.only),
        ignore=_names("ignore", asked.ignore),
        allow_fallbacks=asked.allow_fallbacks is not False,
        max_price=None if asked.max_price is None else _most(asked.max_price),
    )


def suffixed(model: str, knobs: Knobs | None) -> tuple[str, Knobs] | None:
    """(the model, the wishes) in a name such as `m:floor`; None where nothing known stands after the last colon.

    What `provider` says counts before what a suffix does.
    """
    name, _, suffix = model.rpartition(":")
    wish = _SUFFIXES.get(suffix)
    if not name or wish is None:
        return None
    base = knobs or Knobs()
    if base.sort is not None and "sort" in wish:
        return name, base
    return name, msgspec.structs.replace(base, **wish)


def _names(knob: str, names: list[str] | None) -> tuple[str, ...]:
    if names is not None and len(names) > _MOST_NAMES:
        raise BadRequest(f"provider.{knob} has more than {_MOST_NAMES} names", param=f"provider.{knob}")
    return tuple(name.casefold() for name in names or ())


def _most(price: _Price) -> MaxPrice:
    for name in ("image", "audio"):
        if getattr(price, name) is not None:
            raise BadRequest(f"provider.max_price.{name} is not priced here; leave it out", param="provider.max_price")
    return MaxPrice(prompt=_rate(price.prompt), completion=_rate(price.completion), request=_rate(price.request))


def _rate(value: float | str | None) -> Rate | None:
    """US dollars, as OpenRouter has them, or an amount with its unit: `"590 sat"`."""
    if value is None:
        return None
    try:
        text = str(value)
        if len(text) > _MOST_DIGITS:
            raise ValueError(f"{text[:_MOST_DIGITS]!r} is longer than any price")
        number = isinstance(value, int | float) or text.replace(".", "", 1).isdigit()
        if number and Decimal(text) < 0:
            raise ValueError(f"{text!r} is negative")
        return Rate(Decimal(text), usd=True) if number else Rate.from_config(text)
    except (ValueError, ArithmeticError) as bad:
        raise BadRequest(f"provider.max_price: {bad}", param="provider.max_price") from None
