"""Owns the command: `python -m benchmarks.savings` replays, prints, and writes JSON and a picture where told to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.savings.book import models
from benchmarks.savings.mixes import EXACT, FAULT_RATES, MIXES, SEEDS
from benchmarks.savings.plot import svg
from benchmarks.savings.replay import Run, replay
from benchmarks.savings.report import found, savings, table

_PICTURED = 0.02


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: 0 where every goal is reached, else 1."""
    options = _options(words)
    book = models()[:: options.every]
    runs: dict[tuple[str, float], list[Run]] = {}
    results = []
    for mix in (EXACT, *MIXES):
        for rate in FAULT_RATES:
            seeds = SEEDS[: options.seeds]
            runs[mix.name, rate] = [replay(book, mix, seed, rate, options.requests) for seed in seeds]
            results.append(found(runs[mix.name, rate]))
            print(table(results[-1]) + "\n", flush=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    if options.svg:
        pictured = [run for mix in MIXES for run in runs[mix.name, _PICTURED]]
        names = results[0].spreads
        title = f"What is saved against the mean offer, {_PICTURED:.0%} faults, {len(book)} models"
        options.svg.write_text(svg(title, {name: savings(pictured, name) for name in names}))
    return 0 if all(each.reached for each in results) else 1


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.savings", description="What routing saves.")
    parser.add_argument("--requests", type=int, default=30, metavar="N", help="for each model (default 30)")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), metavar="N", help="how many of them (default all)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth model alone (default all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw a picture there")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
