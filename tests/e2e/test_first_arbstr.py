"""What the first arbstr told of itself, in its shapes: of an agent's own calls to the agent, of all to the operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from house import Served, instance, run, serving, until, write
from upstream import Act, Upstream

KEYS = {
    "counts": {"total", "success", "error", "streaming"},
    "costs": {"total_cost_sats", "total_input_tokens", "total_output_tokens"},
    "performance": {"avg_latency_ms"},
}


def headers(agent: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {agent['token']}"}


def whole(group: dict[str, Any]) -> None:
    for part, keys in KEYS.items():
        assert set(group[part]) == keys


async def logged(served: Served, calls: int) -> dict[str, Any]:
    """The operator's stats, once so many calls are in the log."""

    async def look() -> dict[str, Any] | None:
        found = (await served.admin.get("/v1/stats")).json()
        return found if found["counts"]["total"] >= calls else None

    return await until(look, 30)


def test_stats_and_requests(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(), Act(), Act(how="status", status=500), Act())
            async with serving(write(tmp_path, instance("x", upstream.url, more='tier = "frontier"'))) as served:
                agent, other = await served.agent("a"), await served.agent("b")
                await served.call(agent)
                await served.call(agent, stream=True)
                await served.call(agent)
                await served.call(other)
                found = await logged(served, 4)
                whole(found)
                assert found["counts"] == {"total": 4, "success": 3, "error": 1, "streaming": 1}
                assert found["costs"]["total_input_tokens"] == 3 * 11
                assert found["costs"]["total_cost_sats"] == 3 * (11 * 1 + 5 * 4) / 1000

                mine = (await served.http.get("/v1/stats?group_by=model", headers=headers(agent))).json()
                assert mine["counts"]["total"] == 3
                assert mine["models"]["m"]["counts"]["success"] == 2
                tiers = (await served.http.get("/v1/stats?group_by=tier", headers=headers(other))).json()["tiers"]
                assert {name: group["counts"]["total"] for name, group in tiers.items()} == {
                    "local": 0,
                    "standard": 0,
                    "frontier": 1,
                }
                page = (await served.http.get("/v1/requests?per_page=2&sort=cost_sats", headers=headers(agent))).json()
                assert (page["total"], page["total_pages"], page["per_page"], len(page["data"])) == (3, 2, 2, 2)
                first = page["data"][0]
                assert (first["success"], first["tokens"], first["cost"]) == (
                    *(True, {"input": 11, "output": 5}, {"sats": 0.031}),
                )
                failed = (await served.http.get("/v1/requests?success=false", headers=headers(agent))).json()["data"]
                assert [row["error"]["status"] for row in failed] == [502]
                assert set(failed[0]) == {
                    *("id", "timestamp", "model", "streaming", "success", "tokens", "cost", "timing", "error")
                }
                streamed = (await served.http.get("/v1/requests?streaming=true", headers=headers(agent))).json()["data"]
                assert set(streamed[0]["timing"]) == {"latency_ms", "stream_duration_ms"}
                beyond = (await served.http.get("/v1/requests?page=9", headers=headers(agent))).json()
                assert (beyond["data"], beyond["total"]) == ([], 3)
                empty = (await served.http.get("/v1/stats?until=2020-01-01T00:00:00Z", headers=headers(agent))).json()
                assert (empty["empty"], empty["counts"]["total"]) == (True, 0)
                for query, status in [
                    ("stats?group_by=odd", 400),
                    ("stats?range=odd", 400),
                    ("stats?since=odd", 400),
                    ("stats?model=nobody", 404),
                    ("requests?sort=odd", 400),
                    ("requests?order=odd", 400),
                    ("requests?page=0", 400),
                ]:
                    refused = await served.http.get(f"/v1/{query}", headers=headers(agent))
                    assert (refused.status_code, "error" in refused.json()) == (status, True), query
                assert (await served.http.get("/v1/stats")).status_code == 401

    run(story())


def test_cost_providers_health_and_receipts(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            dear = '[models.m]\ninput = "2000 sat"\noutput = "8000 sat"\nrequest = "3 sat"'
            dearest = '[models.m]\ninput = "9000 sat"\noutput = "9000 sat"'
            tables = instance("x", upstream.url) + instance("y", upstream.url, dear)
            async with serving(write(tmp_path, tables + instance("z", upstream.url, dearest))) as served:
                agent = await served.agent()
                asked = {"model": "m", "messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 100}
                cost = (await served.http.post("/v1/cost", json=asked, headers=headers(agent))).json()
                assert (cost["provider"], cost["estimated_output_tokens"]) == ("providers_openai.x", 100)
                assert cost["rates"] == {
                    "input_rate_sats_per_1m": 1000,
                    "output_rate_sats_per_1m": 4000,
                    "base_fee_sats": 0,
                }
                assert cost["estimated_cost_sats"] == (cost["estimated_input_tokens"] + 400) / 1000
                assert (await served.http.post("/v1/cost", json=asked)).status_code == 401
                nobody = await served.http.post("/v1/cost", json={**asked, "model": "no"}, headers=headers(agent))
                assert nobody.json()["error"]["code"] == "model_not_found"

                sold = (await served.http.get("/providers", headers=headers(agent))).json()
                assert [(row["name"], row["models"]) for row in sold["providers"]] == [
                    (f"providers_openai.{name}", ["m"]) for name in "xyz"
                ]
                assert sold["providers"][1]["base_fee_sats"] == 3
                assert (sold["market"]["quotes_seen"], sold["rate_unit"]) == (3, "sats_per_1m_tokens")
                health = await served.http.get("/health")
                assert (health.status_code, health.json()["status"]) == (200, "ok")
                assert health.json()["providers"]["providers_openai.x"] == {
                    "state": "closed",
                    "failure_count": 0,
                    "tier": "standard",
                }

                made = await served.call(agent)
                path = f"/v1/receipts/{made.headers['x-request-id']}"
                receipt = (await served.http.get(path, headers={"x-api-key": agent["token"]})).json()
                assert receipt["charged_msat"] == 11 + 5 * 4
                assert receipt["second_cheapest"] == {"provider": "providers_openai.z", "cost_msat": 16 * 9}
                assert receipt["dearest"] == {"provider": "providers_openai.y", "cost_msat": 3062}
                assert (await served.http.get(path, headers=headers(await served.agent("b")))).status_code == 404
                assert (await served.http.get(path)).status_code == 401

                model = (await served.http.get("/v1/models/m", headers=headers(agent))).json()
                assert (model["tier"], model["context_length"], model["offers"]) == ("standard", None, 3)
                assert model["pricing"] == {
                    "input_msat": 10**6,
                    "cached_input_msat": 10**6,
                    "output_msat": 4 * 10**6,
                    "request_msat": 0,
                }
                assert model["endpoints"] == ["chat/completions", "messages", "responses"]
                listed = await served.http.get("/v1/models", headers=headers(agent))
                assert (model in listed.json()["data"], listed.json()["has_more"]) == (True, False)

    run(story())


@pytest.mark.parametrize("stream", [False, True])
def test_a_receipt_as_an_event(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                agent = await served.agent()
                asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
                wanted = {**headers(agent), "x-arbstr-receipt": "event"}
                answer = await served.http.post("/v1/chat/completions", json=asked, headers=wanted)
                assert ("arbstr" in answer.text) is stream
                if stream:
                    *_, event, done, end = answer.text.split("\n\n")
                    assert (done, end) == ("data: [DONE]", "")
                    said = json.loads(event.removeprefix("data: "))
                    assert said["choices"] == []
                    assert said["arbstr"] == {
                        "request_id": answer.headers["x-request-id"],
                        "provider": "providers_openai.x",
                        "cost_msat": 11 + 5 * 4,
                        "usage": {
                            "input_tokens": 11,
                            "cached_input_tokens": 0,
                            "output_tokens": 5,
                            "source": "provider",
                        },
                    }

    run(story())
