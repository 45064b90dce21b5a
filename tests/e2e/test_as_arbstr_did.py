"""What the first arbstr's tests demand of circuits, escalation, costs and discovery, asked of this one from outside.

docs/migrating-from-arbstr.md lists where this one differs. Names in brackets are those of its cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import PLUGINS, Served, Setup, instance, run, serving, until, write
from ports import free_port
from upstream import Act, Upstream

BREAKER = "[dispatch.breaker]\nfailures = 3\nopen_seconds = 30\n"
CHEAP, DEAR = (
    f'[models.m]\ninput = "{given} sat"\noutput = "{output} sat"\nrequest = "{fee} sat"\n'
    for given, output, fee in ((1000, 5000, 0), (10_000, 30_000, 2))
)
BROKEN = Act(how="status", status=500, body=b"{}")
WRONG = Act(how="status", status=400, body=b'{"error":{"message":"no"}}')
Told = Callable[[Served, Upstream, Upstream], Awaitable[None]]


def told(folder: Path, story: Told, breaker: str = BREAKER) -> None:
    """Two providers of one model, `cheap` and `dear`; a circuit opens after three failures, as it did."""

    async def whole() -> None:
        with Upstream() as cheap, Upstream() as dear:
            tables = instance("cheap", cheap.url, CHEAP) + instance("dear", dear.url, DEAR) + breaker
            async with serving(write(folder, tables)) as served:
                await story(served, cheap, dear)

    run(whole())


async def circuit(served: Served, provider: str) -> dict[str, Any]:
    rows = (await served.admin.get("/admin/providers")).json()["providers"]
    (offer,) = next(row["offers"] for row in rows if row["provider"] == f"providers_openai.{provider}")
    return dict(offer)


async def called(served: Served, count: int, **fields: Any) -> list[httpx.Response]:
    agent = await served.agent("caller")
    return [await served.call(agent, **fields) for _ in range(count)]


@pytest.mark.parametrize("stream", [False, True])
def test_an_open_circuit_is_not_asked_and_all_open_are_503(tmp_path: Path, stream: bool) -> None:
    """[C1, C2, C3, C4, C9]"""

    async def story(served: Served, cheap: Upstream, dear: Upstream) -> None:
        cheap.script("m", BROKEN)
        answers = await called(served, 4, stream=stream)
        assert [answer.status_code for answer in answers] == [200] * 4
        assert {answer.headers["x-arbstr-provider"] for answer in answers} == {"providers_openai.dear"}
        assert [answer.headers["x-arbstr-attempts"] for answer in answers] == ["2", "2", "2", "1"]
        assert (await circuit(served, "cheap"))["breaker"] == "open"
        assert (cheap.hits(), dear.hits()) == (3, 4)
        dear.script("m", BROKEN)
        agent = await served.agent("b")
        for _ in range(3):
            assert (await served.call(agent, stream=stream)).status_code == 502
        refused = await served.call(agent, stream=stream)
        assert refused.status_code == 503
        assert "open circuits" in refused.json()["error"]["message"]
        assert refused.headers["x-request-id"].startswith("req_")
        assert 0 < int(refused.headers["retry-after"]) <= 30
        assert (cheap.hits(), dear.hits()) == (3, 7)

    told(tmp_path, story)


@pytest.mark.parametrize("stream", [False, True])
def test_failures_of_the_provider_count_and_the_callers_do_not(tmp_path: Path, stream: bool) -> None:
    """[C5, C6, C7, C8]; a 400 is passed on as it is, where arbstr made a 502 of it."""

    async def story(served: Served, cheap: Upstream, dear: Upstream) -> None:
        agent = await served.agent()
        cheap.script("m", WRONG)
        answer = await served.call(agent, stream=stream)
        assert answer.status_code == 400
        assert (await circuit(served, "cheap"))["failures"] == 0
        cheap.script("m", BROKEN, BROKEN, Act())
        dear.script("m", BROKEN)
        for failures in (1, 2):
            assert (await served.call(agent, stream=stream)).status_code != 200
            assert (await circuit(served, "cheap"))["failures"] == failures
        assert (await served.call(agent, stream=stream)).status_code == 200
        found = await circuit(served, "cheap")
        assert (found["failures"], found["breaker"]) == (0, "closed")

    told(tmp_path, story)


async def health(served: Served) -> tuple[int, str, list[tuple[str, int]]]:
    answer = await served.http.get("/health")
    found = answer.json()
    rows = [(row["state"], row["failure_count"]) for _, row in sorted(found["providers"].items())]
    return answer.status_code, found["status"], rows


def test_health_says_how_the_circuits_are(tmp_path: Path) -> None:
    """All closed, two failures, one open, all open, half-open."""

    async def story(served: Served, cheap: Upstream, dear: Upstream) -> None:
        assert await health(served) == (200, "ok", [("closed", 0), ("closed", 0)])
        cheap.script("m", BROKEN)
        await called(served, 2)
        assert await health(served) == (200, "ok", [("closed", 2), ("closed", 0)])
        agent = await served.agent("b")
        await served.call(agent)
        assert await health(served) == (200, "degraded", [("open", 3), ("closed", 0)])
        dear.script("m", BROKEN)
        for _ in range(3):
            await served.call(agent)
        assert await health(served) == (503, "unhealthy", [("open", 3), ("open", 3)])

    told(tmp_path, story)


def test_half_open_circuits_are_degraded_and_tried_by_one_call(tmp_path: Path) -> None:
    async def story(served: Served, cheap: Upstream, dear: Upstream) -> None:
        agent = await served.agent()
        cheap.script("m", BROKEN)
        dear.script("m", BROKEN)
        for _ in range(3):
            await served.call(agent)

        async def half_open() -> bool | None:
            found = await health(served)
            return True if [state for state, _ in found[2]] == ["half_open"] * 2 else None

        await until(half_open)
        assert (await health(served))[:2] == (200, "degraded")
        cheap.script("m", Act())
        dear.script("m", Act())
        answers = await asyncio.gather(*(served.call(agent) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await health(served))[2][0] == ("closed", 0)

    told(tmp_path, story, BREAKER.replace("open_seconds = 30", "open_seconds = 0.5"))


def test_without_providers_health_is_ok(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path)) as served:
            assert await health(served) == (200, "ok", [])

    run(story())


def test_the_operator_closes_what_was_mended(tmp_path: Path) -> None:
    async def story(served: Served, cheap: Upstream, dear: Upstream) -> None:
        agent = await served.agent()
        cheap.script("m", BROKEN)
        for _ in range(3):
            await served.call(agent)
        found = await circuit(served, "cheap")
        assert (found["breaker"], found["last_failure"]) == ("open", "answered 500")
        assert found["until_ms"] is not None
        route = (await served.admin.post("/admin/route", json={"model": "m"})).json()
        assert [row["provider"] for row in route["candidates"]] == ["providers_openai.dear"]
        assert "its circuit is open until" in route["out"][0]["reason"]
        cheap.script("m", Act())
        closed = (await served.admin.post("/admin/providers/providers_openai.cheap/close")).json()
        assert [offer["breaker"] for offer in closed["offers"]] == ["closed"]
        assert (await served.call(agent)).headers["x-arbstr-provider"] == "providers_openai.cheap"
        missing = await served.admin.post("/admin/providers/nobody/close")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")

    told(tmp_path, story)


def test_the_cheapest_is_chosen_and_the_rates_are_shown(tmp_path: Path) -> None:
    """The cost cases, but by a call's expected tokens, and in msat."""

    async def story(served: Served, cheap: Upstream, dear: Upstream) -> None:
        headers = {"authorization": f"Bearer {(await served.agent())['token']}"}

        async def cost(**fields: Any) -> httpx.Response:
            body = {"model": "m", "messages": [{"role": "user", "content": "x" * 400}], **fields}
            return await served.http.post("/v1/cost", json=body, headers=headers)

        found = (await cost(max_tokens=100)).json()
        assert (found["provider"], found["estimated_output_tokens"]) == ("providers_openai.cheap", 100)
        # All of the body is counted, not the text alone: a template renders more than that, too.
        assert 100 < found["estimated_input_tokens"] < 130
        assert found["rate_unit"] == "sats_per_1m_tokens"
        assert found["rates"] == {"input_rate_sats_per_1m": 1000, "output_rate_sats_per_1m": 5000, "base_fee_sats": 0}
        assert (await cost(model="gone")).status_code == 404
        assert (await served.http.post("/v1/cost", json={})).status_code == 401
        cheap.script("m", BROKEN)
        await called(served, 3)
        found = (await cost(max_tokens=100)).json()
        assert found["provider"] == "providers_openai.dear", "an open circuit is not what a call would cost"
        assert found["rates"]["base_fee_sats"] == 2

    told(tmp_path, story)


def test_a_rule_that_is_named_leaves_out_what_is_too_dear(tmp_path: Path) -> None:
    """The cost case with a policy: what costs more a million tokens of output than it allows would not be asked, be it
    the cheapest for this call."""
    rule = '[[plugins.policy_keywords.rules]]\nname = "thrifty"\nmax_output = "20000 sat"\n'
    dear = DEAR.replace('input = "10000 sat"', 'input = "1 sat"').replace('request = "2 sat"', 'request = "0 sat"')

    async def whole() -> None:
        with Upstream() as cheap, Upstream() as other:
            tables = instance("cheap", cheap.url, CHEAP) + instance("dear", other.url, dear) + rule
            async with serving(write(tmp_path, tables)) as served:
                headers = {"authorization": f"Bearer {(await served.agent())['token']}"}
                body = {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}], "max_tokens": 1}

                async def chosen(**more: str) -> dict[str, Any]:
                    return dict((await served.http.post("/v1/cost", json=body, headers=headers | more)).json())

                assert (await chosen())["provider"] == "providers_openai.dear"
                assert (await chosen(**{"x-arbstr-policy": "thrifty"}))["provider"] == "providers_openai.cheap"

    run(whole())


TIERS = {"local": (1000, 5000, 0), "standard": (5000, 15_000, 1), "frontier": (10_000, 30_000, 2)}
HARD = "Prove that the algorithm terminates, step by step; compare its trade-offs, and refactor the architecture."


def tiered(folder: Path, story: Callable[[Served, dict[str, Upstream]], Awaitable[None]]) -> None:
    """One model in three tiers, and the policy that knows of prompts."""

    async def whole() -> None:
        with Upstream() as local, Upstream() as standard, Upstream() as frontier:
            sold = {"local": local, "standard": standard, "frontier": frontier}
            rows = [
                instance(
                    tier,
                    sold[tier].url,
                    f'[models.m]\ninput = "{given} sat"\noutput = "{output} sat"\nrequest = "{fee} sat"\n',
                    f'tier = "{tier}"',
                )
                for tier, (given, output, fee) in TIERS.items()
            ]
            async with serving(
                write(folder, "".join(rows) + BREAKER, plugins=(*PLUGINS, "policy_complexity"))
            ) as served:
                await story(served, sold)

    run(whole())


async def served_by(served: Served, complexity: str | None) -> str:
    agents = (await served.admin.get("/admin/agents")).json()["data"]
    agent = await served.agent(f"agent-{len(agents)}")
    headers = {"authorization": f"Bearer {agent['token']}"}
    if complexity is not None:
        headers["x-arbstr-complexity"] = complexity
    body = {"model": "m", "messages": [{"role": "user", "content": HARD}]}
    answer = await served.http.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-arbstr-provider"].removeprefix("providers_openai.")


def test_the_header_chooses_the_tier(tmp_path: Path) -> None:
    """The escalation cases; `high` is served by frontier, where any tier would do. A model that is named is respected,
    so that without the header the cheapest serves, however hard the prompt."""

    async def story(served: Served, sold: dict[str, Upstream]) -> None:
        wanted = {
            "high": "frontier",
            "medium": "standard",
            "low": "local",
            "LOW": "local",
            "odd": "local",
            None: "local",
        }
        assert {value: await served_by(served, value) for value in wanted} == wanted

    tiered(tmp_path, story)


def test_open_circuits_escalate(tmp_path: Path) -> None:
    async def story(served: Served, sold: dict[str, Upstream]) -> None:
        for broken, instead in (("local", "standard"), ("standard", "frontier")):
            sold[broken].script("m", BROKEN)
            for _ in range(3):
                assert await served_by(served, "low") == instead
            assert (await circuit(served, broken))["breaker"] == "open"
            before = sold[broken].hits()
            assert await served_by(served, "low") == instead
            assert sold[broken].hits() == before

    tiered(tmp_path, story)


def discovering(url: str, *, discover: bool = True, models: str = "") -> str:
    more = f"discover = {str(discover).lower()}\nfree = true"
    return instance("x", url, models, more)


def models_of(place: Setup) -> list[str]:
    return sorted({offer["model"] for offer in place.json("offers")["offers"]})


@pytest.mark.parametrize(
    ("discover", "up", "models", "found"),
    [
        (True, True, "", ["listed-a", "listed-b"]),
        (True, True, "[models.own]\nfree = true\n", ["listed-a", "listed-b", "own"]),
        (True, False, "[models.own]\nfree = true\n", ["own"]),
        (True, False, "", []),
        (False, True, "[models.own]\nfree = true\n", ["own"]),
        (False, True, "", []),
    ],
)
def test_discovery(tmp_path: Path, discover: bool, up: bool, models: str, found: list[str]) -> None:
    """What an endpoint lists is on offer; one that does not answer keeps its rows; no list is no wildcard."""
    with Upstream() as upstream:
        upstream.script("listed-a", Act())
        upstream.script("listed-b", Act())
        url = upstream.url if up else f"http://127.0.0.1:{free_port()}/v1"
        place = write(tmp_path, discovering(url, discover=discover, models=models))
        assert models_of(place) == found
