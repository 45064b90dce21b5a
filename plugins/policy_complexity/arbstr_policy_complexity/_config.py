"""Owns the shape of `[plugins.policy_complexity]`."""

from __future__ import annotations

import math

import msgspec


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What each part adds to the score at its strongest; `base` is what every prompt begins with.

    Set by ordinal logistic regression on one half of the labelled prompts in the tests, and rounded.
    """

    base: float = 0.37
    length: float = 0.08
    code: float = 0.05
    files: float = 0.09
    reasoning: float = 0.51
    work: float = 0.13
    demands: float = 0.23
    wording: float = 0.05
    depth: float = 0.06
    tools: float = 0.16
    schema: float = 0.02
    simple: float = -0.32

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            weight = getattr(self, name)
            if not (math.isfinite(weight) and -1 <= weight <= 1):
                raise ValueError(f"{name} is {weight}; a weight is from -1 to 1, for scores are from 0 to 1")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`[plugins.policy_complexity]`.

    `standard` and `frontier` are the scores from which a prompt is of that tier. `models` are the names whose tier the
    prompt decides; `keywords` further words that make a prompt hard. `escalate` lets higher tiers stand in for one that
    is down.
    """

    standard: float = 0.35
    frontier: float = 0.70
    models: tuple[str, ...] = ("auto",)
    keywords: tuple[str, ...] = ()
    escalate: bool = True
    weights: Weights = Weights()

    def __post_init__(self) -> None:
        if not 0 <= self.standard <= self.frontier <= 1:
            raise ValueError(
                f"standard is {self.standard} and frontier {self.frontier}; scores are from 0 to 1, and a frontier "
                "prompt has the higher one"
            )
        for word in self.keywords:
            if not word.strip() or len(word.split()) > 1:
                raise ValueError(f"keywords has {word!r}; write single words")
