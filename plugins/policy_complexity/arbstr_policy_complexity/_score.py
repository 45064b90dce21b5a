"""From signals to a score from 0 to 1 with its parts, and from that to a tier."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arbstr_core.api import ChatCall, Tier
from arbstr_policy_complexity._config import Config
from arbstr_policy_complexity._prompt import read
from arbstr_policy_complexity._signals import signals

_DIGITS = 3


class Score(msgspec.Struct, frozen=True):
    """How hard a prompt is, and what makes it so: `parts` add up to `value`, but for what is cut off below 0 and above
    1. Parts that are 0 are left out."""

    value: float
    tier: Tier
    parts: Mapping[str, float]


class Scorer:
    """Scores prompts by the weights of the configuration."""

    def __init__(self, config: Config) -> None:
        weights = msgspec.structs.asdict(config.weights)
        self._base: float = weights.pop("base")
        self._weights: dict[str, float] = weights
        self._words = frozenset(word.casefold() for word in config.keywords)
        self._standard = config.standard
        self._frontier = config.frontier

    def __call__(self, call: ChatCall) -> Score:
        """How hard the prompt of `call` is."""
        found = signals(read(call), self._words)
        parts = {"base": self._base}
        for name, weight in self._weights.items():
            part = round(weight * getattr(found, name), _DIGITS)
            if part:
                parts[name] = part
        value = round(min(1.0, max(0.0, sum(parts.values()))), _DIGITS)
        return Score(value, self._tier(value), parts)

    def _tier(self, value: float) -> Tier:
        if value >= self._frontier:
            return Tier.FRONTIER
        return Tier.STANDARD if value >= self._standard else Tier.LOCAL
