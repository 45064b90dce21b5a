"""Owns the figures of a replay and their words. Pure: runs in, text out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from benchmarks.savings.replay import ARBSTR, Run

CLAIRVOYANT = "clairvoyant"
GOALS = {0.0: 0.99, 0.02: 0.98, 0.10: 0.95}
"""The share of the clairvoyant's saving that arbstr is to keep, by the rate of faults."""
_PARTS = (10, 25, 50, 75, 90)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy saves against the mean offer: by models, percentiles and mean. `kept` is its share of what the
    clairvoyant saves."""

    percentiles: dict[int, float]
    mean: float
    kept: float


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One mix at one rate of faults, over all seeds."""

    mix: str
    rate: float
    spreads: dict[str, Spread]
    unserved: int

    @property
    def kept(self) -> float:
        """What arbstr keeps of the clairvoyant's saving."""
        return self.spreads[ARBSTR].kept

    @property
    def reached(self) -> bool:
        """True where that is as much as it is to be."""
        return self.kept >= GOALS[self.rate]


def savings(runs: Sequence[Run], name: str) -> list[float]:
    """What `name` saved, model by model and seed by seed, least first."""
    return sorted(each.saving(name) for run in runs for each in run.models.values())


def found(runs: Sequence[Run]) -> Found:
    """What came of runs that differ in their seed alone."""
    names = next(iter(runs[0].models.values())).by
    best = statistics.fmean(savings(runs, CLAIRVOYANT))
    return Found(
        mix=runs[0].mix,
        rate=runs[0].rate,
        spreads={name: _spread(savings(runs, name), best) for name in names},
        unserved=sum(run.unserved for run in runs),
    )


def _spread(values: list[float], best: float) -> Spread:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    mean = statistics.fmean(values)
    return Spread(percentiles={part: cuts[part - 1] for part in _PARTS}, mean=mean, kept=mean / best)


def table(each: Found) -> str:
    """One mix at one rate, for people."""
    title = f"{each.mix}, {each.rate:.0%} faults"
    heads = "".join(f"{f'p{part}' if part != 50 else 'median':>9}" for part in _PARTS)
    lines = [f"{title:<24}{heads}{'mean':>9}{'kept':>9}"]
    for name, spread in each.spreads.items():
        cells = [*spread.percentiles.values(), spread.mean, spread.kept]
        lines.append(f"  {name:<22}" + "".join(f"{100 * cell:>8.1f}%" for cell in cells))
    goal = GOALS[each.rate]
    word = "reached" if each.reached else "MISSED"
    lines.append(
        f"  arbstr keeps {100 * each.kept:.2f} % of what is saved by who knows everything: goal >= {100 * goal:.0f} %: "
        f"{word}; {each.unserved} requests had to be made again"
    )
    return "\n".join(lines)
