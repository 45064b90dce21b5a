"""The measuring kit: its arithmetic is right, and what needs no other program runs. Nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import complexity, decision, growth, ledger, verify
from benchmarks.__main__ import main
from benchmarks.load import Case, Run, parsed
from benchmarks.machine import Cores, Missing, require
from benchmarks.report import Comparison, compare, errors, table

WHOLE = Case(name="whole answer", connections=32)
STREAM = Case(name="stream", connections=1, stream=True)
PRINTED = (
    "Running 3s test\n  1 threads\n\n"
    'RESULT {"requests":2000,"micros":2000000,"p50_us":900,"p99_us":1700,'
    '"errors":{"connect":1,"read":2,"write":0,"status":4,"timeout":0}}\n'
)


def run(cpu: float, p50: float = 1000, failed: int = 0) -> Run:
    return Run(requests=100, rps=50, cpu_us=cpu, p50_us=p50, p99_us=2 * p50, errors=failed)


def rounds(*ratios: float, case: Case = WHOLE) -> Comparison:
    """Rounds in which bare costs 100, 200, ... microseconds, and arbstr so many times as much."""
    each = [
        {"upstream": run(5, 100), "bare": run(100 * number), "arbstr": run(100 * number * ratio, 3000, number)}
        for number, ratio in enumerate(ratios, 1)
    ]
    return compare(case, each)


def test_what_wrk_printed_is_read() -> None:
    found = parsed(PRINTED, cpu=0.5)
    assert found == Run(requests=2000, rps=1000, cpu_us=250, p50_us=900, p99_us=1700, errors=7)


def test_what_wrk_did_not_print_is_told() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        parsed("unable to connect to 127.0.0.1", cpu=0)


def test_a_ratio_compares_what_ran_together() -> None:
    found = rounds(2, 9, 1.5)
    assert (found.ratio, found.lowest, found.highest) == (2, 1.5, 9)
    assert found.rows["bare"].cpu_us == 200
    assert found.rows["arbstr"].requests == 300
    assert found.rows["arbstr"].added_p50_ms == pytest.approx(2.9)
    assert found.rows["bare"].added_p50_ms == pytest.approx(0.9)
    assert found.rows["arbstr"].errors == errors([found]) == 6


@pytest.mark.parametrize(("ratio", "said"), [(2.5, "reached"), (2.51, "MISSED")])
def test_the_goal_is_for_many_connections(ratio: float, said: str) -> None:
    assert f"goal <= 2.5: {said}" in table(rounds(ratio))
    assert "later: 1.1" in table(rounds(ratio))
    assert "goal" not in table(rounds(ratio, case=STREAM))


def test_columns_stand_below_each_other() -> None:
    lines = table(rounds(2, 3)).splitlines()
    assert len({len(line) for line in lines[:-1]}) == 1


@pytest.mark.parametrize(
    ("available", "taskset", "words"),
    [({2, 5}, True, ["taskset", "-c", "5", "x"]), ({2}, True, ["x"]), ({2, 5}, False, ["x"])],
)
def test_cores_are_pinned_where_that_can_be(available: set[int], taskset: bool, words: list[str]) -> None:
    cores = Cores(frozenset(available), taskset)
    assert cores.on(cores.load, "x") == words


def test_elsewhere_than_on_linux_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(Missing, match=r"need Linux .* and this is Darwin: run them there"):
        require("wrk")


@pytest.mark.parametrize("words", [["--seconds", "0"], ["--rounds", "x"], ["--more"]])
def test_odd_options_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert "usage: python -m benchmarks" in capsys.readouterr().err


def test_the_ledger_is_measured_and_verified(tmp_path: Path) -> None:
    found = ledger.measure(tmp_path, 0.05)
    assert found.pairs >= ledger.TASKS
    assert found.pairs_per_second > 0
    assert found.cpu_us > 0


def test_a_ledger_of_many_agents_is_measured_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    found = ledger.measure(tmp_path, 0.05, url=postgres_url, agents=70)
    assert found.pairs >= ledger.TASKS


def test_growth_is_measured_and_the_old_ledger_verified(tmp_path: Path) -> None:
    found = growth.measure(tmp_path, 5000)
    assert (found.early.transfers, found.late.transfers) == (2000, 5000)
    assert 0.5 < found.early.pages < 5
    assert found.early.instructions > 100
    # What does not depend on the machine is the same from the beginning.
    assert 0.8 < found.pages_ratio < 1.2
    assert 0.8 < found.instructions_ratio < 1.2
    assert verify.again(tmp_path, growth.URL, rounds=1).transfers >= 5000


def test_routing_decisions_are_measured() -> None:
    (found,) = decision.measure([3], 0.01)
    assert found.cpu_us > 0
    assert found.crowd_ratio > 0
    assert "goal <= 100" not in found.told()


@pytest.mark.parametrize(
    ("offers", "cpu", "ratio", "said"),
    [
        (24, 99.0, 1.1, ["goal <= 100 us: reached", "1.10 x as much (goal <= 1.2: reached)"]),
        (1000, 3001.0, 1.3, ["goal <= 3000 us: MISSED", "1.30 x as much (goal <= 1.2: MISSED)"]),
    ],
)
def test_decisions_are_held_to_their_goals(offers: int, cpu: float, ratio: float, said: list[str]) -> None:
    told = decision.Decision(offers=offers, cpu_us=cpu, crowd_ratio=ratio).told()
    assert all(words in told for words in said), told


def test_complexity_is_measured_on_all_labelled_prompts() -> None:
    found = complexity.measure()
    assert [each.prompts for each in found.sets] == [149, 106, 55]
    assert all(0.8 < each.right / each.prompts < 1 for each in found.sets)
    assert 0 < found.median_us <= found.most_us
    assert "after everything else: the labelled tier for 83.6% of 55 prompts, two tiers off for 0" in found.told()
