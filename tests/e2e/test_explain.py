"""What would happen to a call, told beforehand: the same as then happens, with every offer's cost or the reason why it
is out; by agents over `/v1/route`, by the operator over `/admin/route` and `arbstr route`. Nothing is sent or held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import Served, Setup, chat, run, serving, write

PLUGINS = ("providers_mock", "policy_price", "policy_keywords", "policy_complexity", "wallet_simulated")
MODELS = """
[[plugins.providers_mock.models]]
name = "m"
input = "1000 sat"
output = "4000 sat"
tier = "standard"

[[plugins.providers_mock.instances.dear.models]]
name = "m"
input = "3000 sat"
output = "9000 sat"
tier = "frontier"

[[plugins.providers_mock.instances.small.models]]
name = "m"
input = "1 sat"
output = "1 sat"
context = 1

[[plugins.providers_mock.instances.dollars.models]]
name = "m"
input = "1 usd"
output = "1 usd"

[[plugins.policy_keywords.rules]]
name = "thrifty"
keywords = ["thrifty"]
max_output = "5000 sat"
"""


def sent(place: Setup) -> list[tuple[Any, ...]]:
    return place.rows("SELECT count(*) FROM hold")


async def told(served: Served, agent: dict[str, Any], text: str = "Say hello", **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {agent['token']}", **more.pop("headers", {})}
    params = more.pop("params", {})
    return await served.http.post("/v1/route", json=chat("m", text, **more), headers=headers, params=params)


def test_an_agent_is_told_what_would_happen_and_that_happens(tmp_path: Path) -> None:
    async def story() -> None:
        place = write(tmp_path, MODELS, plugins=PLUGINS)
        async with serving(place) as served:
            agent = await served.agent()
            answer = await told(served, agent)
            assert answer.status_code == 200, answer.text
            document = answer.json()
            assert [(row["provider"], row["tier"]) for row in document["candidates"]] == [
                ("providers_mock", "standard"),
                ("providers_mock.dear", "frontier"),
            ]
            reasons = {row["provider"]: row["reason"] for row in document["out"]}
            assert "does not fit its context" in reasons["providers_mock.small"]
            assert "there is no rate" in reasons["providers_mock.dollars"]
            first = document["candidates"][0]
            assert first["expected"]["output_tokens"] == first["output_limit"] == 4096
            assert 0 < first["cost_msat"] <= first["ceiling_msat"]
            assert (document["strategy"], document["policy"], document["notes"]) == ("cheapest", None, {})
            assert sent(place) == [(0,)]
            call = await served.call(agent)
            assert call.headers["x-arbstr-provider"] == "providers_mock"
            assert int(call.headers["x-arbstr-reserved-msat"]) == max(
                row["ceiling_msat"] for row in document["candidates"]
            )
            receipt = await served.receipt(call.headers["x-request-id"])
            assert receipt["reasons"][0] == document["reasons"][0]

    run(story())


def test_headers_knobs_and_refusals_count_as_for_the_call(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, MODELS, plugins=PLUGINS)) as served:
            agent = await served.agent()
            rule = (await told(served, agent, headers={"x-arbstr-policy": "thrifty"})).json()
            assert [row["provider"] for row in rule["candidates"]] == ["providers_mock"]
            assert any("above max_output" in row["reason"] for row in rule["out"])
            high = (await told(served, agent, headers={"x-arbstr-complexity": "high"})).json()
            assert high["candidates"][0]["provider"] == "providers_mock.dear"
            assert high["notes"] == {"policy_complexity": {"by": "header", "tier": "frontier"}}
            only = (await told(served, agent, provider={"only": ["dear"]})).json()
            assert [row["provider"] for row in only["candidates"]] == ["providers_mock.dear"]
            nobody = (await told(served, agent, headers={"x-arbstr-policy": "no such rule"})).json()
            assert nobody["candidates"] == []
            assert "names no rule" in nobody["reasons"][0]
            assert len(nobody["out"]) == 4
            other = await told(served, agent, params={"endpoint": "responses"}, messages=None, input="Hello")
            assert other.status_code == 200, other.text
            assert other.json()["candidates"]

    run(story())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "none", "messages": []}, 404),
        ({"model": "m"}, 400),
        ({"messages": []}, 400),
    ],
)
def test_what_no_call_could_be_is_refused_as_one(tmp_path: Path, body: dict[str, Any], status: int) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, MODELS, plugins=PLUGINS)) as served:
            agent = await served.agent()
            headers = {"authorization": f"Bearer {agent['token']}"}
            assert (await served.http.post("/v1/route", json=body, headers=headers)).status_code == status
            assert (await served.http.post("/v1/route", json=body)).status_code == 401
            assert (await served.admin.post("/v1/route", json=body)).status_code == status

    run(story())


def test_what_was_learned_of_an_agent_counts_for_it(tmp_path: Path) -> None:
    async def story() -> None:
        place = write(tmp_path, MODELS, plugins=PLUGINS)
        async with serving(place) as served:
            talks, new = await served.agent("talks"), await served.agent("new")
            for _ in range(3):
                await served.call(talks, text="Say hello")
            used = (await served.receipt((await served.call(talks)).headers["x-request-id"]))["usage"]["output_tokens"]
            mine = (await told(served, talks)).json()["candidates"][0]["expected"]["output_tokens"]
            theirs = (await told(served, new)).json()["candidates"][0]["expected"]["output_tokens"]
            assert mine == theirs == used < 4096
            asked = {"model": "m", "agent": "talks"}
            operators = (await served.admin.post("/admin/route", json=asked)).json()
            assert operators["candidates"][0]["expected"]["output_tokens"] == used
            gone = await served.admin.post("/admin/route", json={**asked, "agent": "nobody"})
            assert gone.status_code == 404

    run(story())


def test_the_command_shows_all_of_it(tmp_path: Path) -> None:
    place = write(tmp_path, MODELS, plugins=PLUGINS)
    shown = place.arbstr("route", "--model", "m", "--complexity", "high", "--prompt", "Be thrifty")
    assert "because: rule 'thrifty' by keyword 'thrifty'" in shown
    assert "because: X-Arbstr-Complexity asks for frontier; nothing of it or above is on sale, so standard" in shown
    assert "out: providers_mock.dear (m): rule 'thrifty': output costs 9000000 msat" in shown
    whole = tmp_path / "request.json"
    whole.write_text(json.dumps(chat("m", "Hello", max_tokens=7, n=2)))
    document = place.json("route", "--request", str(whole))
    assert document["candidates"][0]["output_limit"] == 7
    assert document["candidates"][0]["expected"]["output_tokens"] == 14
    responses = tmp_path / "responses.json"
    responses.write_text(json.dumps({"model": "m", "input": "Hello", "max_output_tokens": 9}))
    asked = ("route", "--request", str(responses), "--endpoint", "responses")
    assert place.json(*asked)["candidates"][0]["output_limit"] == 9
    assert place.rows("SELECT count(*) FROM hold") == [(0,)]
    for words, code, said in (
        (("route",), 2, "--model"),
        (("route", "--request", str(tmp_path / "none.json")), 2, "cannot be read"),
        (("route", "--request", str(place.file)), 2, "cannot be read as JSON"),
        (("route", "--model", "m", "--agent", "nobody"), 1, "nobody"),
        (("route", "--model", "none"), 1, "does not exist"),
    ):
        done = place.command(*words)
        assert done.returncode == code, words
        assert said in done.stderr


def test_the_command_fails_where_nobody_would_be_asked(tmp_path: Path) -> None:
    small = '[[plugins.providers_mock.models]]\nname = "m"\nfree = true\ncontext = 1\n'
    place = write(tmp_path, small, plugins=PLUGINS)
    asked = ("route", "--model", "m")
    nobody = place.command(*asked)
    assert nobody.returncode == 1
    assert nobody.stdout.startswith("Nothing qualifies.\nbecause: ")
    assert "out: providers_mock (m): " in nobody.stdout
    document = place.command(*asked, "--json")
    assert (document.returncode, json.loads(document.stdout)["candidates"]) == (1, [])
