"""A caller's wishes narrow and order what qualifies, with reasons, and never widen it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from exchanges import Cheapest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.routing import Router
from arbstr_core.testing import a_call, a_caller, an_offer
from arbstr_core.types import (
    Free,
    Knobs,
    Listing,
    MaxPrice,
    MsatPrice,
    NothingQualifies,
    Plan,
    Rate,
    Record,
    Sort,
    Standing,
)

ROUTER = Router([], {"cheapest": Cheapest()}, strategy="cheapest", output_tokens=100, keep=3)


def listed(name: str, rate: int = 1_000_000, *, node: str = "") -> Listing:
    price = MsatPrice(input=rate, cached_input=rate, output=4 * rate, request=rate // 1_000_000)
    offer = an_offer(provider=name, node=node, price=price if rate else Free())
    return Listing(offer=offer, price=price, cost_price=price)


OFFERS = [listed("p.dear", 3_000_000), listed("p.fast", 2_000_000), listed("q.cheap"), listed("p.free", 0)]
STANDING = Standing({offer.offer.key: Record(first_byte_ms=10 if "fast" in offer.offer.provider else 500)
                     for offer in OFFERS})  # fmt: skip


def planned(**knobs: Any) -> Plan:
    call = msgspec.structs.replace(a_call(), knobs=Knobs(**knobs))
    return ROUTER.plan(call, a_caller(), OFFERS, (), STANDING)


def names(plan: Plan) -> list[str]:
    return [quote.offer.provider for quote in plan.candidates]


def sat(amount: int) -> Rate:
    return Rate(Decimal(amount * 1000))


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({}, ["p.free", "q.cheap", "p.fast"]),
        ({"sort": Sort.PRICE}, ["p.free", "q.cheap", "p.fast"]),
        ({"sort": Sort.LATENCY}, ["p.fast", "p.free", "q.cheap"]),
        ({"sort": Sort.THROUGHPUT, "ignore": ("p.free",)}, ["p.fast", "q.cheap", "p.dear"]),
        ({"order": ("dear", "q.cheap")}, ["p.dear", "q.cheap", "p.free"]),
        ({"order": ("dear", "q.cheap"), "allow_fallbacks": False}, ["p.dear", "q.cheap"]),
        ({"allow_fallbacks": False}, ["p.free"]),
        ({"only": ("p",)}, ["p.free", "p.fast", "p.dear"]),
        ({"only": ("p",), "ignore": ("free",)}, ["p.fast", "p.dear"]),
        ({"free": True}, ["p.free"]),
        ({"max_price": MaxPrice(prompt=sat(2000))}, ["p.free", "q.cheap", "p.fast"]),
        ({"max_price": MaxPrice(completion=sat(4000))}, ["p.free", "q.cheap"]),
        ({"max_price": MaxPrice(request=sat(0))}, ["p.free"]),
    ],
)
def test_who_is_asked(knobs: dict[str, Any], expected: list[str]) -> None:
    plan = planned(**knobs)
    assert names(plan) == expected
    assert len(plan.candidates) + len(plan.beaten) + len(plan.out) == len(OFFERS)
    if knobs.keys() & {"sort", "order"}:
        assert "as the request asks" in " ".join(plan.reasons) or "the request asks for" in " ".join(plan.reasons)


def test_who_is_out_has_a_reason_and_the_knob() -> None:
    with pytest.raises(NothingQualifies) as refused:
        planned(only=("nobody",))
    assert refused.value.param == "provider.only"
    assert len(refused.value.out) == len(OFFERS)
    with pytest.raises(NothingQualifies) as dear:
        planned(max_price=MaxPrice(prompt=sat(0)), ignore=("free",))
    reasons = [row.reason for row in dear.value.out]
    assert "costs 1000000 msat for input, more than the 0 that the request allows" in reasons


WORDS = st.sampled_from(["p", "q", "dear", "fast", "cheap", "free", "p.dear", "q.cheap", "nobody"])
KNOBS = st.builds(
    Knobs,
    sort=st.none() | st.sampled_from(Sort),
    order=st.lists(WORDS, max_size=3).map(tuple),
    only=st.none() | st.lists(WORDS, max_size=3).map(tuple),
    ignore=st.lists(WORDS, max_size=2).map(tuple),
    allow_fallbacks=st.booleans(),
    free=st.booleans(),
)


@given(KNOBS)
def test_wishes_never_widen(knobs: Knobs) -> None:
    plain = {quote.offer.provider for quote in (*planned().candidates, *planned().beaten)}
    try:
        plan = planned(**{field: getattr(knobs, field) for field in Knobs.__struct_fields__})
    except NothingQualifies:
        return
    found = {quote.offer.provider for quote in (*plan.candidates, *plan.beaten)}
    assert found <= plain
    if knobs.only is not None:
        assert all({*name.split("."), name} & {*knobs.only} for name in found)
    assert not any({*name.split("."), name} & {*knobs.ignore} for name in found)
