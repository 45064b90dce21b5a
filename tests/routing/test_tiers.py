"""Tiers that policies demand: a floor, a ceiling, and the tiers above it that stand in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from arbstr_policy_price import Cheapest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.api import RoutingPolicy
from arbstr_core.routing import Router
from arbstr_core.testing import a_call, a_caller, an_offer
from arbstr_core.types import (
    Caller,
    ChatCall,
    Listing,
    MsatPrice,
    Plan,
    PolicyRefused,
    ProvidersUnavailable,
    Quote,
    Shut,
    Standing,
    Tier,
    Verdict,
)

LOCAL, STANDARD, FRONTIER = Tier


class Demands(RoutingPolicy):
    """Demands what it is told to."""

    def __init__(self, name: str = "demands", **verdict: Any) -> None:
        self.name = name
        self._verdict = verdict

    def consider(self, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing) -> Verdict:
        return Verdict(kept=quotes, **self._verdict)


def listing(provider: str, tier: Tier, rate: int) -> Listing:
    price = MsatPrice(input=rate * 10_000, cached_input=rate * 10_000, output=rate * 10_000)
    return Listing(offer=an_offer(provider=provider, tier=tier, price=price), price=price, cost_price=price)


SOLD = [
    listing("l1", LOCAL, 900),
    listing("l2", LOCAL, 800),
    listing("l3", LOCAL, 1000),
    listing("s1", STANDARD, 70),
    listing("s2", STANDARD, 60),
    listing("f1", FRONTIER, 5),
]
"""the higher the tier, the cheaper: so that price alone would always take the other one"""


def plan(*policies: RoutingPolicy, sold: list[Listing] = SOLD, keep: int = 3, standing: Standing | None = None) -> Plan:
    router = Router(policies, {"cheapest": Cheapest()}, strategy="cheapest", output_tokens=10, keep=keep)
    return router.plan(a_call(), a_caller(), sold, (), standing or Standing())


def names(made: Plan) -> list[str]:
    return [quote.offer.provider for quote in made.candidates]


def shut(*names: str) -> Standing:
    keys = [each.offer.key for each in SOLD if each.offer.provider in names]
    return Standing(shut={key: Shut(reason="it fails", until_ms=0) for key in keys})


def test_a_ceiling_without_a_spare_is_one() -> None:
    made = plan(Demands(tier_ceiling=LOCAL))
    assert names(made) == ["l2", "l1", "l3"]
    assert {row.provider for row in made.out} == {"s1", "s2", "f1"}
    with pytest.raises(PolicyRefused, match="no offer is of the tier demanded"):
        plan(Demands(tier_ceiling=LOCAL), sold=SOLD[3:])


def test_the_next_tier_stands_behind_the_one_demanded() -> None:
    made = plan(Demands(tier_floor=LOCAL, tier_ceiling=LOCAL, tier_spare=FRONTIER))
    assert names(made) == ["l2", "l1", "s2"]
    assert [quote.offer.provider for quote in made.beaten] == ["l3", "s1", "f1"]
    assert made.out == ()
    assert made.reasons[-1] == "s2, of tier standard, stands in where that fails"
    assert names(plan(Demands(tier_ceiling=LOCAL, tier_spare=STANDARD), keep=6)) == ["l2", "l1", "l3", "s2", "s1"]
    assert names(plan(Demands(tier_ceiling=LOCAL, tier_spare=FRONTIER), keep=1)) == ["l2"]


def test_a_tier_that_is_down_escalates_to_the_next() -> None:
    greeting = Demands(tier_floor=LOCAL, tier_ceiling=LOCAL, tier_spare=FRONTIER)
    made = plan(greeting, standing=shut("l1", "l2", "l3"))
    assert names(made) == ["s2", "s1", "f1"]
    assert "no offer of tier local is left: escalated to standard" in made.reasons
    assert names(plan(greeting, standing=shut("l1", "l2", "l3", "s1", "s2"))) == ["f1"]


def test_a_floor_does_not_give_way() -> None:
    complex = Demands(tier_floor=FRONTIER, tier_ceiling=FRONTIER, reasons=("it is complex",))
    assert names(plan(complex)) == ["f1"]
    with pytest.raises(PolicyRefused, match="it is complex; no offer is of the tier demanded"):
        plan(complex, sold=SOLD[:5])
    with pytest.raises(ProvidersUnavailable, match="f1: it fails"):
        plan(complex, standing=shut("f1"))


def test_a_ceiling_of_another_policy_bounds_who_stands_in() -> None:
    soft = Demands(tier_ceiling=LOCAL, tier_spare=FRONTIER)
    hard = Demands("other", tier_ceiling=STANDARD)
    for policies in ((soft, hard), (hard, soft)):
        made = plan(*policies, keep=9)
        assert names(made) == ["l2", "l1", "l3", "s2", "s1"]


class Sees(RoutingPolicy):
    """Remembers which tiers it was told of."""

    name = "sees"

    def __init__(self) -> None:
        self.tiers: frozenset[Tier] = frozenset()

    def consider(self, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing) -> Verdict:
        self.tiers = standing.tiers
        return Verdict(kept=quotes)


def test_policies_are_told_of_tiers_that_are_down_and_not_of_those_that_cannot_serve() -> None:
    def told(*, fits: bool = True, down: tuple[str, ...] = (), sold: frozenset[Tier] = frozenset(Tier)) -> set[Tier]:
        sees = Sees()
        blind = an_offer(provider="f1", tier=FRONTIER, context_window=131_072 if fits else 1)
        price = SOLD[0].price
        listings = [*SOLD[:5], Listing(offer=blind, price=price, cost_price=price)]
        plan(sees, sold=listings, standing=msgspec.structs.replace(shut(*down), tiers=sold))
        return set(sees.tiers)

    assert told() == {LOCAL, STANDARD, FRONTIER}
    assert told(down=("f1",)) == {LOCAL, STANDARD, FRONTIER}
    assert told(fits=False) == {LOCAL, STANDARD}
    assert told(sold=frozenset({LOCAL})) == {LOCAL}


def test_notes_are_kept_by_policy() -> None:
    made = plan(Demands("a", notes={"score": 0.5}), Demands("b"))
    assert made.notes == {"a": {"score": 0.5}}


TIERS = st.none() | st.sampled_from(Tier)


@given(
    tiers=st.lists(st.sampled_from(Tier), max_size=8),
    floor=TIERS,
    ceiling=TIERS,
    spare=TIERS,
    down=st.frozensets(st.integers(0, 7)),
    keep=st.integers(1, 5),
)
def test_tiers_are_kept_whatever_is_demanded(
    tiers: list[Tier], floor: Tier | None, ceiling: Tier | None, spare: Tier | None, down: frozenset[int], keep: int
) -> None:
    sold = [listing(f"p{at}", tier, 1000 - at) for at, tier in enumerate(tiers)]
    closed = {sold[at].offer.key: Shut(reason="it fails", until_ms=0) for at in down if at < len(sold)}
    demands = Demands(tier_floor=floor, tier_ceiling=ceiling, tier_spare=spare)
    lowest = (floor or LOCAL).rank
    highest = max((ceiling or FRONTIER).rank, (spare or LOCAL).rank) if ceiling is not None else FRONTIER.rank
    fit = [each for each in sold if lowest <= each.offer.tier.rank <= highest and each.offer.key not in closed]
    if not fit:
        with pytest.raises(Exception, match=r"no offer|open circuits"):
            plan(demands, sold=sold, keep=keep, standing=Standing(shut=closed))
        return
    made = plan(demands, sold=sold, keep=keep, standing=Standing(shut=closed))
    everyone = (*made.candidates, *made.beaten)
    assert {quote.offer.provider for quote in everyone} == {each.offer.provider for each in fit}
    assert len(made.candidates) == min(keep, len(fit))
    within = [quote for quote in everyone if quote.offer.tier.rank <= (ceiling or FRONTIER).rank]
    first = made.candidates[0]
    if within:
        assert first.cost_msat == min(quote.cost_msat for quote in within)
    else:
        assert first.offer.tier.rank == min(quote.offer.tier.rank for quote in everyone)
    ranks = [quote.offer.tier.rank for quote in made.candidates]
    behind = [rank for rank in ranks if rank > max((ceiling or FRONTIER).rank, ranks[0])]
    assert behind == sorted(behind) == ranks[len(ranks) - len(behind) :]
    if keep > 1 and len({each.offer.tier for each in fit}) > 1 and ceiling is not None:
        above = [each for each in fit if each.offer.tier.rank > max(ceiling.rank, first.offer.tier.rank)]
        assert bool(behind) == bool(above)
