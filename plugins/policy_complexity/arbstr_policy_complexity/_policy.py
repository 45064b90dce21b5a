"""Owns which tier a call demands: by its prompt, or by the header."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from arbstr_core.api import Caller, ChatCall, Endpoint, Quote, RoutingPolicy, Standing, Tier, Verdict
from arbstr_policy_complexity._config import Config
from arbstr_policy_complexity._score import Score, Scorer

HEADER = "x-arbstr-complexity"
_SAID = {"low": Tier.LOCAL, "medium": Tier.STANDARD, "high": Tier.FRONTIER, **{tier.value: tier for tier in Tier}}
_BY_RANK = sorted(Tier, key=lambda tier: tier.rank)


class ComplexityPolicy(RoutingPolicy):
    """Demands a tier, as floor and ceiling. The prompt decides for the names in `models`; a model that is named
    explicitly is respected, and the header, which counts for every call, never leaves it nobody."""

    name = "policy_complexity"

    def __init__(self, config: Config) -> None:
        self._models = frozenset(config.models)
        self._escalate = config.escalate
        self._score = Scorer(config)

    def consider(self, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing) -> Verdict:
        """Keep all, and say of which tier those are to be that serve."""
        said = call.hints.get(HEADER)
        asked = None if said is None else _SAID.get(said.strip().casefold())
        decides = call.model in self._models
        if not quotes or call.endpoint is Endpoint.EMBEDDINGS or (asked is None and not decides):
            return Verdict(kept=quotes)
        if asked is not None:
            why, notes = f"X-Arbstr-Complexity asks for {asked}", {"by": "header", "tier": asked.value}
        else:
            score = self._score(call)
            asked, why, notes = score.tier, _why(score, said), _notes(score)
        on_sale = standing.tiers if decides else {quote.offer.tier for quote in quotes}
        tier = _nearest(asked, on_sale)
        if tier is not asked:
            why += f"; nothing of it or above is on sale, so {tier}"
            notes["tier"] = tier.value
        return Verdict(
            kept=quotes,
            reasons=(why,),
            tier_floor=tier,
            tier_ceiling=tier,
            tier_spare=Tier.FRONTIER if self._escalate or not decides else None,
            notes=notes,
        )


def _nearest(asked: Tier, on_sale: Iterable[Tier]) -> Tier:
    """The tier to demand: the one asked for where it or a higher one is on sale, else the highest that is."""
    highest = max((tier.rank for tier in on_sale), default=asked.rank)
    return asked if asked.rank <= highest else _BY_RANK[highest]


def _why(score: Score, said: str | None) -> str:
    parts = ", ".join(f"{name} {part:+.2f}" for name, part in score.parts.items() if name != "base")
    why = f"complexity {score.value:.2f} is {score.tier}: {score.parts['base']:.2f}{f', {parts}' if parts else ''}"
    if said is not None:
        why += f" (X-Arbstr-Complexity {said[:40]!r} is none of low, medium, high)"
    return why


def _notes(score: Score) -> dict[str, Any]:
    return {"by": "prompt", "score": score.value, "tier": score.tier.value, "parts": dict(score.parts)}
