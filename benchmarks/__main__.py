"""Owns the command: `python -m benchmarks` measures, prints, and writes JSON where it is told to."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import complexity, decision, growth, ledger, verify
from benchmarks.cluster import started_postgres
from benchmarks.load import Case, Run, measure
from benchmarks.machine import Cores, Missing, described, require, sync_ms
from benchmarks.processes import Scene, running
from benchmarks.report import ARBSTR, BARE, NAMES, UPSTREAM, Comparison, compare, errors, table

CASES = (
    Case(name="whole answer", connections=32),
    Case(name="whole answer", connections=1),
    Case(name="54 events at once", connections=32, stream=True),
    Case(name="54 events at once", connections=1, stream=True),
    Case(name="54 events, 5 ms apart", connections=32, stream=True, pacing="mock-slow"),
    Case(name="54 events, 5 ms apart", connections=1, stream=True, pacing="mock-slow"),
)
OFFERS = (3, 24, 1000)
AGENTS = (1, 1000)
GROWTH_GOAL = 1.2
VERIFY_GOAL = 10
_PACED_ROUNDS = 2


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: 0; 1 where calls failed, so that the figures count for nothing; 2 where something is missing."""
    options = _options(words)
    try:
        require("wrk", "cc")
        with tempfile.TemporaryDirectory(prefix="arbstr-bench-") as folder:
            return _run(Path(folder), options)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What arbstr costs, beside a bare proxy.")
    parser.add_argument("--seconds", type=_positive, default=3, metavar="N", help="length of a run (default 3)")
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N", help="runs of each (default 5)")
    parser.add_argument(
        "--transfers", type=_positive, default=1_000_000, metavar="N", help="size of the old ledger (default a million)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args(words)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _run(folder: Path, options: argparse.Namespace) -> int:
    cores = Cores.here()
    sync = sync_ms(folder)
    print(f"{described()}\n{cores}; making 4 KB durable takes {sync:.2f} ms")
    print(f"medians of {options.rounds} rounds of {options.seconds} s each, in turns: upstream, bare, arbstr")
    print("CPU is user + system, microseconds a call\n")
    with running(folder, cores) as scene:
        found = [_case(case, scene, folder, cores, options) for case in CASES]
        audit = scene.audit()
    held = f"{audit['transfers']} transfers, sum {audit['sum_msat']} msat, {audit['open_holds']} open holds"
    print(f"arbstr's ledger afterwards: {'verified' if audit['ok'] else 'BROKEN'}, {held}\n")
    rooms = _rooms(folder, cores, options)
    if options.json:
        options.json.write_bytes(_document(sync, options, found, rooms))
    failed = errors(found)
    if failed or not audit["ok"]:
        print(f"{failed} calls failed, or the ledger does: these figures count for nothing", file=sys.stderr)
        return 1
    return 0


def _case(case: Case, scene: Scene, folder: Path, cores: Cores, options: argparse.Namespace) -> Comparison:
    targets = {UPSTREAM: scene.upstream, BARE: scene.bare, ARBSTR: scene.arbstr}
    for name in (BARE, ARBSTR):
        measure(targets[name], case, 1, folder, cores)
    rounds: list[Mapping[str, Run]] = [
        {name: measure(targets[name], case, options.seconds, folder, cores) for name in NAMES}
        for _ in range(min(options.rounds, _PACED_ROUNDS) if case.pacing else options.rounds)
    ]
    found = compare(case, rounds)
    print(table(found) + "\n", flush=True)
    return found


def _rooms(folder: Path, cores: Cores, options: argparse.Namespace) -> dict[str, Any]:
    """The ledger and the router by themselves, on the proxy's core."""
    with cores.here_as_proxy():
        decisions = decision.measure(OFFERS, options.seconds)
        scoring = complexity.measure()
    for each in decisions:
        print(each.told())
    print(scoring.told(), flush=True)
    ledgers, replays = _ledgers(folder, cores, options)
    with cores.here_as_proxy():
        grown = growth.measure(folder, options.transfers)
    replays["SQLite"] = replayed = verify.again(folder, growth.URL)
    for cost in (grown.early, grown.late):
        print(
            f"ledger on SQLite at {cost.transfers} transfers: {cost.pages:.2f} pages, "
            f"{cost.instructions:.0f} instructions of SQLite, {cost.cpu_us:.0f} us a pair"
        )
    print(
        f"late to early: {grown.pages_ratio:.2f} x the pages, {grown.instructions_ratio:.2f} x the instructions "
        f"(goal <= {GROWTH_GOAL})"
    )
    print(f"{verify.told(replayed)} on SQLite (goal <= {VERIFY_GOAL} s)", flush=True)
    return {
        "ledger": ledgers,
        "growth": msgspec.to_builtins(grown),
        "replayed": {name: msgspec.to_builtins(run) for name, run in replays.items()},
        "decisions": msgspec.to_builtins(decisions),
        "complexity": msgspec.to_builtins(scoring),
    }


def _ledgers(
    folder: Path, cores: Cores, options: argparse.Namespace
) -> tuple[list[dict[str, Any]], dict[str, verify.VerifyRun]]:
    """One hot agent and many, on SQLite and on PostgreSQL, which has the other core."""
    found = []
    with started_postgres() as cluster:
        for agents in AGENTS:
            where = {"SQLite": f"sqlite:///ledger-{agents}.db", "PostgreSQL": cluster.create_database()}
            for name, url in where.items():
                with cores.here_as_proxy():
                    run = ledger.measure(folder, options.seconds, url=url, agents=agents)
                print(
                    f"ledger on {name}, {ledger.TASKS} tasks, {agents} agents: {run.pairs_per_second:.0f} holds with "
                    f"settle/s, {run.cpu_us:.0f} us of this process a pair",
                    flush=True,
                )
                found.append({"database": name, "agents": agents, **msgspec.to_builtins(run)})
        # Its server and this process each have a core, as where it is used.
        replayed = verify.measure(folder, options.transfers, url=cluster.create_database())
        print(f"{verify.told(replayed)} on PostgreSQL (goal <= {VERIFY_GOAL} s)", flush=True)
    return found, {"PostgreSQL": replayed}


def _document(sync: float, options: argparse.Namespace, found: list[Comparison], rooms: dict[str, Any]) -> bytes:
    whole = {
        "machine": described(),
        "sync_ms": sync,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "cases": found,
        **rooms,
    }
    return msgspec.json.format(msgspec.json.encode(whole)) + b"\n"


if __name__ == "__main__":
    sys.exit(main())
