"""Owns how far the word of nodes holds: what they say was used, beside what others say of the same, and what they take,
beside what they quoted.

Nobody outside a node sees what its model counted. So what it reports is set beside the text that went in and came out,
as a ratio, and that ratio beside what other nodes report for the same model: who counts 1.2 tokens where the others
count one sells at 1.2 times its price, and is taken for that dear. Where it is beyond what chance explains, its money
is taken back. A node that nobody can be compared with is taken for a little dearer after a while, so that the next
cheapest gets some calls: if that is much dearer, a small lie does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

UNCONFIRMED_AFTER = 8
"""calls of one model, until somebody else has served as many"""
_UNCONFIRMED = 0.75
_LEAST = 3
_MOST = 200.0
_PRIOR_CALLS, _PRIOR_SPREAD = 3.0, 0.2
_SLACK, _SIGMAS = 0.03, 3.0
_ABSURD = math.log(3.0)
"""Beyond this from a token for four bytes there is no language, and no comparison needed"""
_MOST_OVERCHARGES = 3
_FORGET = 0.9
LEAST_REPUTATION = 0.01


class Tally(msgspec.Struct):
    """Logarithms of what was reported over what the text is, about: how many, their mean, and their squares."""

    calls: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Count one more; old ones fade."""
        if self.calls >= _MOST:
            self.squares *= (_MOST - 1) / _MOST
            self.calls = _MOST - 1
        self.calls += 1
        off = value - self.mean
        self.mean += off / self.calls
        self.squares += off * (value - self.mean)

    @property
    def error(self) -> float:
        """The square of how far the mean may be off; a few calls that agree by chance do not make it small."""
        spread = (self.squares + _PRIOR_CALLS * _PRIOR_SPREAD**2) / (self.calls + _PRIOR_CALLS)
        return spread / self.calls


class OfModel(msgspec.Struct):
    """What one node reported of one model: of input, and of output."""

    input: Tally = msgspec.field(default_factory=Tally)
    output: Tally = msgspec.field(default_factory=Tally)
    calls: int = 0


class Word(msgspec.Struct):
    """One node's. `overcharged` is by how much more than quoted it took lately, as a share; 1.0 is what was quoted."""

    models: dict[str, OfModel] = {}
    overcharged: float = 1.0
    overcharges: float = 0.0
    broken: str = ""
    """why its money is to come back, once that is so"""

    def used(
        self, model: str, *, asked: float | None, reported_in: int, shown: float | None, reported_out: int
    ) -> None:
        """A call reported so much, for text of about so many tokens; None where there was more than text."""
        of = self.models.setdefault(model, OfModel())
        of.calls += 1
        if asked and reported_in:
            of.input.add(math.log(reported_in / asked))
        if shown and reported_out:
            of.output.add(math.log(reported_out / shown))

    def took(self, cost: int, quoted: int) -> bool:
        """A call took `cost` msat, and by its own usage and the price quoted it is `quoted`. True where that is more,
        beyond rounding."""
        over = cost > quoted * 1.01 + 2
        share = cost / max(1, quoted) if over else 1.0
        self.overcharged = max(1.0, self.overcharged * _FORGET + share * (1 - _FORGET), share if over else 1.0)
        self.overcharges = self.overcharges * _FORGET + (1 if over else 0)
        return over


def reputation(word: Word, model: str, others: Iterable[Word], *, sold_elsewhere: bool) -> float:
    """How far the word of a node holds for a model: from LEAST_REPUTATION to 1."""
    if word.broken:
        return LEAST_REPUTATION
    of = word.models.get(model)
    share = 1.0
    if of is not None:
        peers = [each.models[model] for each in others if model in each.models]
        served = sum(peer.calls for peer in peers)
        beyond = max(_beyond(of.input, [peer.input for peer in peers])[0], _beyond(of.output, _outputs(peers))[0])
        share = math.exp(max(0.0, beyond))
        if sold_elsewhere and of.calls >= UNCONFIRMED_AFTER > served:
            share = max(share, 1 / _UNCONFIRMED)
    return max(LEAST_REPUTATION, 1 / (share * word.overcharged))


def judge(word: Word, others: Iterable[Word]) -> str:
    """Why a node's money is to come back; empty where it keeps its word, as far as can be said."""
    if word.broken:
        return word.broken
    if word.overcharges >= _MOST_OVERCHARGES * _FORGET**2:
        return "it takes more than it quotes"
    listed = list(others)
    for model, of in word.models.items():
        peers = [each.models[model] for each in listed if model in each.models]
        for what, tally, theirs in (
            ("input", of.input, [peer.input for peer in peers]),
            ("output", of.output, _outputs(peers)),
        ):
            if tally.calls >= _LEAST and tally.mean > _ABSURD:
                return f"it counts {math.exp(tally.mean):.1f} times the {what} of {model} that there is"
            beyond, chance = _beyond(tally, theirs)
            if beyond > _SLACK + _SIGMAS * chance:
                return f"it counts {math.exp(beyond):.2f} times the {what} of {model} that others count"
    return ""


def _outputs(peers: list[OfModel]) -> list[Tally]:
    return [peer.output for peer in peers]


def _beyond(tally: Tally, peers: list[Tally]) -> tuple[float, float]:
    """How far beyond that of others its mean is, and how far chance goes. Of several others the middle one counts."""
    known = sorted((peer for peer in peers if peer.calls >= _LEAST), key=lambda peer: peer.mean)
    if not known or not tally.calls:
        return 0.0, math.inf
    middle = known[(len(known) - 1) // 2]
    return tally.mean - middle.mean, math.sqrt(tally.error + middle.error)
