"""Many calls at once on little money, two providers with one model, and no vault at all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from house import Served, chat, instance, run, serving, until_true, write
from upstream import Act, Upstream


def client_of(served: Served, agent: dict[str, Any]) -> openai.AsyncOpenAI:
    """The stock client, unchanged but for base_url and api_key (and an HTTP client that opens enough connections)."""
    plain = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=None), timeout=30)
    return openai.AsyncOpenAI(base_url=f"{served.setup.url}/v1", api_key=agent["token"], http_client=plain)


async def ceiling_of(served: Served) -> int:
    """What a call of `chat()` holds."""
    probe = await served.agent("probe")
    answer = await served.call(probe, max_tokens=100)
    return int(answer.headers["x-arbstr-reserved-msat"])


def test_100_calls_on_a_balance_that_fits_7(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                ceiling = await ceiling_of(served)
                upstream.script("m", Act(how="gate"))
                agent = await served.agent(fund=7 * ceiling + ceiling // 2)
                async with client_of(served, agent) as client:
                    asked = [
                        asyncio.create_task(client.chat.completions.create(**chat(max_tokens=100)))  # type: ignore[call-overload]
                        for _ in range(100)
                    ]
                    await until_true(lambda: sum(task.done() for task in asked) == 93)
                    await until_true(lambda: upstream.hits() == 1 + 7)
                    assert served.setup.rows("SELECT count(*) FROM hold WHERE state = 'held'") == [(7,)]
                    refused = [task.exception() for task in asked if task.done()]
                    upstream.open_gate()
                    outcomes = await asyncio.gather(*asked, return_exceptions=True)
                for error in refused:
                    assert isinstance(error, openai.APIStatusError)
                    assert (error.status_code, error.code) == (402, "insufficient_quota")
                    assert error.response.headers["x-should-retry"] == "false"
                    assert error.body["needed_msat"] == ceiling  # type: ignore[index]
                paid = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
                assert len(paid) == 7
                assert upstream.hits() == 1 + 7
                # No refusal was tried again by the client: arbstr saw 100 calls and the probe.
                await until_true(lambda: served.setup.rows("SELECT count(*) FROM request_log") == [(101,)])
                now = await served.show(agent)
                assert now["posted_msat"] == agent["posted_msat"] - 7 * (11 + 4 * 5)
                await served.verified()

    run(story())


# Cheaper for long prompts, and for short ones: the fee decides.
FEE = '[models.m]\ninput = "100 sat"\noutput = "400 sat"\nrequest = "20 sat"'
NO_FEE = '[models.m]\ninput = "1000 sat"\noutput = "4000 sat"'


@pytest.mark.parametrize("stream", [False, True])
def test_the_cheaper_one_for_this_request_wins(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as fee, Upstream() as plain:
            place = write(tmp_path, instance("fee", fee.url, FEE) + instance("plain", plain.url, NO_FEE))
            async with serving(place) as served:
                agent = await served.agent()
                short = await served.call(agent, max_tokens=100, stream=stream)
                assert short.headers["x-arbstr-provider"] == "providers_openai.plain"
                long = await served.call(agent, text="word " * 40_000, max_tokens=100, stream=stream)
                assert long.headers["x-arbstr-provider"] == "providers_openai.fee"
                assert (fee.hits(), plain.hits()) == (1, 1)
                receipt = await served.ended(short.headers["x-request-id"])
                assert receipt["charged_msat"] == 11 + 4 * 5
                # Rounded up once over the sum of the tokens, and the fee on top.
                assert [row["provider"] for row in receipt["alternatives"]] == ["providers_openai.fee"]
                assert receipt["alternatives"][0]["cost_msat"] == 20_000 + -(-(11 * 100 + 5 * 400) // 1000)
                await served.verified()

    run(story())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["cut_before", "cut_headers", "status", "error_event", "hang"])
def test_the_other_one_answers_within_the_same_hold(tmp_path: Path, stream: bool, how: str) -> None:
    async def story() -> None:
        with Upstream() as fee, Upstream() as plain:
            plain.script("m", Act(how=how, status=500, words=-2))
            tables = instance("fee", fee.url, FEE) + instance("plain", plain.url, NO_FEE)
            patience = 1 if how == "hang" else 60
            place = write(tmp_path, f"{tables}[dispatch]\nfirst_byte_seconds = {patience}\n")
            async with serving(place) as served:
                agent = await served.agent()
                answer = await served.call(agent, max_tokens=100, stream=stream)
                assert answer.status_code == 200
                assert answer.headers["x-arbstr-provider"] == "providers_openai.fee"
                assert answer.headers["x-arbstr-attempts"] == "2"
                receipt = await served.ended(answer.headers["x-request-id"])
                attempts = [(attempt["provider"], attempt["outcome"] == "served") for attempt in receipt["attempts"]]
                assert attempts == [("providers_openai.plain", False), ("providers_openai.fee", True)]
                assert receipt["provider"] == "providers_openai.fee"
                assert receipt["charged_msat"] == 20_000 + -(-(11 * 100 + 5 * 400) // 1000)
                assert (fee.hits(), plain.hits()) == (1, 1)
                assert served.setup.rows("SELECT count(*) FROM hold") == [(1,)]
                await served.verified()

    run(story())


def test_a_dear_fallback_does_not_refuse_a_cheap_call(tmp_path: Path) -> None:
    async def story() -> None:
        dear = '[models.m]\ninput = "1000000 sat"\noutput = "1000000 sat"'
        free = "[models.m]\nfree = true"
        with Upstream() as one, Upstream() as two:
            one.script("m", Act(), Act(how="status", status=500))
            place = write(tmp_path, instance("free", one.url, free) + instance("dear", two.url, dear))
            async with serving(place) as served:
                agent = await served.agent(fund=0)
                assert (await served.call(agent)).headers["x-arbstr-provider"] == "providers_openai.free"
                # What was held does not cover the dear one, so it is not asked.
                assert (await served.call(agent)).status_code == 502
                assert two.hits() == 0
                await served.verified()

    run(story())


def test_what_goes_out_is_what_came_but_for_what_must_change(tmp_path: Path) -> None:
    async def story() -> None:
        models = '[models.m]\nupstream = "their-name"\nmax_output_tokens = 50\ninput = "1 sat"\noutput = "1 sat"'
        models += '\npassthrough = "all"'
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url, models))) as served:
                agent = await served.agent()
                body = '{ "messages" : [{"role":"user","content":"h\\u00e9"}],\n "model":"m" ,"odd":{"a":[1.50]}}'
                headers = {
                    "authorization": f"Bearer {agent['token']}",
                    "cookie": "secret=1",
                    "x-forwarded-for": "10.0.0.1",
                    "x-arbstr-note": "n",
                    "openai-organization": "org",
                    "x-request-id": "mine",
                }
                answer = await served.http.post("/v1/chat/completions", content=body, headers=headers)
                assert answer.status_code == 200
                assert answer.headers["x-client-request-id"] == "mine"
                (seen,) = upstream.seen
                want = '{"max_tokens":50,' + body[1:].replace('"m"', '"their-name"')
                assert seen.body.decode() == want
                assert agent["token"] not in repr(seen)
                assert not {"cookie", "x-forwarded-for", "x-arbstr-note", "authorization", "x-request-id"} & set(
                    seen.headers
                )
                await served.http.post(
                    "/v1/chat/completions",
                    json=chat(stream=True, max_completion_tokens=7, stream_options={"x": 1}),
                    headers=headers,
                )
                sent = upstream.seen[-1].json
                assert (sent["max_tokens"], "max_completion_tokens" in sent) == (7, False), "the name that it knows"
                assert sent["stream_options"] == {"include_usage": True, "x": 1}

    run(story())


def test_the_usage_chunk_is_for_who_asked(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                agent = await served.agent()
                without = await served.call(agent, stream=True)
                asked = await served.call(agent, stream=True, stream_options={"include_usage": True})
                assert '"usage"' not in without.text
                assert asked.text.count('"usage"') == 1
                for answer in (without, asked):
                    assert answer.text.endswith("data: [DONE]\n\n")
                    receipt = await served.ended(answer.headers["x-request-id"])
                    assert receipt["usage"]["source"] == "provider"
                await served.verified()

    run(story())


def test_without_a_vault_everyone_is_served_and_nobody_charged(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act())
            place = write(tmp_path, instance("x", upstream.url) + "[vault]\nenabled = false\n")
            async with serving(place) as served:
                for stream in (False, True):
                    answer = await served.call(None, stream=stream)
                    assert answer.status_code == 200
                    assert "x-arbstr-reserved-msat" not in answer.headers
                assert (await served.http.get("/v1/models")).json()["data"][0]["id"] == "m"
                assert (await served.admin.get("/admin/agents")).status_code == 404
                upstream.script("m", Act(how="cut", words=9))
                assert "upstream_cut" in (await served.call(None, stream=True)).text
                assert place.rows("SELECT count(*) FROM hold") == [(0,)]
                await until_true(lambda: place.rows("SELECT count(*) FROM request_log") == [(3,)])

    run(story())


def test_mock_serves_without_any_other_provider(tmp_path: Path) -> None:
    async def story() -> None:
        place = write(tmp_path, arbstr='mock = ["providers_mock"]')
        async with serving(place, mock=True) as served:
            agent = await served.agent()
            answer = await served.call(agent, model="mock")
            assert answer.json()["choices"][0]["message"]["content"]
            streamed = await served.call(agent, model="mock", stream=True)
            assert streamed.text.endswith("data: [DONE]\n\n")
            document = (await served.admin.get("/admin/offers")).json()
            assert [row["provider"] for row in document["offers"]] == ["providers_mock"]
            await served.verified()

    run(story())


def test_keywords_decide_and_say_so(tmp_path: Path) -> None:
    async def story() -> None:
        rules = (
            '[[plugins.policy_keywords.rules]]\nname = "cheap"\nkeywords = ["hello"]\nmax_output = "10 sat"\n'
            '[[plugins.policy_keywords.rules]]\nname = "any"\nkeywords = []\n'
        )
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url) + rules)) as served:
                agent = await served.agent()
                answer = await served.call(agent)
                assert answer.status_code == 403
                assert answer.json()["error"]["code"] == "policy_refused"
                assert answer.headers["x-should-retry"] == "false"
                known = {"authorization": f"Bearer {agent['token']}", "X-Arbstr-Policy": "any"}
                named = await served.http.post("/v1/chat/completions", json=chat(), headers=known)
                assert named.status_code == 200
                receipt = await served.ended(named.headers["x-request-id"])
                assert any("'any'" in reason for reason in receipt["reasons"]), json.dumps(receipt)
                await served.verified()

    run(story())
