"""Every client against a real model on this machine: it speaks, keeps to a schema, and is paid to the msat."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from driving import ANTHROPIC, CLIENTS, PYTHON, SECONDS, Client, Driver, Raised, World
from house import PRICED, process, write
from upstream import Upstream

MODEL = "smollm2-135m-instruct"
SHORT = {"max_tokens": 8}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tables = f"[plugins.providers_local]\n{PRICED}\n"
    plugins = ("providers_local", "policy_price", "wallet_simulated")
    setup = write(tmp_path_factory.mktemp("real"), tables, plugins=plugins)
    with (
        Upstream() as nobody,
        process(setup),
        httpx.Client(base_url=setup.url, headers=setup.operator(), trust_env=False, timeout=60) as admin,
    ):
        yield World(setup, nobody, admin)


@pytest.fixture
def client(request: pytest.FixtureRequest, drivers: Callable[[str], Driver], real: World) -> Client:
    agent = real.agent(f"{request.param} {request.node.name}")
    return Client(request.param, drivers(request.param), real, agent)


def last_call(client: Client) -> dict[str, Any]:
    """The agent's last call, once it has ended."""
    key = {"authorization": f"Bearer {client.agent['token']}"}
    deadline = time.monotonic() + SECONDS
    while True:
        answer = httpx.get(f"{client.world.setup.url}/wallet/calls?limit=1", headers=key, trust_env=False, timeout=60)
        (call,) = answer.raise_for_status().json()["data"]
        if call["state"] != "held":
            return dict(call)
        assert time.monotonic() < deadline, call
        time.sleep(0.02)


def paid(client: Client) -> int:
    """The last call is charged for what the model says it used, and not a msat more; its output, in tokens."""
    call = last_call(client)
    usage = call["usage"]
    assert (call["state"], call["provider"], usage["source"]) == ("settled", "providers_local", "provider")
    assert call["charged_msat"] == usage["input_tokens"] + 4 * usage["output_tokens"] <= call["held_msat"]
    assert usage["input_tokens"] > 5
    return int(usage["output_tokens"])


def speaks(shown: Any) -> bool:
    """Whether any letters came."""
    return any(letter.isalpha() for letter in json.dumps(shown))


@pytest.mark.parametrize(
    ("client", "do"),
    [*((name, "plain") for name in CLIENTS | ANTHROPIC), *((name, "stream") for name in ("llm", *ANTHROPIC))],
    indirect=["client"],
)
def test_a_few_words(client: Client, do: str) -> None:
    assert speaks(client(do, model=MODEL, fields=SHORT))
    assert 1 <= paid(client) <= 8


@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "llm"], indirect=True)
def test_usage_is_what_is_charged(client: Client) -> None:
    shown = json.dumps(client("usage_on", model=MODEL, fields=SHORT))
    output = paid(client)
    wanted = (f'"completion_tokens": {output}', f'"output_tokens": {output}', f'"outputTokens": {output}')
    assert any(text in shown for text in wanted), shown


@pytest.mark.parametrize(
    ("client", "do"),
    [
        ("openai", "structured"),
        ("openai-node", "structured_streamed"),
        ("llm", "structured"),
        ("anthropic", "structured"),
    ],
    indirect=["client"],
)
def test_a_schema_is_kept_to(client: Client, do: str) -> None:
    """llama.cpp makes any model write what a grammar takes; how long the name gets is up to the model."""
    try:
        parsed = client(do, model=MODEL, fields={"max_tokens": 40})["parsed"]
        assert set(parsed) == {"name", "age"}
        assert isinstance(parsed["age"], int)
        assert paid(client) <= 40
    except Raised:
        # A name without end was cut off by the limit: to the client that is no JSON then.
        assert paid(client) == 40


@pytest.mark.parametrize("client", ["openai", "openai-node", "ai-sdk", "langchain", "anthropic"], indirect=True)
def test_tools_are_refused_where_the_model_knows_none(client: Client) -> None:
    with pytest.raises(Raised) as refused:
        client("tools", model=MODEL, fields=SHORT)
    assert refused.value["status"] == 400 or client.name == "langchain"
    assert "tools" in refused.value["message"]


@pytest.mark.parametrize("client", ["openai", "openai-node"], indirect=True)
def test_a_schema_that_llama_would_not_keep_to_is_refused(client: Client) -> None:
    with pytest.raises(Raised) as refused:
        client("respond_structured", model=MODEL, fields={"max_output_tokens": 8})
    assert (refused.value["status"], refused.value["param"]) == (400, "text")


@pytest.mark.parametrize("client", ["openai async", "ai-sdk openai", "anthropic"], indirect=True)
def test_leaving_in_the_middle(client: Client) -> None:
    shown = client("cancel", model=MODEL, fields={"max_tokens": 16})
    assert len(shown["seen"]) >= 3
    assert speaks(shown["again"])
    paid(client)


@pytest.mark.parametrize("client", ["openai", "openai-node"], indirect=True)
def test_a_response(client: Client) -> None:
    assert speaks(client("respond_streamed", model=MODEL, fields={"max_output_tokens": 8}))
    assert 1 <= paid(client) <= 8


def test_the_command_llm(real: World, clients_made: None, tmp_path: Path) -> None:
    """As its manual has it: a row in a file, a key, and a question on the command line."""
    agent = real.agent("the command llm")
    row = f"- model_id: a\n  model_name: {MODEL}\n  api_base: {real.setup.url}/v1\n  api_key_name: arbstr\n"
    (tmp_path / "extra-openai-models.yaml").write_text(row)
    environment = {"LLM_USER_PATH": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    program = str(PYTHON.with_name("llm"))
    asked = ["-m", "a", "-o", "max_tokens", "8", "--key", agent["token"], "Say hello"]
    done = subprocess.run(
        [program, "prompt", *asked], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert speaks(done.stdout)
    assert real.show(agent)["posted_msat"] < agent["posted_msat"]
