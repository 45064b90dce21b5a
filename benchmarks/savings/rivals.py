"""Owns what others would have paid for the same requests, past the same faults. Pure.

Whoever meets a fault asks the next one of its own order. All costs are in millionths of a dollar.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

import msgspec

from benchmarks.savings.book import Model, Row
from benchmarks.savings.mixes import Ask, Fault

Faults = Callable[[str, int, int], Fault | None]
"""(provider, number of the request, attempt) to what goes wrong"""

_BLEND = (3, 1)
_MOST_ATTEMPTS = 50


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """What one model's requests cost, by who chose."""

    mean: float
    """the mean of all offers: the baseline"""
    by: dict[str, float]

    def saving(self, name: str) -> float:
        """The share of the baseline that `name` saved."""
        return 1 - self.by[name] / self.mean


def paid(model: Model, asks: Sequence[Ask], faults: Faults, *, single: str, seed: int) -> Paid:
    """What the rivals paid for `asks`. `single` is the provider that one of them has a contract with."""
    orders = _orders(model, single, random.Random(f"rivals {model.model} {seed}"))
    by = {name: sum(_cost(order(ask), ask, faults) for ask in asks) for name, order in orders.items()}
    by["clairvoyant"] = sum(_clairvoyant(model, ask, faults) for ask in asks)
    mean = sum(sum(_of(row, ask) for row in model.offers) / len(model.offers) for ask in asks)
    return Paid(mean=mean, by=by)


def _orders(model: Model, single: str, chance: random.Random) -> dict[str, Callable[[Ask], Iterable[Row]]]:
    by_list = sorted(model.offers, key=lambda row: (row.cost(*_BLEND), row.provider))
    own = next((row for row in model.offers if row.provider == single), None) or chance.choice(model.offers)
    return {
        "cheapest by list": lambda ask: by_list,
        "random": lambda ask: chance.sample(model.offers, len(model.offers)),
        "single provider": lambda ask: [own],
        "dearest": lambda ask: by_list[::-1],
    }


def _of(row: Row, ask: Ask) -> float:
    return row.cost(ask.input_tokens, ask.output_tokens)


def _cost(order: Iterable[Row], ask: Ask, faults: Faults) -> float:
    """What is paid until one answers: whoever hangs bills the input."""
    lost, rows = 0.0, list(order)
    for attempt in range(_MOST_ATTEMPTS):
        for row in rows:
            wrong = faults(row.provider, ask.number, attempt)
            if wrong is None:
                return lost + _of(row, ask)
            lost += row.cost(ask.input_tokens, 0) if wrong is Fault.HANGS else 0.0
    raise AssertionError("nobody answers, however often one asks")


def _clairvoyant(model: Model, ask: Ask, faults: Faults) -> float:
    """Knows what will be answered, and who will fail."""
    for attempt in range(_MOST_ATTEMPTS):
        up = [_of(row, ask) for row in model.offers if faults(row.provider, ask.number, attempt) is None]
        if up:
            return min(up)
    raise AssertionError("nobody answers, however often one asks")
