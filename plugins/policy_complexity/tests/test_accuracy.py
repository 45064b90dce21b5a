"""How often the tier is the one that a person would want, on prompts that the weights were not set by; and how much
work a score is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import ModuleType

import arbstr_policy_complexity
import pytest
from arbstr_policy_complexity import _signals
from arbstr_policy_complexity._score import Scorer

from arbstr_core.api import ChatCall, Tier
from arbstr_core.testing import a_call, configure

SCORER = Scorer(configure(arbstr_policy_complexity, {}))


def right(labelled: Iterable[tuple[Tier, ChatCall]]) -> float:
    """The share whose tier is the labelled one."""
    found = [SCORER(call).tier is tier for tier, call in labelled]
    return sum(found) / len(found)


def test_the_labelled_prompts_are_many_and_of_every_kind(labelled: ModuleType) -> None:
    rows = [row for file in (labelled.FIRST, labelled.SECOND, labelled.UNSEEN) for row in labelled.rows(file)]
    texts = [row.get("text") or row["messages"][-1]["content"] for row in rows]
    assert len(rows) == len(set(texts)) >= 300
    for tier in Tier:
        assert sum(row["label"] == tier for row in rows) >= 80
    for key in ("messages", "tools", "schema", "document"):
        assert sum(key in row for row in rows) >= 5, key
    assert sum(any(ord(letter) > 0x2FF for letter in text) for text in texts) >= 8  # other scripts
    assert len(labelled.tuning()) + len(labelled.held_out()) + len(labelled.unseen()) == len(rows)


def test_the_tier_is_mostly_the_one_that_a_person_would_want(labelled: ModuleType) -> None:
    assert right(labelled.unseen()) >= 0.83
    assert right(labelled.held_out()) >= 0.95
    assert right(labelled.tuning()) >= 0.91


def test_it_is_never_wrong_by_two_tiers(labelled: ModuleType) -> None:
    far = [
        (tier, call.last_user_message()[:60])
        for tier, call in (*labelled.tuning(), *labelled.held_out(), *labelled.unseen())
        if abs(SCORER(call).tier.rank - tier.rank) > 1
    ]
    assert far == []


@pytest.mark.parametrize("size", [10_000, 1_000_000, 20_000_000])
def test_long_prompts_are_looked_at_in_part(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What scoring costs is bounded by what it reads: `make bench` prints the time."""
    read: list[int] = []
    words_of = _signals.words_of

    def counted(text: str) -> list[str]:
        read.append(len(text))
        return words_of(text)

    monkeypatch.setattr(_signals, "words_of", counted)
    turn = {"role": "user", "content": "why " * (size // 40)}
    found = SCORER(a_call(messages=[turn] * 10, model="auto"))
    assert found.parts["length"] > 0.07
    assert sum(read) <= 3 * 1_300


@pytest.mark.parametrize("word", ["a" * 2990 + "//", "a" * 2990 + ".x", "-" * 2990 + "/", ".a" * 1490, "/a" * 1490])
def test_no_prompt_is_looked_at_again_and_again(word: str) -> None:
    """A prompt that is made for it took a third of a second, in which nobody else was served."""
    call = a_call(messages=[{"role": "user", "content": word}] * 3, model="auto")
    began = time.thread_time()
    SCORER(call)
    assert time.thread_time() - began < 0.05
