"""What receipts say of the others, and what that adds up to, where many sell a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arbstr_core.flow._receipt import Ending, write_receipt
from arbstr_core.flow._savings import Tally
from arbstr_core.metering import Bill
from arbstr_core.testing import a_call, a_quote, an_offer
from arbstr_core.types import Attempt, Msat, MsatPrice, Outcome, Plan, Quote, Usage
from arbstr_core.vault import ServedRow

USAGE = Usage(input_tokens=1000, output_tokens=1000)


def quote(number: int, model: str = "model-a", *, provider: str = "", node: str = "") -> Quote:
    """Who costs `number` msat a token."""
    price = MsatPrice(input=number * 10**6, cached_input=number * 10**6, output=number * 10**6)
    return a_quote(an_offer(provider=provider or f"p{number}", node=node, model=model, price=price))


def receipt(quotes: list[Quote]) -> bytes:
    """Of a call that the first of them served."""
    plan = Plan(candidates=tuple(quotes[:3]), beaten=tuple(quotes[3:]), strategy="cheapest")
    offer = quotes[0].offer
    served = Attempt(provider=offer.provider, node=offer.node, outcome=Outcome.SERVED, ms=1)
    bill = Bill(charge_msat=Msat(2000), cost_msat=Msat(2000))
    return write_receipt(
        call=a_call(),
        plan=plan,
        quote=quotes[0],
        usage=USAGE,
        bill=bill,
        attempts=[served],
        ending=Ending.COMPLETE,
        times=(1.0, 1.0, 1.001, 1.001),
    )


def tallied(baseline: str, receipt: bytes, charged_msat: int = 2000) -> dict[str, Any]:
    tally = Tally(baseline)
    created = 1_750_000_000_000
    tally.add(ServedRow(agent="ag_a", model="model-a", charged_msat=charged_msat, created_ms=created, body=receipt))
    return dict(tally.document())


def test_of_many_some_are_named_and_all_are_counted() -> None:
    body = receipt([quote(number) for number in range(1, 25)])
    said = json.loads(body)
    assert [each["provider"] for each in said["alternatives"]] == [*(f"p{n}" for n in range(2, 11)), "p24"]
    assert said["offers"] == {"count": 24, "mean_msat": 25_000, "median_msat": 25_000}
    assert tallied("mean", body)["baseline_msat"] == tallied("median", body)["baseline_msat"] == 25_000
    assert tallied("mean", body)["saved_share"] == 0.92
    assert tallied("list:p24", body)["baseline_msat"] == 48_000
    assert tallied("list:p15", body)["left_out"] == 1
    assert "offers" not in json.loads(receipt([quote(number) for number in range(1, 12)]))


@pytest.mark.parametrize("count", [3, 24])
def test_another_model_is_no_price_of_this_one(count: int) -> None:
    body = receipt([quote(1), quote(3), *(quote(number, "model-b") for number in range(4, 4 + count))])
    said = json.loads(body)
    assert {each.get("model") for each in said["alternatives"]} == {None, "model-b"}
    assert tallied("mean", body)["baseline_msat"] == 4000


def test_what_nobody_else_would_have_served_is_not_counted() -> None:
    alone = tallied("mean", receipt([quote(1)]))
    assert (alone["alone"], alone["calls"]) == (1, 0)
    assert tallied("mean", receipt([quote(1), quote(2)]))["calls"] == 1


def test_what_nobody_served_is_not_counted() -> None:
    found = tallied("mean", b'{"alternatives":[{"provider":"p2","cost_msat":9}]}')
    assert (found["calls"], found["alone"], found["days"]) == (0, 0, [])


def test_nodes_of_one_provider_are_alternatives_to_each_other() -> None:
    """A marketplace is one provider with many nodes."""
    nodes = [quote(number, provider="market", node=f"n{number}") for number in (1, 3, 5)]
    body = receipt([*nodes, quote(9)])
    assert json.loads(body)["attempts"][0]["node"] == "n1"
    assert json.loads(body)["alternatives"] == [
        {"provider": "market", "cost_msat": 6000, "node": "n3"},
        {"provider": "market", "cost_msat": 10_000, "node": "n5"},
        {"provider": "p9", "cost_msat": 18_000},
    ]
    assert tallied("mean", body)["baseline_msat"] == (2000 + 6000 + 10_000 + 18_000) / 4
    assert tallied("median", body)["baseline_msat"] == 8000
    assert tallied("list:market", body)["baseline_msat"] == 2000
    elsewhere = receipt([quote(1), *nodes[1:]])
    assert tallied("list:market", elsewhere)["baseline_msat"] == 6000


def test_a_share_of_very_little_is_not_rounded_twice() -> None:
    """Of 1 msat and 2, the mean is 1.5, which is shown as 2; the share is of what it is."""
    said = {"provider": "a", "alternatives": [{"provider": "b", "cost_msat": 2}]}
    found = tallied("mean", json.dumps(said).encode(), charged_msat=1)
    assert (found["baseline_msat"], found["saved_share"]) == (2, 0.3333)
