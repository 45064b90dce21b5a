"""Nodes of one's own: held to the kit; what each kind of server says of its models and of its load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import arbstr_providers_mesh
import httpx
import pytest

from arbstr_core.api import ConnectFailed, Endpoint, Feature, Free, MsatPrice, Offer, Provider, ProviderError, Tier
from arbstr_core.testing import PluginSuite, ProviderSuite, configure, kit_tools

URL = "http://192.168.1.20:9337/v1"
Page = Callable[[httpx.Request], httpx.Response]


def one(**node: Any) -> dict[str, Any]:
    return {"nodes": {"den": {"url": URL, **node}}}


def row(name: str, owner: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "owned_by": owner, **more}


def pages(**by_path: Any) -> Page:
    """A server with these answers: JSON values, or text; 404 for any other path, as all of these servers do."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = by_path.get(request.url.path.strip("/").replace("/", "_"))
        if callable(found):
            found = found(request)
        if found is None:
            return httpx.Response(404, json={"error": "not found"})
        return httpx.Response(200, text=found) if isinstance(found, str) else httpx.Response(200, json=found)

    return answer


def lists(*rows: dict[str, Any], **more: Any) -> Page:
    return pages(v1_models={"object": "list", "data": list(rows)}, **more)


def provider(page: Page, **node: Any) -> Provider:
    config = configure(arbstr_providers_mesh, one(**node))
    (made,) = arbstr_providers_mesh.arbstr_providers(config, kit_tools(http=page))
    return made


def offers(page: Page, **node: Any) -> dict[str, Offer]:
    return {offer.model: offer for offer in asyncio.run(provider(page, **node).offers())}


MESH = lists(
    row("auto", "mesh-llm", capabilities=["text"]),
    row("Qwen3-8B-Q4_K_M", "mesh-llm", capabilities=["text", "reasoning"], display_name="Qwen3 8B"),
    row("gemma-3-12b", "mesh-llm", capabilities=["text", "vision"], vision_status="supported"),
)
METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="qwen"} 3.0
vllm:num_requests_running{engine="1",model_name="qwen"} 2.0
vllm:num_requests_waiting{engine="0",model_name="qwen"} 7.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="qwen"} 90.0
"""


class TestPlugin(PluginSuite):
    def table(self):
        return one(input="5 sat", output="9 sat", seller="alice")

    @pytest.fixture
    def plugin(self):
        return arbstr_providers_mesh


class TestNode(ProviderSuite):
    def tools(self, **more: Any):
        return kit_tools(http=MESH, secrets={"env:DEN": "k"}, **more)

    @pytest.fixture
    def make(self):
        config = configure(arbstr_providers_mesh, one(key="env:DEN", input="5 sat", output="9 sat"))
        return lambda tools: arbstr_providers_mesh.arbstr_providers(config, tools)[0]


def test_a_mesh_lists_its_own_models_and_those_of_its_peers():
    found = offers(MESH)
    assert list(found) == ["Qwen3-8B-Q4_K_M", "gemma-3-12b"], "auto is arbstr's own word"
    qwen, gemma = found.values()
    assert (qwen.provider, qwen.tier, qwen.price) == ("providers_mesh.den", Tier.LOCAL, Free())
    assert qwen.features == {Feature.TOOLS, Feature.JSON}
    assert gemma.features == {Feature.TOOLS, Feature.JSON, Feature.VISION}


def test_ollama_says_what_its_models_can_do_and_what_is_loaded():
    asked: list[str] = []
    able = {"llava": ["completion", "vision"], "qwen3": ["completion", "tools"], "nomic": ["embedding"]}

    def show(request: httpx.Request) -> Any:
        asked.append(json.loads(request.content)["model"])
        return {"capabilities": able[asked[-1]], "model_info": {"llama.context_length": 131072}}

    page = lists(
        *(row(name, "library") for name in able),
        api_show=show,
        api_ps={"models": [{"name": "qwen3", "model": "qwen3", "context_length": 8192}]},
    )
    made = provider(page)
    found = {offer.model: offer for offer in asyncio.run(made.offers())}
    assert found["llava"].features == {Feature.VISION, Feature.JSON}
    assert found["qwen3"].features == {Feature.TOOLS, Feature.JSON}
    assert found["nomic"].endpoints == {Endpoint.EMBEDDINGS}
    assert found["qwen3"].context_window == 8192
    assert found["llava"].context_window is None, "what it would be cut to is not known before it is loaded"
    asyncio.run(made.offers())
    assert sorted(asked) == sorted(able), "what a model can do is asked for once"
    assert offers(page, context=4096)["llava"].context_window == 4096


def test_llama_cpp_says_its_window_and_its_slots():
    page = lists(
        row("smollm2", "llamacpp", meta={"n_ctx_train": 8192}),
        props={"default_generation_settings": {"n_ctx": 2048}, "total_slots": 2, "modalities": {"vision": True}},
        slots=[{"id": 0, "is_processing": True}, {"id": 1, "is_processing": False}],
    )
    made = provider(page)
    (offer,) = asyncio.run(made.offers())
    assert (offer.context_window, offer.max_concurrent) == (2048, 2)
    assert offer.features == {Feature.TOOLS, Feature.JSON, Feature.VISION}
    assert made.says() == {"kind": "llama.cpp", "running": 1, "waiting": None, "places": 2}
    assert offers(page, max_concurrent=5, context=512)["smollm2"].max_concurrent == 5
    assert offers(page, context=512)["smollm2"].context_window == 512


def test_vllm_says_how_many_wait_and_gets_no_more():
    page = lists(row("qwen", "vllm", max_model_len=32768), metrics=METRICS)
    made = provider(page, max_waiting=7)
    (offer,) = asyncio.run(made.offers())
    assert (offer.context_window, offer.withheld) == (32768, "")
    assert made.says() == {"kind": "vllm", "running": 5, "waiting": 7, "places": None}
    assert offers(page, max_waiting=6)["qwen"].withheld == "7 calls wait there already, more than max_waiting = 6"
    assert offers(page)["qwen"].withheld == ""


@pytest.mark.parametrize("owner", ["mesh-llm", "library", "llamacpp", "vllm", "acme"])
@pytest.mark.parametrize(
    "junk",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        "null",
        '{"models": 7}',
        '[{"is_processing": "yes"}]',
        pytest.param("[" * 99_999, id="deep"),
    ],
)
def test_what_a_node_says_beside_its_list_is_never_needed(owner: str, junk: str):
    more = {"props": junk, "slots": junk, "metrics": junk, "api_ps": junk, "api_show": junk}
    listed = row("m", owner, max_model_len="many", capabilities=junk, context_length=-1)
    offer = offers(lists(listed, **more))["m"]
    assert (offer.context_window, offer.max_concurrent, offer.withheld) == (None, None, "")


def test_a_node_that_hangs_over_what_is_not_needed_is_sold_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("arbstr_providers_mesh._provider._SECONDS", 0.01)

    async def hang(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [row("m", "vllm")]})
        await asyncio.Event().wait()
        raise AssertionError

    (offer,) = asyncio.run(provider(hang).offers())
    assert offer.model == "m"


def test_a_node_that_is_down_says_so_and_what_it_served_ages():
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ConnectFailed, match="refused"):
        offers(refuse)


@pytest.mark.parametrize(
    "answer", ["<html>", "7", '{"data": 7}', '{"data": [{"id": 7}]}', pytest.param("[" * 99_999, id="deep")]
)
def test_an_answer_that_is_no_list_withdraws_nothing_by_mistake(answer: str):
    if answer.startswith('{"data": ['):
        assert offers(pages(v1_models=answer)) == {}
    else:
        with pytest.raises(ProviderError, match="did not answer with a list"):
            offers(pages(v1_models=answer))


def test_some_models_of_many():
    many = lists(*(row(f"m{number}", "vllm") for number in range(1000)), row("m0", "vllm"))
    made = provider(many)
    assert len(asyncio.run(made.offers())) == 300
    assert made.remarks() == {"models": "it lists 1000 models; the first 300 are offered"}
    made = provider(many, models=["m7", "gone"])
    assert [offer.model for offer in asyncio.run(made.offers())] == ["m7"]
    assert made.remarks() == {"models": "it does not serve gone now"}


def test_a_seller_has_prices():
    offer = offers(MESH, input="5 sat", output="9 sat", seller="alice")["gemma-3-12b"]
    assert offer.price == MsatPrice(input=5000, cached_input=5000, output=9000, request=0)
    assert offer.seller == "alice"


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"url": "192.168.1.20"}, "http or https address"),
        ({"url": "http://me:hunter2@x/v1"}, "take it out"),
        ({"url": "http://x/v1?a=b"}, "query"),
        ({"seller": "alice"}, "write input and output"),
        ({"seller": " a", "input": "1 sat", "output": "1 sat"}, "1 to 100 characters"),
        ({"input": "1 sat"}, "no output"),
        ({"input": "1 sat", "output": "1 usd"}, "one unit"),
        ({"context": 0}, "at least 1"),
        ({"max_waiting": -1}, "at least 0"),
        ({"endpoints": []}, "name what is spoken"),
        ({"kind": "toaster"}, "toaster"),
    ],
)
def test_a_table_that_is_wrong(node: dict[str, Any], why: str):
    with pytest.raises(Exception, match=why) as raised:
        configure(arbstr_providers_mesh, {"nodes": {"den": {"url": URL, **node}}})
    assert "hunter2" not in str(raised.value)


def test_a_name_that_is_none():
    with pytest.raises(Exception, match="letters, digits"):
        configure(arbstr_providers_mesh, {"nodes": {"a b": {"url": URL}}})


def test_a_key_that_is_not_set_disables_its_node_alone():
    table = {"nodes": {"den": {"url": URL, "key": "env:GONE"}, "open": {"url": URL}}}
    made = arbstr_providers_mesh.arbstr_providers(configure(arbstr_providers_mesh, table), kit_tools(http=MESH))
    assert [each.name for each in made] == ["providers_mesh.open"]


def test_the_command_says_what_runs_where():
    def page(request: httpx.Request) -> httpx.Response:
        if request.url.host == "10.0.0.9":
            raise httpx.ConnectError("refused", request=request)
        return MESH(request)

    table = {"nodes": {"den": {"url": URL}, "off": {"url": "http://10.0.0.9/v1"}, "shut": {"url": URL, "key": "env:X"}}}
    (command,) = arbstr_providers_mesh.arbstr_commands(configure(arbstr_providers_mesh, table), kit_tools(http=page))
    den, off, shut = asyncio.run(command.run({}))
    assert (den["up"], den["kind"], [each["model"] for each in den["models"]]) == (
        True,
        "mesh-llm",
        ["Qwen3-8B-Q4_K_M", "gemma-3-12b"],
    )
    assert not off["up"]
    assert "refused" in off["error"]
    assert shut["error"] == "its key env:X is not set"
