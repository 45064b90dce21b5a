"""Owns list prices: what the package `genai-prices` says that a model costs at a provider, in dollars.

It is asked for only where the operator says so. Of prices that depend on how long a prompt is, or on the time of day,
the dearest counts: a call must not cost more than was set aside for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from arbstr_core.api import UsdPrice

EXTRA = "pip install 'arbstr-providers-openai[prices]'"
_HOURS = 24


class NoList(Exception):
    """The package is not there; the message says how to get it."""


class ListPrices:
    """The list that is installed."""

    def __init__(self) -> None:
        try:
            module = importlib.import_module("genai_prices.data_snapshot")
        except ImportError:
            raise NoList(f"list_prices needs the package genai-prices: {EXTRA}") from None
        self._list = module.get_snapshot()

    def of(self, url: str, upstream: str, now_ms: int) -> UsdPrice | str:
        """The price of a model at the provider whose API is at `url`, or why the list has none."""
        try:
            _, model = self._list.find_provider_model(upstream, None, None, url)
        except LookupError as unknown:
            return f"the list of prices does not know it: {unknown}"
        day = datetime.fromtimestamp(now_ms / 1000, UTC)
        hours = [model.get_prices(day.replace(hour=hour)) for hour in range(_HOURS)]
        given, said, request = (_dearest(hours, name) for name in ("input_mtok", "output_mtok", "requests_kcount"))
        reasoned, cached = (_dearest(hours, name) for name in ("output_reasoning_mtok", "cache_read_mtok"))
        if given is None or said is None:
            return "the list of prices has none for its text"
        return UsdPrice(
            input=given,
            cached_input=given if cached is None else cached,
            output=max(said, reasoned or Decimal(0)),
            request=(request or Decimal(0)) / 1000,
        )


def _dearest(hours: Iterable[Any], name: str) -> Decimal | None:
    """The highest price of one kind, at any hour and for any length; None where it has none."""
    found = [price for prices in hours if (price := getattr(prices, name, None)) is not None]
    return max((_highest(price) for price in found), default=None)


def _highest(price: Any) -> Decimal:
    """A price, or the highest of one with steps."""
    if isinstance(price, Decimal):
        return price
    return max(Decimal(price.base), *(Decimal(step.price) for step in price.tiers))
