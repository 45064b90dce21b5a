"""What is known of offers and of callers when a plan is made."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arbstr_core.types._offers import Offer, Tier

Key = tuple[str, str, str]
"""`Offer.key`"""


class Shut(msgspec.Struct, frozen=True, kw_only=True):
    """Why an offer is not to be asked now, and until when, in Unix milliseconds."""

    reason: str
    until_ms: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """How one provider's model has done lately. `success` is a share from 0 to 1, `first_byte_ms` a moving mean."""

    success: float = 1.0
    first_byte_ms: float = 0.0


_CLEAN = Record()


class Habit(msgspec.Struct, frozen=True):
    """How many tokens of output a choice has had, as a moving mean over `calls`."""

    calls: int
    output: float


class Warm(msgspec.Struct, frozen=True):
    """What an offer was sent by an agent at `at_ms`, Unix time: it may have that prompt in its cache.

    `marks` are (bytes, checksum) of the prompt's beginnings; see `arbstr_core.wire.shared_bytes`.
    """

    at_ms: int
    marks: tuple[tuple[int, int], ...]


_FEWEST_CALLS = 3
"""of an agent, before its own habit counts for more than everybody's"""


class Habits(msgspec.Struct, frozen=True):
    """What was learned from calls that ended: of the caller, by model and by `Offer.key`, and of everybody.

    `mine` and `everybodys` are habits by model. `served_ms` is when each offer served the caller last, Unix time.
    `warm` is what the caller sent last to each offer, and `hits` which share of what an offer could have had in its
    cache it did charge as cached.
    """

    mine: Mapping[str, Habit] = {}
    everybodys: Mapping[str, Habit] = {}
    served_ms: Mapping[Key, int] = {}
    warm: Mapping[Key, Warm] = {}
    hits: Mapping[Key, float] = {}

    def output(self, model: str) -> float | None:
        """The tokens of output that a choice of `model` is likely to have; None where nothing is known."""
        mine = self.mine.get(model)
        if mine is not None and mine.calls >= _FEWEST_CALLS:
            return mine.output
        known = self.everybodys.get(model) or mine
        return None if known is None else known.output


ALL_TIERS = frozenset(Tier)


class Standing(msgspec.Struct, frozen=True):
    """What is known of the offers' behaviour when a plan is made, by `Offer.key`.

    `shut` are those whose breaker is open, so that they are in no plan. `waiting` says how many calls wait for a node
    that serves no more at one time, by (provider, node). `habits` are what was learned, and `tiers` those in
    which the model asked for is sold to such a call, up or down.
    """

    records: Mapping[Key, Record] = {}
    shut: Mapping[Key, Shut] = {}
    waiting: Mapping[tuple[str, str], int] = {}
    habits: Habits = Habits()
    tiers: frozenset[Tier] = ALL_TIERS

    def of(self, offer: Offer) -> Record:
        """The record of an offer; a clean one where nothing is known."""
        return self.records.get(offer.key, _CLEAN)

    def queue(self, offer: Offer) -> int:
        """How many calls wait for the node of an offer."""
        return self.waiting.get((offer.provider, offer.node), 0)
