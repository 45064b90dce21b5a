"""The stock OpenAI client, a real model on this machine, and a charge to the msat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from house import PRICED, Process, Setup, process, write

MODEL = "smollm2-135m-instruct"
PLUGINS = ("providers_local", "policy_price", "wallet_simulated")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    place = write(tmp_path_factory.mktemp("real"), f"[plugins.providers_local]\n{PRICED}\n", plugins=PLUGINS)
    with process(place) as running:
        yield running


def create(place: Setup, name: str, max_charge: str = "100sat") -> dict[str, Any]:
    made: dict[str, Any] = place.json(
        *("agent", "create", name, "--fund", "1000sat", "--max-charge", max_charge, "--daily", "900sat")
    )
    assert set(made) >= {"id", "name", "token"}
    return made


def client(place: Setup, agent: dict[str, Any]) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{place.url}/v1", api_key=agent["token"])


def proven(place: Setup, agent: dict[str, Any], request_id: str, given: int, output: int) -> None:
    """The receipt, the balance and the ledger agree with the usage that the client saw."""
    receipt = place.json("receipt", request_id)
    charge = -(-(given * 1_000_000 + output * 4_000_000) // 1_000_000)
    assert (receipt["id"], receipt["agent"], receipt["model"]) == (request_id, agent["id"], MODEL)
    assert (receipt["provider"], receipt["state"]) == ("providers_local", "settled")
    assert receipt["usage"]["input_tokens"] == given
    assert receipt["usage"]["output_tokens"] == output
    assert receipt["usage"]["source"] == "provider"
    assert receipt["charged_msat"] == charge <= receipt["held_msat"]
    assert [attempt["outcome"] for attempt in receipt["attempts"]] == ["served"]
    now = place.json("agent", "show", agent["id"])
    assert now["posted_msat"] == now["available_msat"] == 1_000_000 - charge
    ledger = place.json("audit", "verify")
    assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"], ledger["first_bad"]) == (True, 0, 0, None)


def test_a_completion(served: Process) -> None:
    place = served.setup
    agent = create(place, "whole")
    with client(place, agent) as stock:
        raw = stock.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": "What is the capital of France?"}], max_tokens=24
        )
        completion = raw.parse()
        assert completion.choices[0].message.content
        assert completion.usage is not None
        request_id = raw.headers["x-request-id"]
        usage = completion.usage
        assert raw.headers["x-arbstr-cost-msat"] == str(usage.prompt_tokens + 4 * usage.completion_tokens)
        assert MODEL in [model.id for model in stock.models.list()]
        assert stock.models.retrieve(MODEL).id == MODEL
    proven(place, agent, request_id, usage.prompt_tokens, usage.completion_tokens)


def test_a_stream(served: Process) -> None:
    place = served.setup
    agent = create(place, "stream")
    with client(place, agent) as stock:
        stream = stock.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Count to five."}],
            max_tokens=24,
            stream=True,
            stream_options={"include_usage": True},
        )
        request_id = stream.response.headers["x-request-id"]
        chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    usage = chunks[-1].usage
    assert text
    assert usage is not None
    proven(place, agent, request_id, usage.prompt_tokens, usage.completion_tokens)


def test_a_stream_that_asked_for_no_usage_is_charged_the_same_way(served: Process) -> None:
    place = served.setup
    agent = create(place, "plain")
    with client(place, agent) as stock:
        stream = stock.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Say hi."}], max_tokens=8, stream=True
        )
        request_id = stream.response.headers["x-request-id"]
        assert all(chunk.usage is None and chunk.choices for chunk in stream)
    usage = place.json("receipt", request_id)["usage"]
    proven(place, agent, request_id, usage["input_tokens"], usage["output_tokens"])


def test_the_stock_client_knows_our_errors(served: Process) -> None:
    place = served.setup
    agent = create(place, "wrong")
    asked: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    with client(place, agent) as stock:
        with pytest.raises(openai.NotFoundError):
            stock.chat.completions.create(**{**asked, "model": "gpt-9"})
        with pytest.raises(openai.BadRequestError):
            stock.chat.completions.create(**asked, max_tokens=-1)
        with pytest.raises(openai.BadRequestError, match="at most 1 choices"):
            stock.chat.completions.create(**asked, n=2)
    poor = create(place, "careful", max_charge="1msat")
    with client(place, poor) as stock:
        with pytest.raises(openai.PermissionDeniedError) as limit:
            stock.chat.completions.create(**asked)
        assert limit.value.code == "limit_exceeded"
    with client(place, {"token": "arb_nobody"}) as stock, pytest.raises(openai.AuthenticationError):
        stock.chat.completions.create(**asked)
    assert httpx.get(f"{place.url}/readyz", timeout=60).status_code == 200
