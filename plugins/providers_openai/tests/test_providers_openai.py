"""Endpoints as rows: held to the kit; prices, discovery, keys."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import arbstr_providers_openai
import httpx
import pytest
from arbstr_providers_openai._list_prices import ListPrices
from genai_prices import types as listing
from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from arbstr_core.api import (
    PASS,
    REFUSE,
    ArbstrError,
    Feature,
    FieldRule,
    Free,
    LimitField,
    MsatPrice,
    Offer,
    Passthrough,
    Provider,
    Rate,
    Tier,
    UsdPrice,
)
from arbstr_core.testing import PluginSuite, ProviderSuite, an_outbound, configure, kit_tools

URL = "https://api.example.com/v1"
ROW = {"input": "590 sat", "output": "790 sat"}


def one(**instance: Any) -> dict[str, Any]:
    return {"instances": {"acme": {"url": URL, **instance}}}


def providers(table: dict[str, Any], **more: Any) -> list[Provider]:
    return arbstr_providers_openai.arbstr_providers(configure(arbstr_providers_openai, table), kit_tools(**more))


def offers(table: dict[str, Any], **more: Any) -> dict[str, Offer]:
    return {offer.model: offer for offer in asyncio.run(providers(table, **more)[0].offers())}


def lists(*names: str):
    return lambda request: httpx.Response(200, json={"object": "list", "data": [{"id": name} for name in names]})


class TestPlugin(PluginSuite):
    def table(self):
        return one(models={"m": ROW}, tier="frontier")

    @pytest.fixture
    def plugin(self):
        return arbstr_providers_openai


class TestRows(ProviderSuite):
    @pytest.fixture
    def make(self):
        config = configure(arbstr_providers_openai, one(models={"m": {**ROW, "upstream": "m-1"}, "n": {"free": True}}))
        return lambda tools: arbstr_providers_openai.arbstr_providers(config, tools)[0]


class TestDiscovered(ProviderSuite):
    def tools(self, **more: Any):
        return kit_tools(http=lists("m", "n", "m"), secrets={"env:ACME": "sk-1"}, **more)

    @pytest.fixture
    def make(self):
        table = one(discover=True, key="env:ACME", input="1 usd", output="2 usd", models={"n": {"output": "3 usd"}})
        config = configure(arbstr_providers_openai, table)
        return lambda tools: arbstr_providers_openai.arbstr_providers(config, tools)[0]


def test_a_row_in_sats_has_the_written_defaults():
    offer = offers(one(models={"m": ROW}))["m"]
    assert offer == Offer(
        provider="providers_openai.acme",
        model="m",
        upstream="m",
        price=MsatPrice(input=590_000, cached_input=590_000, output=790_000, request=0),
        tier=Tier.STANDARD,
        input_factor=1.0,
        input_overhead=256,
    )


def test_a_row_in_usd_stays_exact():
    row = {"input": "0.59 usd", "cached_input": "0.1 usd", "output": "0.79 usd", "request": "0.001 usd"}
    price = UsdPrice(
        input=Decimal("0.59"), cached_input=Decimal("0.1"), output=Decimal("0.79"), request=Decimal("0.001")
    )
    assert offers(one(models={"m": row}))["m"].price == price


def test_a_row_takes_what_it_lacks_from_its_instance():
    shared = {"input": "1 sat", "output": "2 sat", "request": "3 sat", "context": 8192, "features": ["tools"]}
    row = {"output": "9 sat", "tier": "local", "max_output_tokens": 100, "hidden_reasoning": True}
    offer = offers(one(**shared, models={"m": row}))["m"]
    assert offer.price == MsatPrice(input=1000, cached_input=1000, output=9000, request=3000)
    assert (offer.context_window, offer.features, offer.tier) == (8192, frozenset({Feature.TOOLS}), Tier.LOCAL)
    assert (offer.max_output_tokens, offer.hidden_reasoning) == (100, True)


def test_what_bounds_a_call_is_the_rows_or_the_instances():
    rules = {"best_of": "pass", "foo": "3 sat"}
    shared = {"limit_field": "both", "max_choices": 4, "attachment_tokens": 9, "passthrough": "all", "fields": rules}
    found = offers(one(**shared, models={"a": ROW, "b": {**ROW, "max_choices": 1, "fields": {"foo": "refuse"}}}))
    for offer in found.values():
        assert (offer.limit_field, offer.attachment_tokens) == (LimitField.BOTH, 9)
        assert offer.passthrough is Passthrough.ALL
    assert (found["a"].max_choices, found["b"].max_choices) == (4, 1)
    assert found["a"].fields == {"best_of": PASS, "foo": FieldRule(taken=True, most=Rate(Decimal(3000)))}
    assert found["b"].fields == {"best_of": PASS, "foo": REFUSE}


def test_what_a_node_takes_and_what_leaving_costs_is_said_in_the_offer():
    found = offers(one(max_concurrent=3, cancel_free=True, models={"a": ROW, "b": {**ROW, "cancel_free": False}}))
    assert [offer.max_concurrent for offer in found.values()] == [3, 3]
    assert [offer.cancel_free for offer in found.values()] == [True, False]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://acme.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://api.openai.com.example.com/v1", "max_tokens"),
        ("https://notapi.openai.com.example/v1", "max_tokens"),
        (URL, "max_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_endpoint_knows(url: str, name: str):
    instance = {"instances": {"acme": {"url": url, "models": {"m": ROW, "n": {**ROW, "limit_field": "both"}}}}}
    found = offers(instance)
    assert (found["m"].limit_field, found["n"].limit_field) == (name, "both")


def test_free_is_said_and_a_written_zero_is_a_price():
    table = one(models={"free": {"free": True}, "zero": {"input": "0 sat", "output": "0 sat"}})
    found = offers(table)
    assert found["free"].price == Free()
    assert found["zero"].price == MsatPrice(input=0, cached_input=0, output=0)


def test_rates_of_a_row_stand_on_a_free_instance_and_free_on_a_priced_one():
    assert offers(one(free=True, models={"m": ROW}))["m"].price == MsatPrice(
        input=590_000, cached_input=590_000, output=790_000
    )
    assert offers(one(**ROW, models={"m": {"free": True}}))["m"].price == Free()


def test_a_row_without_a_price_is_shown_without_one() -> None:
    """The kernel sells it to nobody, and says so."""
    found = offers(one(models={"m": {"context": 8192}, "n": ROW}))
    assert found["m"].price is None
    assert found["n"].price is not None


@pytest.mark.parametrize(
    ("instance", "says"),
    [
        ({"models": {"m": {"input": "1 usd", "output": "1 sat"}}}, "model 'm': input in usd and output in sat"),
        ({"request": "1 sat", "input": "1 sat", "output": "1 sat", "models": {"m": {"input": "1 usd"}}}, "model 'm'"),
        ({"models": {"m": {"input": "1 sat"}}}, "model 'm': it has input and no output"),
        ({"models": {"m": {**ROW, "free": True}}}, "model 'm': it has free = true and rates"),
        ({"input": "1 usd", "output": "1 sat"}, "the default price: input in usd"),
        ({"models": {"m": {"input": "2 btc", "output": "1 sat"}}}, "model 'm': input is above"),
        ({"models": {"m": {"input": "-1 sat", "output": "1 sat"}}}, "is not an amount"),
        ({"models": {"m": {**ROW, "context": 0}}}, "context is 0"),
        ({"models": {"m": {**ROW, "input_factor": 0.0}}}, "input_factor is 0.0"),
        ({"models": {"m": {**ROW, "inptu": "1 sat"}}}, 'did you mean "input"'),
        ({"models": {"m": {**ROW, "attachment_tokens": -1}}}, "attachment_tokens is -1"),
        ({"models": {"m": {**ROW, "max_choices": 0}}}, "max_choices is 0"),
        ({"max_concurrent": 0}, "max_concurrent is 0"),
        ({"models": {"m": {**ROW, "fields": {"Best_Of": "pass"}}}}, "lower case"),
        ({"models": {"m": {**ROW, "fields": {"best_of": "perhaps"}}}}, "is no rule"),
        ({"models": {"m": {**ROW, "fields": {"best_of": "0.01 usd"}}}}, "fields.best_of is in usd"),
        ({"fields": {"foo": "1 usd"}, "models": {"m": ROW}}, "model 'm': fields.foo is in usd"),
        ({"models": {"m": {**ROW, "limit_field": "max_length"}}}, "limit_field"),
        ({"url": "ftp://example.com"}, "url is not an http or https address"),
        ({"url": "https://"}, "url is not an http or https address"),
        ({"url": "https://example.com/v1?key=1"}, "url has a query"),
        ({"key": "sk-123"}, "never the secret itself"),
    ],
)
def test_what_the_types_cannot_say_is_refused_with_a_remedy(instance: dict[str, Any], says: str):
    with pytest.raises(ArbstrError) as refused:
        configure(arbstr_providers_openai, one(**instance))
    assert says in str(refused.value)
    assert "instances.acme" in str(refused.value)


def test_every_wrong_row_is_named():
    mixed = {"input": "1 usd", "output": "1 sat"}
    with pytest.raises(ArbstrError) as refused:
        configure(arbstr_providers_openai, one(models={"first": mixed, "second": mixed}))
    assert "'first'" in str(refused.value)
    assert "'second'" in str(refused.value)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ArbstrError) as refused:
        configure(arbstr_providers_openai, one(url="https://me:hunter2@example.com/v1"))
    assert "take it out" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_an_instance_whose_key_is_unset_is_disabled_with_a_warning(caplog: pytest.LogCaptureFixture):
    table = {
        "instances": {
            "locked": {"url": URL, "key": "env:ACME", "models": {"m": ROW}},
            "open": {"url": URL, "models": {"m": ROW}},
        }
    }
    with caplog.at_level(logging.WARNING):
        assert [provider.name for provider in providers(table)] == ["providers_openai.open"]
    assert "providers_openai.locked is disabled: its key env:ACME is not set" in caplog.text


def test_the_call_goes_below_the_url_with_the_key():
    tools = kit_tools(secrets={"env:ACME": "sk-1"})
    config = configure(arbstr_providers_openai, one(url=URL + "/", key="env:ACME", models={"m": ROW}))
    provider = arbstr_providers_openai.arbstr_providers(config, tools)[0]

    async def scenario():
        offer = (await provider.offers())[0]
        await (await provider.open(an_outbound(), offer)).aclose()

    asyncio.run(scenario())
    sent = tools.upstream.sent[0]
    assert sent.url == URL + "/chat/completions"
    assert sent.key is not None
    assert sent.key.reveal() == "sk-1"


def test_discovery_asks_with_the_key_and_rows_override():
    asked: list[httpx.Request] = []

    def page(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return lists("big-model-2024", "small", "", "small")(request)

    rows = {"big": {"upstream": "big-model-2024", "output": "9 sat"}}
    table = one(discover=True, key="env:ACME", input="1 sat", output="2 sat", models=rows)
    found = offers(table, http=page, secrets={"env:ACME": "sk-1"})
    assert {name: offer.price.output for name, offer in found.items()} == {"big": 9000, "small": 2000}
    assert str(asked[0].url) == URL + "/models"
    assert asked[0].headers["authorization"] == "Bearer sk-1"


def test_discovery_without_a_price_sells_nothing():
    assert offers(one(discover=True), http=lists("m"))["m"].price is None


def test_discovery_on_a_free_instance():
    assert offers(one(discover=True, free=True), http=lists("m"))["m"].price == Free()


# -- list prices -------------------------------------------------------------------------------------------------------


def listed(models: dict[str, Any], url: str = "https://api.openai.com/v1", **instance: Any) -> dict[str, Offer]:
    table = {"instances": {"x": {"url": url, "list_prices": True, "models": models, **instance}}}
    return offers(table)


def test_a_row_without_rates_has_the_list_price_where_the_operator_wants_that():
    rows = {
        "gpt-4o": {},
        "mine": {"upstream": "gpt-4o"},
        "own": {**ROW, "upstream": "gpt-4o"},
        "not": {"list_prices": False},
    }
    found = listed(rows)
    price = found["gpt-4o"].price
    assert isinstance(price, UsdPrice)
    assert Decimal(0) < price.cached_input < price.input < price.output < 1000
    assert price.request == 0
    assert found["gpt-4o"].as_of_ms > 0
    assert found["mine"].price == price
    assert isinstance(found["own"].price, MsatPrice)
    assert found["own"].as_of_ms == 0
    assert found["not"].price is None
    assert (
        offers({"instances": {"x": {"url": "https://api.openai.com/v1", "models": {"gpt-4o": {}}}}})["gpt-4o"].price
        is None
    )
    assert Feature.AUDIO not in found["gpt-4o"].features
    assert Feature.AUDIO in listed({"gpt-4o": {"features": ["audio"]}})["gpt-4o"].features


def test_of_prices_with_steps_the_dearest_counts():
    url = "https://generativelanguage.googleapis.com/v1beta/openai"
    prices = get_snapshot().find_provider_model("gemini-2.5-pro", None, None, url)[1].get_prices(datetime.now(UTC))
    assert prices.input_mtok.tiers, "the list has no steps for this model any more: take another"
    found = listed({"gemini-2.5-pro": {}}, url)["gemini-2.5-pro"].price
    assert isinstance(found, UsdPrice)
    assert found.input == max(step.price for step in prices.input_mtok.tiers) > prices.input_mtok.base
    assert found.output == max(step.price for step in prices.output_mtok.tiers)


def test_of_prices_that_depend_on_the_hour_the_dearest_counts():
    day = listing.ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(4))
    night = listing.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(5))
    hours = listing.TimeOfDateConstraint(start_time=time(16, 30), end_time=time(0, 30))
    model = listing.ModelInfo(
        id="m",
        match=listing.ClauseEquals(equals="m"),
        prices=[listing.ConditionalPrice(prices=day), listing.ConditionalPrice(constraint=hours, prices=night)],
    )
    known = listing.Provider(id="night", name="Night", api_pattern="https://night\\.example", models=[model])
    prices = ListPrices()
    prices._list = DataSnapshot(providers=[known], from_auto_update=False)
    for now in ("2026-01-01T03:00:00+00:00", "2026-01-01T20:00:00+00:00"):
        found = prices.of("https://night.example/v1", "m", int(datetime.fromisoformat(now).timestamp() * 1000))
        assert isinstance(found, UsdPrice)
        assert (found.input, found.cached_input, found.output) == (2, 2, 5)


def test_what_the_list_does_not_know_has_no_price(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert listed({"no-such-model": {}})["no-such-model"].price is None
        assert listed({"gpt-4o": {}}, "https://llm.example/v1")["gpt-4o"].price is None
    assert "no-such-model has no price: the list of prices does not know it" in caplog.text


def test_without_the_package_there_is_no_list(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    with caplog.at_level(logging.WARNING):
        assert listed({"gpt-4o": {}, "own": ROW})["gpt-4o"].price is None
    assert "pip install 'arbstr-providers-openai[prices]'" in caplog.text


# -- names and fees ----------------------------------------------------------------------------------------------------


def test_canonical_names_are_the_rows_or_what_the_list_says():
    page = {
        "data": [
            {"id": "llama:free", "canonical_slug": "meta/llama"},
            {"id": "same", "canonical_slug": "same"},
            {"id": "odd", "canonical_slug": 7},
        ]
    }
    rows = {"mine": {**ROW, "canonical": "meta/llama"}, "plain": ROW}
    found = offers(one(discover=True, free=True, models=rows), http=lambda request: httpx.Response(200, json=page))
    names = {name: offer.canonical for name, offer in found.items()}
    assert names == {"mine": "meta/llama", "plain": "", "llama:free": "meta/llama", "same": "", "odd": ""}


def test_what_paying_a_provider_costs_is_a_fact_of_its_offers():
    assert offers(one(rail_fee="1.5 %", models={"m": ROW}))["m"].rail_fee_ppm == 15_000


def test_no_list_of_models_means_no_models():
    with pytest.raises(ArbstrError, match="did not answer with a list of models"):
        offers(one(discover=True, free=True), http=lambda request: httpx.Response(200, json={"data": None}))
    assert offers(one(discover=True, free=True), http=lists()) == {}


def test_rows_and_the_last_list_outlive_a_failed_discovery():
    down = False

    def page(request: httpx.Request) -> httpx.Response:
        if down:
            raise httpx.ConnectError("refused", request=request)
        return lists("found")(request)

    provider = providers(one(discover=True, free=True, models={"row": ROW}), http=page)[0]
    down = True
    assert [offer.model for offer in asyncio.run(provider.offers())] == ["row"]
    down = False
    assert [offer.model for offer in asyncio.run(provider.offers())] == ["row", "found"]
    down = True
    assert [offer.model for offer in asyncio.run(provider.offers())] == ["row", "found"]
