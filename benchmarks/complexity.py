"""Owns how good and how fast the scoring of prompts is, on the labelled prompts of the plugin's tests."""

from __future__ import annotations

import importlib.util
import statistics
import time
from pathlib import Path
from types import ModuleType

import msgspec
from arbstr_policy_complexity._config import Config
from arbstr_policy_complexity._score import Scorer

from arbstr_core.types import ChatCall, Tier

_LABELLED = Path(__file__).parents[1] / "plugins" / "policy_complexity" / "tests" / "labelled.py"
_TIMES = 5
SETS = {
    "that set the weights": "tuning",
    "held out, known when the words were chosen": "held_out",
    "written after everything else": "unseen",
}
GOAL_MS = 1.0


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """For one set of prompts: how many there are, for how many the tier is the labelled one, or two tiers off."""

    name: str
    prompts: int
    right: int
    far: int

    def told(self) -> str:
        """For people."""
        share = f"{self.right / self.prompts:.1%} of {self.prompts} prompts"
        return f"complexity, prompts {self.name}: the labelled tier for {share}, two tiers off for {self.far}"


class Scoring(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy on each set, and the CPU of a score in microseconds."""

    sets: list[Accuracy]
    median_us: float
    most_us: float

    def told(self) -> str:
        """For people."""
        goal = f"goal <= {GOAL_MS} ms: {'reached' if self.most_us <= GOAL_MS * 1000 else 'MISSED'}"
        cpu = f"a score takes {self.median_us:.0f} us of CPU, at most {self.most_us:.0f} ({goal})"
        return "\n".join([*(each.told() for each in self.sets), cpu])


def measure() -> Scoring:
    """All prompts, scored by the default weights."""
    labelled, score = _labelled(), Scorer(Config())
    sets = {name: getattr(labelled, which)() for name, which in SETS.items()}
    times = [_cpu_us(score, call) for prompts in sets.values() for _, call in prompts]
    return Scoring(
        sets=[_accuracy(name, prompts, score) for name, prompts in sets.items()],
        median_us=statistics.median(times),
        most_us=max(times),
    )


def _accuracy(name: str, prompts: list[tuple[Tier, ChatCall]], score: Scorer) -> Accuracy:
    off = [abs(score(call).tier.rank - tier.rank) for tier, call in prompts]
    return Accuracy(name=name, prompts=len(prompts), right=off.count(0), far=off.count(2))


def _cpu_us(score: Scorer, call: ChatCall) -> float:
    """The least of a few times: what else the machine does only adds to it."""
    found = []
    for _ in range(_TIMES):
        began = time.thread_time()
        score(call)
        found.append(time.thread_time() - began)
    return min(found) * 1e6


def _labelled() -> ModuleType:
    spec = importlib.util.spec_from_file_location("labelled_prompts", _LABELLED)
    assert spec is not None, _LABELLED
    assert spec.loader is not None, _LABELLED
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
