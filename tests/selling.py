"""Providers that offer what a test says, for tests of the market."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arbstr_core.api import Clock, Offer, Outbound, Provider, Reply
from arbstr_core.market import FixedRate, Market, Pricing, Rates
from arbstr_core.types import FxRate

NO_DOLLARS = FixedRate(None, spread_ppm=0, as_of_ms=0)


class Sells(Provider):
    """Offers what it is told to, or raises it; counts how often it was asked."""

    def __init__(self, name: str, answer: Any) -> None:
        self.name = name
        self.answer = answer
        self.asked = 0

    async def offers(self) -> Sequence[Offer]:
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        found: Sequence[Offer] = self.answer() if callable(self.answer) else self.answer
        return found

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        raise NotImplementedError


def market(*providers: Provider, clock: Clock, rates: Rates = NO_DOLLARS, **more: Any) -> Market:
    """The market of `providers`, without a margin; not refreshed yet."""

    def pricing(fx: FxRate | str) -> Pricing:
        return Pricing(margin_ppm=0, fx=fx)

    return Market(providers, pricing, rates, clock, refresh_seconds=60, stale_seconds=900, **more)
