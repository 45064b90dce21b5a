"""The plan: drop what does not qualify, let policies narrow, let the strategy order, keep the first few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from arbstr_core.api import RoutingPolicy, Strategy
from arbstr_core.routing._fields import demands
from arbstr_core.routing._quote import priced, unfit
from arbstr_core.types import (
    Caller,
    ChatCall,
    Excluded,
    Listing,
    NothingQualifies,
    Plan,
    PolicyRefused,
    ProvidersUnavailable,
    Quote,
    Shut,
    Standing,
    Tier,
    Verdict,
    ceil_div,
)


class Router:
    """Makes plans. `strategies` are by name; `output_tokens` and `keep` are those of `[routing]`."""

    def __init__(
        self,
        policies: Sequence[RoutingPolicy],
        strategies: Mapping[str, Strategy],
        *,
        strategy: str,
        output_tokens: int,
        keep: int,
    ) -> None:
        self._policies = tuple(policies)
        self._strategies = dict(strategies)
        self._strategy = strategy
        self._output_tokens = output_tokens
        self._keep = keep

    def plan(
        self,
        call: ChatCall,
        caller: Caller,
        listings: Sequence[Listing],
        out: Sequence[Excluded],
        standing: Standing,
    ) -> Plan:
        """Whom to ask for `call`, in order, with the reasons. `out` are offers that are out already.

        Raises NothingQualifies, or PolicyRefused where it is the policies that leave nothing; ProvidersUnavailable
        where there would be a plan but for open breakers.
        """
        try:
            return self._plan(call, caller, listings, out, standing)
        except (NothingQualifies, PolicyRefused) as refused:
            if standing.shut:
                self._blame_breakers(call, caller, listings, standing, refused)
            raise

    def _blame_breakers(
        self,
        call: ChatCall,
        caller: Caller,
        listings: Sequence[Listing],
        standing: Standing,
        refused: NothingQualifies | PolicyRefused,
    ) -> None:
        """Raise ProvidersUnavailable if `call` would have a plan once breakers close."""
        try:
            later = self._plan(call, caller, listings, (), msgspec.structs.replace(standing, shut={}))
        except (NothingQualifies, PolicyRefused):
            return
        found = [standing.shut.get(quote.offer.key) for quote in (*later.candidates, *later.beaten)]
        shut = [each for each in found if each is not None]
        soonest = min((each.until_ms for each in shut), default=call.arrived_ms)
        raise ProvidersUnavailable(
            _sentence("open circuits leave nobody to ask", call, refused.out),
            retry_after=max(1, ceil_div(soonest - call.arrived_ms, 1000)),
            out=refused.out,
        ) from refused

    def _plan(
        self,
        call: ChatCall,
        caller: Caller,
        listings: Sequence[Listing],
        out: Sequence[Excluded],
        standing: Standing,
    ) -> Plan:
        excluded = list(out)
        quotes = self._qualified(call, listings, standing.shut, excluded)
        if not quotes:
            sentence = _sentence("no offer qualifies", call, excluded)
            raise NothingQualifies(sentence, out=tuple(excluded), param=_to_blame(excluded))
        reasons: list[str] = []
        chosen: str | None = None
        decided_by: str | None = None
        floor, ceiling = Tier.LOCAL, Tier.FRONTIER
        for policy in self._policies:
            verdict = _ask(policy, call, caller, quotes, standing)
            excluded += verdict.out
            reasons += verdict.reasons
            quotes = verdict.kept
            floor = max(floor, verdict.tier_floor or floor, key=_rank)
            ceiling = min(ceiling, verdict.tier_ceiling or ceiling, key=_rank)
            if verdict.strategy is not None and chosen is None:
                chosen, decided_by = verdict.strategy, policy.name
            if not quotes:
                said = "; ".join(verdict.reasons)
                raise PolicyRefused(_sentence(f"{policy.name} refuses: {said}", call, verdict.out), out=tuple(excluded))
        quotes = _within(quotes, floor, ceiling, excluded)
        if not quotes:
            raise PolicyRefused(_sentence("no offer is of the tier demanded", call, excluded), out=tuple(excluded))
        ordered = self._ordered(call, quotes, standing, chosen or self._strategy)
        return Plan(
            candidates=tuple(ordered[: self._keep]),
            beaten=tuple(ordered[self._keep :]),
            out=tuple(excluded),
            reasons=(*reasons, _first_of(ordered, chosen or self._strategy)),
            strategy=chosen or self._strategy,
            policy=decided_by,
        )

    def _qualified(
        self,
        call: ChatCall,
        listings: Sequence[Listing],
        shut: Mapping[tuple[str, str, str], Shut],
        excluded: list[Excluded],
    ) -> tuple[Quote, ...]:
        quotes = []
        asked = demands(call)
        for listing in listings:
            out = unfit(listing, call, asked)
            if shut and out is None and (closed := shut.get(listing.offer.key)):
                out = _excluded(listing.offer.provider, listing.offer.model, closed.reason)
            if out is None:
                quotes.append(priced(listing, call, asked, self._output_tokens))
            else:
                excluded.append(out)
        return tuple(quotes)

    def _ordered(self, call: ChatCall, quotes: Sequence[Quote], standing: Standing, name: str) -> list[Quote]:
        if len(quotes) == 1:
            return list(quotes)
        strategy = self._strategies.get(name)
        if strategy is None:
            known = ", ".join(sorted(self._strategies)) or "none"
            raise PolicyRefused(f"the strategy {name!r} is not installed; installed are: {known}")
        try:
            return sorted(quotes, key=lambda quote: strategy.key(call, quote, standing))
        except Exception as broken:
            raise PolicyRefused(f"the strategy {name} failed: {type(broken).__name__}") from broken


def _first_of(ordered: Sequence[Quote], strategy: str) -> str:
    first = ordered[0]
    said = f"{strategy}: {first.offer.provider} is expected to cost {first.cost_msat} msat"
    if len(ordered) == 1:
        return f"{said}; nobody else qualifies"
    return f"{said}, {ordered[1].offer.provider} {ordered[1].cost_msat} msat"


def _ask(
    policy: RoutingPolicy, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing
) -> Verdict:
    try:
        verdict = policy.consider(call, caller, quotes, standing)
    except Exception as broken:
        raise PolicyRefused(f"the policy {policy.name} failed: {type(broken).__name__}") from broken
    if not isinstance(verdict, Verdict):
        raise PolicyRefused(f"the policy {policy.name} failed: it returned no Verdict")
    given = {id(quote) for quote in quotes}
    if any(id(quote) not in given for quote in verdict.kept):
        raise PolicyRefused(f"the policy {policy.name} returned a quote that it was not given")
    return verdict


def _rank(tier: Tier) -> int:
    return tier.rank


def _within(quotes: tuple[Quote, ...], floor: Tier, ceiling: Tier, excluded: list[Excluded]) -> tuple[Quote, ...]:
    if (floor, ceiling) == (Tier.LOCAL, Tier.FRONTIER):
        return quotes
    kept = []
    for quote in quotes:
        offer = quote.offer
        if floor.rank <= offer.tier.rank <= ceiling.rank:
            kept.append(quote)
        else:
            excluded.append(_excluded(offer.provider, offer.model, f"its tier {offer.tier} is not the one demanded"))
    return tuple(kept)


def _excluded(provider: str, model: str, reason: str) -> Excluded:
    return Excluded(provider=provider, model=model, reason=reason)


def _to_blame(out: Sequence[Excluded]) -> str:
    """The field without which, or with another value of which, there would be an offer; the model where none is."""
    return next((row.field for row in out if row.field is not None), "model")


def _sentence(start: str, call: ChatCall, out: Sequence[Excluded]) -> str:
    why = "; ".join(f"{row.provider}: {row.reason}" for row in out)
    return f"{start} for model {call.model!r}" + (f" ({why})" if why else "")
