"""Which tiers policies demand together: those that serve, and those above that stand in for them."""

from __future__ import annotations

from collections.abc import Sequence

from arbstr_core.routing._quote import out_of
from arbstr_core.types import Excluded, Quote, Tier, Verdict


class Demanded:
    """What the verdicts so far demand: from `floor` to `ceiling`, and up to `spare` where that fails."""

    __slots__ = ("ceiling", "floor", "spare")

    def __init__(self) -> None:
        self.floor = Tier.LOCAL
        self.ceiling = self.spare = Tier.FRONTIER

    def add(self, verdict: Verdict) -> None:
        """Demand what `verdict` does, too: the highest floor and the lowest ceiling count."""
        if verdict.tier_floor is not None:
            self.floor = max(self.floor, verdict.tier_floor, key=_rank)
        if verdict.tier_ceiling is not None:
            self.ceiling = min(self.ceiling, verdict.tier_ceiling, key=_rank)
            self.spare = min(self.spare, verdict.tier_spare or verdict.tier_ceiling, key=_rank)

    def within(self, quotes: tuple[Quote, ...], excluded: list[Excluded]) -> tuple[Quote, ...]:
        """Those of the tiers demanded, the ones that stand in among them; the others join `excluded`."""
        if self.floor is Tier.LOCAL and (self.ceiling is Tier.FRONTIER or self.spare is Tier.FRONTIER):
            return quotes
        lowest, highest = self.floor.rank, max(self.spare.rank, self.ceiling.rank)
        kept = []
        for quote in quotes:
            offer = quote.offer
            if lowest <= offer.tier.rank <= highest:
                kept.append(quote)
            else:
                excluded.append(out_of(offer, f"its tier {offer.tier} is not the one demanded"))
        return tuple(kept)

    def split(self, quotes: Sequence[Quote]) -> tuple[Sequence[Quote], Sequence[Quote]]:
        """(those that serve, those that stand in for them). Where none serves, the lowest tier that stands in does."""
        if self.ceiling is Tier.FRONTIER:
            return quotes, ()
        tiers = [quote.offer.tier.rank for quote in quotes]
        highest = max(self.ceiling.rank, min(tiers))
        return (
            [quote for quote, tier in zip(quotes, tiers, strict=True) if tier <= highest],
            [quote for quote, tier in zip(quotes, tiers, strict=True) if tier > highest],
        )


def _rank(tier: Tier) -> int:
    return tier.rank
