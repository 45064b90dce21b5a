"""What calls that ended add up to since this process began: sums and histograms by provider and model.

A model is named only where it was sold, so what callers ask for makes no new rows; and there is a bound all the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import msgspec

from arbstr_core.journal._families import COUNTER, Family, Labels, histogram
from arbstr_core.journal._journal import CallRow

OTHER = "other"
"""what stands for every model beyond the bound"""
_MOST_PAIRS = 1_000
_MOST_OUTCOMES = 100
_OVERHEAD = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_FIRST_BYTE = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
_WHOLE = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)


class _Spread:
    """A histogram: how many values there were up to each edge, and what they add up to."""

    __slots__ = ("counts", "edges", "sum")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value


class _Sums(msgspec.Struct):
    """What the calls of one model at one provider add up to."""

    outcomes: dict[str, int]
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    charged_msat: int = 0
    cost_msat: int = 0


class Counts:
    """Counts each call once. For one event loop; nothing here waits."""

    def __init__(self, *, most_pairs: int = _MOST_PAIRS) -> None:
        self._most_pairs = most_pairs
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._overhead = _Spread(_OVERHEAD)
        self._first_byte: dict[str, _Spread] = {}
        self._whole: dict[str, _Spread] = {}

    def note(self, row: CallRow) -> None:
        """Add one call."""
        sums = self._sums.get((row.provider, row.sold)) or self._pair(row.provider, row.sold)
        outcome = row.outcome if row.outcome in sums.outcomes or len(sums.outcomes) < _MOST_OUTCOMES else OTHER
        sums.outcomes[outcome] = sums.outcomes.get(outcome, 0) + 1
        for attempt in row.attempts:
            key = (attempt.provider, attempt.outcome)
            self._attempts[key] = self._attempts.get(key, 0) + 1
        if row.overhead_ms is not None:
            self._overhead.note(row.overhead_ms / 1000)
        if not row.provider:
            return
        sums.input_tokens += row.input_tokens
        sums.cached_input_tokens += row.cached_input_tokens
        sums.output_tokens += row.output_tokens
        sums.charged_msat += row.charged_msat
        sums.cost_msat += row.cost_msat
        if row.first_byte_ms:
            _spread(self._first_byte, row.provider, _FIRST_BYTE).note(row.first_byte_ms / 1000)
        _spread(self._whole, row.provider, _WHOLE).note(row.total_ms / 1000)

    def _pair(self, provider: str, model: str) -> _Sums:
        if (provider, model) not in self._sums and len(self._sums) >= self._most_pairs:
            model = OTHER
        return self._sums.setdefault((provider, model), _Sums({}))

    def families(self) -> Iterator[Family]:
        """All of it, as it is now."""
        pairs = [({"provider": provider, "model": model}, sums) for (provider, model), sums in self._sums.items()]
        yield Family(
            "arbstr_requests",
            COUNTER,
            "Calls that ended, by who served them and how; provider and model are empty where nobody did.",
            [("", {**labels, "outcome": how}, n) for labels, sums in pairs for how, n in sums.outcomes.items()],
        )
        yield Family(
            "arbstr_tokens",
            COUNTER,
            "Tokens of calls that ended; cached input is part of input.",
            list(_tokens(pairs)),
        )
        yield _msat("arbstr_charged_msat", "What agents were charged.", pairs, "charged_msat")
        yield _msat("arbstr_cost_msat", "What the calls that were served cost the operator.", pairs, "cost_msat")
        yield Family(
            "arbstr_attempts",
            COUNTER,
            "Attempts at providers, by how each ended.",
            [("", {"provider": who, "outcome": how}, count) for (who, how), count in self._attempts.items()],
        )
        overhead = self._overhead
        yield histogram(
            "arbstr_overhead_seconds",
            "From a call's arrival to the moment at which its first provider was asked: arbstr's own part.",
            [({}, overhead.edges, overhead.counts, overhead.sum)],
        )
        yield histogram(
            "arbstr_first_byte_seconds", "From a call's arrival to its first byte.", _spreads(self._first_byte)
        )
        yield histogram("arbstr_call_seconds", "From a call's arrival to its end.", _spreads(self._whole))


def _spread(spreads: dict[str, _Spread], provider: str, edges: tuple[float, ...]) -> _Spread:
    found = spreads.get(provider)
    if found is None:
        found = spreads[provider] = _Spread(edges)
    return found


def _spreads(spreads: dict[str, _Spread]) -> list[tuple[Labels, tuple[float, ...], list[int], float]]:
    return [({"provider": name}, spread.edges, spread.counts, spread.sum) for name, spread in spreads.items()]


def _tokens(pairs: Iterable[tuple[Labels, _Sums]]) -> Iterator[tuple[str, Labels, float]]:
    for labels, sums in pairs:
        if labels["provider"]:
            yield "", {**labels, "kind": "input"}, sums.input_tokens
            yield "", {**labels, "kind": "cached_input"}, sums.cached_input_tokens
            yield "", {**labels, "kind": "output"}, sums.output_tokens


def _msat(name: str, help: str, pairs: Iterable[tuple[Labels, _Sums]], field: str) -> Family:
    samples = [("", labels, getattr(sums, field)) for labels, sums in pairs if labels["provider"]]
    return Family(name, COUNTER, help, samples)
