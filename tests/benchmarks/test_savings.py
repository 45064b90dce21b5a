"""The savings benchmark: the book, the mixes and the rivals' arithmetic. Nothing here is timed."""

from __future__ import annotations

import statistics
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks.savings.__main__ import main
from benchmarks.savings.book import models
from benchmarks.savings.mixes import EXACT, FAULT_RATES, MIXES, SEEDS, Fault, Mix, asks, fault
from benchmarks.savings.replay import ARBSTR, replay
from benchmarks.savings.report import GOALS, found, table
from benchmarks.savings.rivals import paid


def never(provider: str, number: int, attempt: int) -> None:
    return None


def test_the_book_is_whole() -> None:
    book = models()
    sizes = [len(model.offers) for model in book]
    assert (len(book), sum(sizes), min(sizes), max(sizes)) == (145, 1034, 4, 24)
    assert all(row.input_usd_per_mtok > 0 < row.output_usd_per_mtok for model in book for row in model.offers)


def test_the_cheapest_saves_what_was_computed_by_hand() -> None:
    """For three tokens of input to one of output, against the mean of all offers: 25.4 % and 34.3 %."""
    found = [
        paid(model, asks(EXACT, model.model, SEEDS[0], 1), never, single="", seed=1).saving("cheapest by list")
        for model in models()
    ]
    assert round(100 * statistics.median(found), 1) == 25.4
    assert round(100 * statistics.fmean(found), 1) == 34.3


@pytest.mark.parametrize("rate", FAULT_RATES)
def test_nobody_does_better_than_who_knows_everything(rate: float) -> None:
    for model in models()[::29]:
        for mix in MIXES:
            asked = asks(mix, model.model, SEEDS[0], 50)
            found = paid(
                model,
                asked,
                lambda provider, number, attempt: fault(SEEDS[0], rate, model.model, provider, number, attempt),
                single="deepinfra",
                seed=1,
            )
            # But who waits until the cheapest is well again.
            of_now = [cost for name, cost in found.by.items() if name != "single provider"]
            assert min(of_now) == found.by["clairvoyant"] <= found.mean
            assert found.saving("dearest") <= found.saving("clairvoyant")


def test_requests_and_faults_are_the_same_each_time() -> None:
    one, two = (asks(MIXES[0], "m", 11, 500) for _ in range(2))
    assert one == two != asks(MIXES[0], "m", 23, 500)
    assert sum(ask.output_tokens for ask in one) == 294_008
    wrong = [fault(11, 0.1, "m", "p", number, 0) for number in range(2000)]
    assert wrong == [fault(11, 0.1, "m", "p", number, 0) for number in range(2000)]
    assert sum(each is not None for each in wrong) == 195
    assert {*wrong} == {None, *Fault}


def test_arbstr_pays_what_was_computed_by_hand() -> None:
    """Its own market, router and dispatch, asked for each model of the book: the same 25.4 % and 34.3 %."""
    run = replay(models(), EXACT, SEEDS[0], 0.0, 1)
    for model, each in run.models.items():
        assert each.by[ARBSTR] == pytest.approx(each.by["clairvoyant"]), model
    saved = [each.saving(ARBSTR) for each in run.models.values()]
    assert round(100 * statistics.median(saved), 1) == 25.4
    assert round(100 * statistics.fmean(saved), 1) == 34.3
    assert run.unserved == 0


@pytest.mark.parametrize("mix", [EXACT, *MIXES], ids=lambda mix: mix.name)
@pytest.mark.parametrize("rate", FAULT_RATES)
def test_with_faults_and_learned_outputs_it_keeps_most_of_what_can_be_saved(rate: float, mix: Mix) -> None:
    run = replay(models()[::6], mix, SEEDS[0], rate, 20)
    shown = found([run])
    assert shown.kept >= GOALS[rate]
    assert f"{rate:.0%} faults" in table(shown)
    assert "reached" in table(shown)
    assert all(each.by[ARBSTR] > 0 for each in run.models.values())


def test_the_same_replay_comes_to_the_same_bills() -> None:
    one, two = (replay(models()[::29], MIXES[0], SEEDS[1], 0.1, 10) for _ in range(2))
    assert one == two


def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "picture.svg"
    words = ["--every", "60", "--requests", "3", "--seeds", "1", "--json", str(figures), "--svg", str(picture)]
    assert main(words) in (0, 1)
    printed = capsys.readouterr().out
    assert printed.count("of what is saved by who knows everything") == 12
    assert len(msgspec.json.decode(figures.read_bytes())) == 12
    root = ElementTree.parse(picture).getroot()
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 6
