"""Owns the orders in which offers are tried. Each is a sum in msat or milliseconds, so that it can be explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arbstr_core.api import ChatCall, Quote, Standing, Strategy
from arbstr_policy_price._config import Balance

_FAILURE_MS = 10_000
"""What an attempt that fails costs in time, about: the failure itself, and beginning again elsewhere."""


def _worth(quote: Quote) -> float:
    """What the call is to be taken to cost, in msat: more than it says of a node whose word did not hold."""
    reputation = quote.offer.reputation
    return quote.cost_msat if reputation == 1.0 else quote.cost_msat / reputation


class Cheapest(Strategy):
    """Orders by what the call is expected to cost, then success rate, time to first token, and name."""

    name = "cheapest"

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        """(cost in msat, -success, first byte in ms, provider, node, model)."""
        offer = quote.offer
        record = standing.of(offer)
        return (_worth(quote), -record.success, record.first_byte_ms, offer.provider, offer.node, offer.model)


class Fastest(Strategy):
    """Orders by the time to the first token, counting what failures take and who waits in line; then by cost. Whom
    nobody has asked yet comes first, and is known from then on."""

    name = "fastest"

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        """(who waits in line, milliseconds, cost in msat, provider, node, model)."""
        record = standing.of(quote.offer)
        milliseconds = record.first_byte_ms + (1.0 - record.success) * _FAILURE_MS
        return (standing.queue(quote.offer), milliseconds, _worth(quote), *quote.offer.key)


class Balanced(Strategy):
    """Orders by cost, with what waiting and failing are worth to the operator added to it."""

    name = "balanced"

    def __init__(self, balance: Balance) -> None:
        self._second = balance.second.msat
        self._failure = balance.failure.msat

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        """(msat, cost in msat, provider, node, model)."""
        record = standing.of(quote.offer)
        waiting = record.first_byte_ms * (1 + standing.queue(quote.offer)) / 1000 * self._second
        failing = (1.0 - record.success) * self._failure
        return (_worth(quote) + waiting + failing, quote.cost_msat, *quote.offer.key)


class Pinned(Strategy):
    """Asks the providers of the configuration in their order, then whom this caller asked last, then the cheapest."""

    name = "pinned"

    def __init__(self, providers: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(providers)}
        self._last = len(self._places)

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        """(place in the list, -Unix milliseconds of the last call, cost in msat, provider, node, model)."""
        provider = quote.offer.provider
        place = self._places.get(provider)
        if place is None:
            place = self._places.get(provider.partition(".")[0], self._last)
        asked = standing.habits.served_ms.get(quote.offer.key, 0)
        return (place, -asked, _worth(quote), *quote.offer.key)
