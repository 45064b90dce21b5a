"""The plan: drop what does not qualify, let policies narrow, let the strategy order, keep the first few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arbstr_core.api import RoutingPolicy, Strategy
from arbstr_core.routing._quote import CACHE_SECONDS, Pricer, of_another_realm, out_of
from arbstr_core.routing._reasons import no_plan, who_comes_first
from arbstr_core.routing._tiers import Demanded
from arbstr_core.routing._translated import Translated
from arbstr_core.routing._wishes import in_wished_order, said_of_order, wished
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
    Standing,
    Tier,
    Verdict,
    ceil_div,
)


class Router:
    """Makes plans. `strategies` are by name; `output_tokens`, `keep` and `cache_seconds` are those of `[routing]`."""

    def __init__(
        self,
        policies: Sequence[RoutingPolicy],
        strategies: Mapping[str, Strategy],
        *,
        strategy: str,
        output_tokens: int,
        keep: int,
        cache_seconds: float = CACHE_SECONDS,
    ) -> None:
        self._policies = tuple(policies)
        self._strategies = dict(strategies)
        self._strategy = strategy
        self._output_tokens = output_tokens
        self._keep = keep
        self._cache_seconds = cache_seconds

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
            no_plan("open circuits leave nobody to ask", call, refused.out),
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
        quotes = self._qualified(call, caller, listings, standing, excluded)
        knobs = call.knobs
        if knobs is not None:
            quotes = wished(knobs, quotes, excluded)
        if not quotes:
            sentence = no_plan("no offer qualifies", call, excluded)
            raise NothingQualifies(sentence, out=tuple(excluded), param=_to_blame(excluded))
        if len(standing.tiers) > 1:
            standing = msgspec.structs.replace(standing, tiers=_tiers_for(quotes, listings, standing))
        quotes, demanded, said = self._narrowed(call, caller, quotes, standing, excluded)
        chosen = said.strategy or self._strategy
        serving, spare = demanded.split(quotes)
        serving = self._ordered(call, serving, standing, chosen)
        reasons = said.reasons
        if knobs is not None:
            serving = in_wished_order(knobs, serving, standing)
            reasons = [*reasons, *said_of_order(knobs)]
        spare = sorted(self._ordered(call, spare, standing, chosen), key=_tier) if spare else ()
        keep = self._keep if knobs is None or knobs.allow_fallbacks or knobs.order else 1
        kept, beaten = _cut(serving, spare, keep)
        return Plan(
            candidates=kept,
            beaten=beaten,
            out=tuple(excluded),
            reasons=(*reasons, *who_comes_first(call, chosen, demanded, serving, spare, standing)),
            strategy=chosen,
            policy=said.decided_by,
            notes=said.notes,
        )

    def _narrowed(
        self,
        call: ChatCall,
        caller: Caller,
        quotes: tuple[Quote, ...],
        standing: Standing,
        excluded: list[Excluded],
    ) -> tuple[tuple[Quote, ...], Demanded, _Said]:
        """What the policies leave, one after the other, the tiers they demand, and what they say. The others join
        `excluded`. Raises PolicyRefused where nothing is left."""
        said, demanded = _Said(), Demanded()
        for policy in self._policies:
            verdict = _ask(policy, call, caller, quotes, standing)
            excluded += verdict.out
            quotes = verdict.kept
            demanded.add(verdict)
            said.add(policy.name, verdict)
            if not quotes:
                why = "; ".join(verdict.reasons)
                raise PolicyRefused(no_plan(f"{policy.name} refuses: {why}", call, verdict.out), out=tuple(excluded))
        quotes = demanded.within(quotes, excluded)
        if not quotes:
            sentence = no_plan("; ".join((*said.reasons, "no offer is of the tier demanded")), call, excluded)
            raise PolicyRefused(sentence, out=tuple(excluded))
        return quotes, demanded, said

    def _qualified(
        self,
        call: ChatCall,
        caller: Caller,
        listings: Sequence[Listing],
        standing: Standing,
        excluded: list[Excluded],
    ) -> tuple[Quote, ...]:
        shut, realm = standing.shut, caller.realm
        pricer = self._pricer(call, standing)
        unfit, price, endpoint = pricer.unfit, pricer.quote, call.endpoint
        others: Translated | None = None
        quotes = []
        for listing in listings:
            found: Quote | Excluded
            prepaid = listing.offer.prepaid
            if prepaid is not None and realm and prepaid != realm:
                found = of_another_realm(listing.offer, realm)
            elif endpoint in listing.offer.endpoints:
                found = unfit(listing) or price(listing)
            else:
                others = others or Translated(call, lambda chat: self._pricer(chat, standing))
                found = others.quote(listing)
            if isinstance(found, Excluded):
                excluded.append(found)
            elif shut and (closed := shut.get(listing.offer.key)):
                excluded.append(out_of(listing.offer, closed.reason))
            else:
                quotes.append(found)
        return tuple(quotes)

    def _pricer(self, call: ChatCall, standing: Standing) -> Pricer:
        return Pricer(call, standing, output_tokens=self._output_tokens, cache_seconds=self._cache_seconds)

    def _ordered(self, call: ChatCall, quotes: Sequence[Quote], standing: Standing, name: str) -> list[Quote]:
        if len(quotes) <= 1:
            return list(quotes)
        strategy = self._strategies.get(name)
        if strategy is None:
            known = ", ".join(sorted(self._strategies)) or "none"
            raise PolicyRefused(f"the strategy {name!r} is not installed; installed are: {known}")
        try:
            return sorted(quotes, key=lambda quote: strategy.key(call, quote, standing))
        except Exception as broken:
            raise PolicyRefused(f"the strategy {name} failed: {type(broken).__name__}") from broken


class _Said:
    """What the policies of one plan said."""

    __slots__ = ("decided_by", "notes", "reasons", "strategy")

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.notes: dict[str, Mapping[str, Any]] = {}
        self.strategy: str | None = None
        self.decided_by: str | None = None

    def add(self, policy: str, verdict: Verdict) -> None:
        if verdict.reasons:
            self.reasons += verdict.reasons
        if verdict.notes:
            self.notes[policy] = verdict.notes
        if verdict.strategy is not None and self.strategy is None:
            self.strategy, self.decided_by = verdict.strategy, policy


def _tiers_for(quotes: Sequence[Quote], listings: Sequence[Listing], standing: Standing) -> frozenset[Tier]:
    """The tiers that could serve the call, up or down: without those all of whose offers do not fit it, or are not
    wanted."""
    could = {quote.offer.tier for quote in quotes}
    if standing.shut:
        could.update(each.offer.tier for each in listings if each.offer.key in standing.shut)
    return standing.tiers - ({each.offer.tier for each in listings} - could)


def _cut(serving: Sequence[Quote], spare: Sequence[Quote], keep: int) -> tuple[tuple[Quote, ...], tuple[Quote, ...]]:
    """(the candidates, those beaten). The last place is that of the first one that stands in: what makes a whole tier
    fail, such as a machine that is off, leaves that one."""
    at = max(1, keep - 1) if spare else keep
    at = min(at, len(serving))
    standing_in = keep - at
    return (*serving[:at], *spare[:standing_in]), (*serving[at:], *spare[standing_in:])


def _tier(quote: Quote) -> int:
    return quote.offer.tier.rank


def _ask(
    policy: RoutingPolicy, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing
) -> Verdict:
    try:
        verdict = policy.consider(call, caller, quotes, standing)
    except Exception as broken:
        raise PolicyRefused(f"the policy {policy.name} failed: {type(broken).__name__}") from broken
    if not isinstance(verdict, Verdict):
        raise PolicyRefused(f"the policy {policy.name} failed: it returned no Verdict")
    if verdict.kept is not quotes:
        given = {id(quote) for quote in quotes}
        if any(id(quote) not in given for quote in verdict.kept):
            raise PolicyRefused(f"the policy {policy.name} returned a quote that it was not given")
    return verdict


def _to_blame(out: Sequence[Excluded]) -> str:
    """The field without which, or with another value of which, there would be an offer; the model where none is."""
    return next((row.field for row in out if row.field is not None), "model")
