"""Names that stand for several models: from the configuration, from providers, `auto`; and none by guess."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from selling import Sells, market

from arbstr_core.api import Offer
from arbstr_core.market import Market, ModelRow
from arbstr_core.market._aliases import aliases
from arbstr_core.testing import FakeClock, an_offer
from arbstr_core.types import Feature, Listing, MsatPrice, Network, Tier


def selling(offers: Sequence[Offer], targets: Mapping[str, Sequence[str]] | None = None) -> Market:
    providers = [
        Sells(name, [offer for offer in offers if offer.provider == name])
        for name in dict.fromkeys(offer.provider for offer in offers)
    ]
    made = market(*providers, clock=FakeClock(), targets=targets)
    asyncio.run(made.refresh())
    return made


def row_of(made: Market, name: str) -> ModelRow:
    row = made.find(name)
    assert row is not None, name
    return row


def sells(row: ModelRow) -> list[str]:
    return [f"{listing.offer.provider}/{listing.offer.model}" for listing in row.listings]


def price(rate: int) -> MsatPrice:
    return MsatPrice(input=rate, cached_input=rate, output=rate)


def test_what_the_operator_named_stands_for_what_the_operator_said() -> None:
    offers = [
        an_offer(provider="a", model="llama-3.3-70b-versatile"),
        an_offer(provider="b", model="meta-llama/Llama-3.3-70B-Instruct"),
        an_offer(provider="c", model="llama-3.3-70b"),
    ]
    targets = {"llama": ["llama-3.3-70b-versatile", "meta-llama/Llama-3.3-70B-Instruct"]}
    made = selling(offers, targets)
    row = row_of(made, "llama")
    assert sells(row) == ["a/llama-3.3-70b-versatile", "b/meta-llama/Llama-3.3-70B-Instruct"]
    assert row.stands_for == tuple(targets["llama"])
    assert sells(row_of(made, "llama-3.3-70b")) == ["c/llama-3.3-70b"]
    assert made.find("Llama-3.3-70B-Instruct") is None
    assert made.find("LLAMA") is None


def test_an_alias_with_the_name_of_a_model_is_what_it_says() -> None:
    offers = [an_offer(provider="a", model="m"), an_offer(provider="b", model="n")]
    assert sells(row_of(selling(offers, {"m": ["n"]}), "m")) == ["b/n"]
    assert sells(row_of(selling(offers, {"m": ["m", "n"]}), "m")) == ["a/m", "b/n"]


def test_an_alias_of_what_nobody_offers_says_so() -> None:
    row = row_of(selling([an_offer(provider="a", model="m")], {"x": ["gone", "m"]}), "x")
    assert sells(row) == ["a/m"]
    assert [(out.model, out.reason) for out in row.out] == [("gone", "nobody offers it now")]


def test_a_canonical_name_brings_together_what_providers_say_is_the_same() -> None:
    offers = [
        an_offer(provider="a", model="llama-versatile", canonical="meta/llama"),
        an_offer(provider="b", model="Llama-Instruct", canonical="meta/llama"),
        an_offer(provider="c", model="meta/llama"),
        an_offer(provider="d", model="llama"),
    ]
    made = selling(offers)
    assert sorted(sells(row_of(made, "meta/llama"))) == ["a/llama-versatile", "b/Llama-Instruct", "c/meta/llama"]
    assert sells(row_of(made, "llama-versatile")) == ["a/llama-versatile"]
    assert sells(row_of(made, "llama")) == ["d/llama"]


TIERS = [
    an_offer(provider="a", model="small", tier=Tier.LOCAL),
    an_offer(provider="b", model="middle", tier=Tier.STANDARD),
    an_offer(provider="c", model="big", tier=Tier.FRONTIER),
]


def test_auto_is_everything_and_auto_of_a_tier_what_is_of_it() -> None:
    made = selling(TIERS)
    assert sorted(sells(row_of(made, "auto"))) == ["a/small", "b/middle", "c/big"]
    assert row_of(made, "auto").tiers == set(Tier)
    assert sells(row_of(made, "auto:local")) == ["a/small"]
    assert sells(row_of(made, "auto:frontier")) == ["c/big"]
    assert row_of(made, "auto:frontier").tiers == {Tier.FRONTIER}
    assert made.find("auto:best") is None
    assert selling([]).find("auto") is None


def test_auto_can_be_narrowed_by_the_operator() -> None:
    made = selling(TIERS, {"auto": ["small", "big"], "auto:standard": ["big"]})
    assert sells(row_of(made, "auto")) == ["a/small", "c/big"]
    assert sells(row_of(made, "auto:frontier")) == ["c/big"]
    assert sells(row_of(made, "auto:standard")) == ["c/big"]


def test_auto_looks_at_the_cheapest_few_of_each_model_that_can_do_the_same() -> None:
    plain = [
        an_offer(provider=f"p{at:02}", model="m", price=price(1000 + at), features=frozenset()) for at in range(30)
    ]
    sees = an_offer(provider="sees", model="m", price=price(9000), features=frozenset({Feature.VISION}))
    near = an_offer(provider="near", model="m", price=price(8000), features=frozenset(), tier=Tier.LOCAL)
    made = selling([*reversed(plain), sees, near])
    assert sorted(sells(row_of(made, "auto"))) == ["near/m", "p00/m", "p01/m", "p02/m", "p03/m", "sees/m"]
    assert len(row_of(made, "m").listings) == 32


def test_auto_keeps_who_takes_the_longest_prompts_and_whoever_is_paid_with_other_money() -> None:
    """The cheapest four may all be too small, or sold to the agents of another realm alone."""
    small = [
        an_offer(provider=f"p{at}", model="m", price=price(1000 + at), context_window=8192 * (1 + at))
        for at in range(8)
    ]
    large = [
        an_offer(provider=name, model="m", price=price(rate), context_window=200_000)
        for name, rate in (("dear", 9000), ("dearer", 9001))
    ]
    row = row_of(selling([*reversed(large), *reversed(small)]), "auto")
    assert sorted(sells(row)) == ["dear/m", "p0/m", "p1/m", "p2/m", "p3/m"]
    open_ended = an_offer(provider="z", model="m", price=price(9999), context_window=None)
    assert "z/m" in sells(row_of(selling([*small, open_ended]), "auto"))
    listed = [
        Listing(offer=offer, price=price(1), cost_price=price(1))
        for offer in (
            *(an_offer(provider="nodes", node=f"n{at}", prepaid=Network.MAINNET) for at in range(9)),
            an_offer(provider="zz"),
        )
    ]
    found = aliases({"model-a": ModelRow(model="model-a", listings=tuple(listed))}, {})
    assert [each.offer.provider for each in found["auto"].listings] == ["nodes"] * 4 + ["zz"]


def test_auto_looks_at_some_hundred_models_and_no_more() -> None:
    many = [an_offer(provider="a", model=f"m{at:03}", price=price(1000 + at)) for at in range(700)]
    frontier = an_offer(provider="b", model="best", price=price(9000), tier=Tier.FRONTIER)
    made = selling([*reversed(many), frontier])
    row = row_of(made, "auto")
    assert sorted(sells(row)) == sorted([f"a/m{at:03}" for at in range(500)] + ["b/best"])
    assert row.stands_for == ("every model",)


def test_names_that_can_be_asked_for_are_listed_once_and_models_first() -> None:
    offers = [an_offer(provider="a", model="m", canonical="the/m"), an_offer(provider="b", model="auto")]
    listed = [row.model for row in selling(offers, {"x": ["m"], "y": ["gone"]}).snapshot.sellable()]
    assert listed == ["m", "the/m", "auto", "auto:standard", "x"]


def test_what_cannot_be_bought_under_a_name_is_told_under_it() -> None:
    offers = [Offer(provider="a", model="m", upstream="m", price=None), an_offer(provider="b", model="n")]
    row = row_of(selling(offers, {"x": ["m", "n"]}), "x")
    assert sells(row) == ["b/n"]
    assert [(out.provider, out.model) for out in row.out] == [("a", "m")]
