"""Owns the arithmetic of a report and its words. Pure: runs in, text out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import msgspec

from benchmarks.load import Case, Run

GOAL = 2.5
GOAL_CONNECTIONS = 32
LATER = 1.1
UPSTREAM, BARE, ARBSTR = NAMES = ("upstream", "bare", "arbstr")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The rounds of one target in one case: medians, and all errors. Latencies in milliseconds."""

    requests: int
    cpu_us: float
    rps: float
    p50_ms: float
    p99_ms: float
    added_p50_ms: float
    errors: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One case: a row for each target, and arbstr's CPU as a multiple of the bare pass-through's.

    `ratio` is the median of the rounds' own ratios: what ran within the same seconds is compared.
    """

    case: Case
    rows: dict[str, Row]
    ratio: float
    lowest: float
    highest: float

    @property
    def judged(self) -> bool:
        """True where the goal is meant."""
        return self.case.connections == GOAL_CONNECTIONS


def compare(case: Case, rounds: Sequence[Mapping[str, Run]]) -> Comparison:
    """What the rounds of a case come to; each round has a run of every target."""
    alone = _median(rounds, UPSTREAM, lambda run: run.p50_us)
    ratios = [each[ARBSTR].cpu_us / each[BARE].cpu_us for each in rounds]
    return Comparison(
        case=case,
        rows={name: _row(rounds, name, alone) for name in NAMES},
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
    )


def _row(rounds: Sequence[Mapping[str, Run]], name: str, alone_us: float) -> Row:
    p50 = _median(rounds, name, lambda run: run.p50_us)
    return Row(
        requests=sum(each[name].requests for each in rounds),
        cpu_us=_median(rounds, name, lambda run: run.cpu_us),
        rps=_median(rounds, name, lambda run: run.rps),
        p50_ms=p50 / 1000,
        p99_ms=_median(rounds, name, lambda run: run.p99_us) / 1000,
        added_p50_ms=(p50 - alone_us) / 1000,
        errors=sum(each[name].errors for each in rounds),
    )


def _median(rounds: Sequence[Mapping[str, Run]], name: str, of: Callable[[Run], float]) -> float:
    return statistics.median(of(each[name]) for each in rounds)


def errors(found: Sequence[Comparison]) -> int:
    """How many calls went wrong in all."""
    return sum(row.errors for each in found for row in each.rows.values())


def table(found: Comparison) -> str:
    """One case, for people."""
    case = found.case
    connections = f"{case.connections} connection{'s' if case.connections > 1 else ''}"
    title = f"{case.name}, {connections}"
    heads = f"{'CPU us':>9}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'added ms':>10}{'errors':>8}"
    lines = [f"{title:<44}{heads}"]
    lines += [
        f"  {name:<42}{row.cpu_us:>9.0f}{row.rps:>10.0f}{row.p50_ms:>9.2f}{row.p99_ms:>9.2f}"
        f"{'' if name == UPSTREAM else format(row.added_p50_ms, '.2f'):>10}{row.errors:>8}"
        for name, row in found.rows.items()
    ]
    lines.append(f"  arbstr / bare: {found.ratio:.2f} ({found.lowest:.2f} to {found.highest:.2f}){_judgement(found)}")
    return "\n".join(lines)


def _judgement(found: Comparison) -> str:
    if not found.judged:
        return ""
    word = "reached" if found.ratio <= GOAL else "MISSED"
    return f"   goal <= {GOAL}: {word}   (later: {LATER})"
