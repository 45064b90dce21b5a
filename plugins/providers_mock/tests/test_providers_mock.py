"""The scripted provider: held to the kit; each outcome, and the shapes of its replies."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import arbstr_providers_mock
import pytest

from arbstr_core.api import (
    PASS,
    ArbstrError,
    ConnectFailed,
    Free,
    MsatPrice,
    Passthrough,
    Provider,
    ProviderError,
    Reply,
    ReplyCut,
    ReplyTimedOut,
    Tier,
)
from arbstr_core.testing import FakeClock, PluginSuite, ProviderSuite, an_outbound, configure, kit_tools

PAID = {"name": "paid", "tier": "frontier", "input": "1 sat", "output": "2 sat", "reply": "one two three four"}


def providers(clock: FakeClock | None = None, **table: Any) -> list[Provider]:
    config = configure(arbstr_providers_mock, table)
    return arbstr_providers_mock.arbstr_providers(config, kit_tools(clock=clock))


async def opened(provider: Provider, model: str = "", **asked: Any) -> Reply:
    offers = {offer.model: offer for offer in await provider.offers()}
    offer = offers[model] if model else next(iter(offers.values()))
    return await provider.open(an_outbound(model=offer.upstream, **asked), offer)


async def events(provider: Provider, **asked: Any) -> list[Any]:
    """The decoded events; the name of the error where the stream breaks off."""
    reply = await opened(provider, stream=True, **asked)
    found: list[Any] = []
    try:
        async for together in reply.events():
            found += [event.removeprefix(b"data: ").strip() for event in together]
    except ReplyCut:
        found.append(b'"cut"')
    return [event.decode() if event == b"[DONE]" else json.loads(event) for event in found]


async def body(provider: Provider, **asked: Any) -> dict[str, Any]:
    return json.loads(await (await opened(provider, **asked)).read(1 << 20))


class TestPlugin(PluginSuite):
    def table(self):
        return {"models": [PAID], "instances": {"other": {"script": ["ok"]}}}

    @pytest.fixture
    def plugin(self):
        return arbstr_providers_mock


class TestProvider(ProviderSuite):
    @pytest.fixture
    def make(self):
        config = configure(arbstr_providers_mock, {"models": [PAID, {"name": "free", "free": True}], "latency_ms": 5})
        return lambda tools: arbstr_providers_mock.arbstr_providers(config, tools)[0]


def test_without_a_table_it_sells_one_free_model():
    offers = asyncio.run(providers()[0].offers())
    assert [(offer.provider, offer.model, offer.price) for offer in offers] == [("providers_mock", "mock", Free())]


def test_models_have_prices_and_tiers():
    offer = asyncio.run(providers(models=[PAID])[0].offers())[0]
    assert offer.price == MsatPrice(input=1000, cached_input=1000, output=2000)
    assert offer.tier is Tier.FRONTIER


def test_instances_are_further_providers():
    both = providers(models=[PAID], instances={"other": {"models": [PAID]}})
    assert [provider.name for provider in both] == ["providers_mock", "providers_mock.other"]
    assert [provider.name for provider in providers(instances={"a": {}})] == ["providers_mock.a"]


def test_a_whole_reply_has_openais_shape():
    clock = FakeClock(now=1_700_000_000.0)
    reply = asyncio.run(body(providers(clock, models=[PAID])[0], text="count these four words"))
    assert reply == {
        "id": "chatcmpl-mock-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "paid",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "one two three four", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8},
    }


def test_a_stream_has_role_words_finish_usage_done():
    found = asyncio.run(events(providers(models=[PAID])[0], text="count these four words"))
    assert found[-1] == "[DONE]"
    choices = [event["choices"] for event in found[:-1]]
    deltas = [choice[0]["delta"].get("content") for choice in choices[:-1]]
    assert deltas == ["", "one", " two", " three", " four", None]
    assert choices[0][0]["delta"]["role"] == "assistant"
    assert choices[-2][0]["finish_reason"] == "stop"
    assert choices[-1] == []
    assert found[-2]["usage"] == {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}
    assert {event["object"] for event in found[:-1]} == {"chat.completion.chunk"}
    assert len({event["id"] for event in found[:-1]}) == 1


def test_a_stream_has_usage_only_where_asked():
    found = asyncio.run(events(providers()[0], stream_options={"include_usage": False}))
    assert all("usage" not in event for event in found[:-1])


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_is_kept(field: str):
    provider = providers(models=[PAID])[0]
    reply = asyncio.run(body(provider, **{field: 2}))
    assert reply["choices"][0]["message"]["content"] == "one two"
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 2
    assert asyncio.run(events(provider, **{field: 2}))[-2]["usage"]["completion_tokens"] == 2


def test_choices_are_counted():
    reply = asyncio.run(body(providers(models=[PAID])[0], n=3))
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    assert reply["usage"]["completion_tokens"] == 12


def test_words_in_parts_count():
    said = [
        {"role": "user", "content": [{"type": "text", "text": "two words"}, {"type": "image_url", "image_url": {}}]}
    ]
    assert asyncio.run(body(providers()[0], messages=said))["usage"]["prompt_tokens"] == 2


def test_the_words_are_counted_before_the_call_as_after_it():
    async def scenario() -> None:
        provider = providers()[0]
        (offer,) = await provider.offers()
        assert offer.exact_tokenizer
        for text in ("", "one", "one two  three\n four"):
            asked = an_outbound(text, model=offer.upstream)
            used = json.loads(await (await provider.open(asked, offer)).read(1 << 20))["usage"]
            assert await provider.count_input(asked, offer) == used["prompt_tokens"]
        with pytest.raises(ProviderError):
            await provider.count_input(an_outbound(messages=7), offer)

    asyncio.run(scenario())


def test_a_model_has_rules_for_fields():
    async def scenario() -> None:
        (offer,) = await providers(models=[{**PAID, "fields": {"foo": "pass"}, "passthrough": "all"}])[0].offers()
        assert (offer.fields, offer.passthrough) == ({"foo": PASS}, Passthrough.ALL)

    asyncio.run(scenario())


def test_a_script_is_taken_in_turn_and_again():
    provider = providers(script=["ok", "status:500", "status:429"])[0]

    async def statuses() -> list[int]:
        return [(await opened(provider)).status for _ in range(5)]

    assert asyncio.run(statuses()) == [200, 500, 429, 200, 500]


def test_a_models_own_script_has_its_own_turns():
    models = [{**PAID, "script": ["status:503", "ok"]}, {"name": "free", "free": True}]
    provider = providers(models=models, script=["ok", "status:404"])[0]

    async def statuses() -> list[int]:
        return [(await opened(provider, model)).status for model in ("paid", "free", "paid", "free")]

    assert asyncio.run(statuses()) == [503, 200, 200, 404]


@pytest.mark.parametrize(("outcome", "error"), [("connect_fail", ConnectFailed), ("timeout", ReplyTimedOut)])
def test_no_reply(outcome: str, error: type[ArbstrError]):
    with pytest.raises(error):
        asyncio.run(opened(providers(script=[outcome])[0]))


def test_an_error_status_has_an_error_body():
    async def scenario() -> tuple[int, Any]:
        reply = await opened(providers(script=["status:429"])[0], stream=True)
        return reply.status, json.loads(await reply.read(1 << 20))

    status, said = asyncio.run(scenario())
    assert status == 429
    assert said["error"]["message"] == "scripted: 429"


def test_a_cut_stream_breaks_in_the_middle():
    found = asyncio.run(events(providers(models=[PAID], script=["cut"])[0]))
    assert found[-1] == "cut"
    assert "".join(event["choices"][0]["delta"]["content"] for event in found[:-1]) in "one two three four"
    assert len(found) > 2


def test_a_stream_cut_before_has_no_byte():
    assert asyncio.run(events(providers(script=["cut_before"])[0])) == ["cut"]


@pytest.mark.parametrize("outcome", ["cut", "cut_before"])
def test_a_whole_reply_is_cut_too(outcome: str):
    with pytest.raises(ReplyCut):
        asyncio.run(body(providers(script=[outcome])[0]))


def test_an_error_event_ends_the_stream_without_done():
    found = asyncio.run(events(providers(models=[PAID], script=["error_event"])[0]))
    assert found[-1]["error"]["message"] == "scripted: an error"
    assert found[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "error" in asyncio.run(body(providers(script=["error_event"])[0]))


def test_no_usage():
    provider = providers(script=["no_usage"])[0]
    found = asyncio.run(events(provider))
    assert all(event.get("usage") is None for event in found[:-1])
    assert found[-1] == "[DONE]"
    assert "usage" not in asyncio.run(body(provider))


def test_usage_in_every_chunk_grows():
    found = asyncio.run(events(providers(models=[PAID], script=["usage_every_chunk"])[0]))
    assert [event["usage"]["completion_tokens"] for event in found[:-1]] == [0, 1, 2, 3, 4, 4, 4]


def test_latency_goes_through_the_clock():
    clock = FakeClock()
    provider = providers(clock, models=[PAID], latency_ms=1500, chunk_ms=100)[0]
    asyncio.run(opened(provider))
    assert clock.monotonic() == pytest.approx(1.5)
    found = asyncio.run(events(provider))
    assert clock.monotonic() == pytest.approx(3.0 + 0.1 * len(found))


def test_a_body_that_is_no_request_is_a_400():
    provider = providers()[0]

    async def scenario(**asked: Any) -> int:
        return (await opened(provider, **asked)).status

    assert asyncio.run(scenario(max_tokens=0)) == 400
    assert asyncio.run(scenario(messages="hello")) == 400


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"script": ["status:99"]}, "known: ok, connect_fail"),
        ({"script": ["okay"]}, "script has 'okay'"),
        ({"models": [{**PAID, "script": ["nope"]}]}, "script has 'nope'"),
        ({"latency_ms": -1}, "latency_ms is -1"),
        ({"max_concurrent": 0}, "max_concurrent is 0"),
        ({"models": [{"name": "m"}]}, "set input and output, or free = true"),
        ({"models": [{**PAID, "free": True}]}, "and not both"),
        ({"models": [{**PAID, "output": "1 usd"}]}, "in one unit"),
        ({"models": [PAID, PAID]}, "two models have one name"),
    ],
)
def test_a_wrong_table_is_refused_with_its_remedy(table: dict[str, Any], says: str):
    with pytest.raises(ArbstrError) as refused:
        configure(arbstr_providers_mock, table)
    assert says in str(refused.value)
