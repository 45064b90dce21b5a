"""Clients that lose their connection and ask again pay once: OpenAI's own, over real sockets, also on two processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import openai
import psycopg
import pytest
from house import PRICED, Process, Served, Setup, chat, instance, process, run, serving, share_keys, until_true, write
from upstream import Act, Upstream

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
CHARGE_MSAT = 11 + 4 * 5
TIMEOUT = httpx.Timeout(30, read=1.0)


@asynccontextmanager
async def stock(
    url: str,
    agent: dict[str, Any],
    *,
    sent: Callable[[httpx.Request], Awaitable[None]] | None = None,
    retry_url: str | None = None,
    **more: Any,
) -> AsyncIterator[openai.AsyncOpenAI]:
    """The stock client. `sent` sees each of its requests; with `retry_url` its retries go there, as behind a balancer
    that has taken the first process out."""

    async def hook(request: httpx.Request) -> None:
        if request.headers["x-stainless-retry-count"] != "0":
            # The second time it waits for as long as it takes.
            request.extensions["timeout"] = httpx.Timeout(60).as_dict()
            if retry_url is not None:
                request.url = request.url.copy_with(port=httpx.URL(retry_url).port)
        if sent is not None:
            await sent(request)

    limits = httpx.Limits(max_connections=None)
    plain = httpx.AsyncClient(trust_env=False, limits=limits, event_hooks={"request": [hook]})
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=agent["token"], http_client=plain, **more) as client:
        yield client


async def ask(client: openai.AsyncOpenAI, stream: bool, **more: Any) -> tuple[str, httpx.Headers]:
    """The text of one answer, and its headers."""
    raw = await client.chat.completions.with_raw_response.create(**chat(), stream=stream, **more)
    if not stream:
        return str(raw.parse().choices[0].message.content), raw.headers
    parts = [chunk.choices[0].delta.content or "" async for chunk in raw.parse() if chunk.choices]
    return "".join(parts), raw.headers


async def settled(served: Served) -> None:
    """One call was made and charged, and all is well."""
    assert served.setup.rows("SELECT amount_msat FROM transfer WHERE hold_seq IS NOT NULL") == [(CHARGE_MSAT,)]
    await served.verified()


@BOTH
@pytest.mark.parametrize("ends_before", [False, True], ids=["while it runs", "after its end"])
def test_a_client_that_did_not_wait_long_enough_gets_the_answer_of_its_first_try(
    tmp_path: Path, stream: bool, ends_before: bool
) -> None:
    async def story() -> None:
        counts: list[str] = []
        with Upstream() as upstream:
            upstream.script("m", Act(how="gate"))
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:

                async def sent(request: httpx.Request) -> None:
                    counts.append(request.headers["x-stainless-retry-count"])
                    if len(counts) == 2:
                        upstream.open_gate()
                        if ends_before:
                            query = "SELECT state FROM hold"
                            await until_true(lambda: served.setup.rows(query) == [("settled",)])

                agent = await served.agent()
                async with stock(served.setup.url, agent, sent=sent, timeout=TIMEOUT) as client:
                    text, headers = await ask(client, stream)
                assert text.split() == ["word"] * 5
                assert headers["x-arbstr-retry"] == "replayed"
                assert headers["x-arbstr-cost-msat"] == str(CHARGE_MSAT)
                ((first,),) = served.setup.rows("SELECT id FROM hold")
                assert headers["x-arbstr-original-request-id"] == first != headers["x-request-id"]
                assert counts == ["0", "1"]
                assert upstream.hits() == 1
                await settled(served)

    run(story())


@BOTH
def test_the_same_key_one_after_the_other_and_64_at_once(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="gate"))
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                agent = await served.agent()
                more = {"extra_headers": {"Idempotency-Key": "order 7"}}
                async with stock(served.setup.url, agent) as client:
                    asked = [asyncio.create_task(ask(client, stream, **more)) for _ in range(64)]
                    await until_true(lambda: upstream.hits() == 1)
                    upstream.open_gate()
                    answers = await asyncio.gather(*asked)
                    answers.append(await ask(client, stream, **more))
                assert {text for text, _ in answers} == {answers[0][0]}
                assert len({headers["x-request-id"] for _, headers in answers}) == 65
                said = sorted(headers.get("x-arbstr-retry", "") for _, headers in answers)
                assert said == [""] + ["replayed"] * 64
                assert upstream.hits() == 1
                await settled(served)

    run(story())


@BOTH
def test_the_bytes_of_a_replay_are_those_of_the_first(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act())
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                agent = await served.agent()
                headers = {"authorization": f"Bearer {agent['token']}", "idempotency-key": "k", "x-request-id": "mine"}

                async def once() -> httpx.Response:
                    return await served.http.post("/v1/chat/completions", json=chat(stream=stream), headers=headers)

                first, again = await once(), await once()
                assert (again.status_code, again.content) == (200, first.content)
                same = ("content-type", "x-arbstr-provider", "x-arbstr-model", "x-arbstr-reserved-msat")
                assert [again.headers[name] for name in same] == [first.headers[name] for name in same]
                assert first.content.endswith(b"data: [DONE]\n\n") is stream
                assert again.headers["x-client-request-id"] == "mine"
                await until_true(
                    lambda: (200, "replayed") in served.setup.rows("SELECT status, outcome FROM request_log")
                )
                await settled(served)

    run(story())


def test_a_key_with_another_body_and_keys_that_are_none(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act())
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                agent = await served.agent()
                counts: list[str] = []

                async def sent(request: httpx.Request) -> None:
                    counts.append(request.headers["x-stainless-retry-count"])

                async with stock(served.setup.url, agent, sent=sent) as client:
                    await ask(client, False, extra_headers={"Idempotency-Key": "k"})
                    with pytest.raises(openai.UnprocessableEntityError) as refused:
                        await ask(client, False, temperature=0.5, extra_headers={"Idempotency-Key": "k"})
                    with pytest.raises(openai.BadRequestError, match="1 to 255 printable"):
                        await ask(client, False, extra_headers={"Idempotency-Key": "k" * 256})
                error = refused.value
                assert (error.code, error.type, error.param) == ("idempotency_conflict", "invalid_request_error", None)
                assert error.response.headers["x-should-retry"] == "false"
                assert counts == ["0"] * 3
                await settled(served)

    run(story())


def test_t11_another_agent_with_the_same_key_and_body_makes_a_call_of_its_own(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=5), Act(words=3))
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                alice, bob = await served.agent("alice"), await served.agent("bob")
                for agent, words in ((alice, 5), (bob, 3), (alice, 5)):
                    async with stock(served.setup.url, agent) as client:
                        text, _ = await ask(client, False, extra_headers={"Idempotency-Key": "k"})
                    assert len(text.split()) == words
                assert upstream.hits() == 2
                await served.verified()

    run(story())


# -- on two processes ------------------------------------------------------------------------------------------------


def replicas(folder: Path, upstream: Upstream, url: str) -> tuple[Setup, Setup]:
    """Two configurations on one database; the first to start makes the keys, which the second is given."""
    tables = instance("x", upstream.url, f"[models.m]\n{PRICED}") + f'[storage]\nurl = "{url}"\n'
    return write(folder / "one", tables), write(folder / "two", tables)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


async def new_agent(setup: Setup) -> dict[str, Any]:
    new = {"name": "a", "fund_msat": 10**9, "max_charge_msat": 10**9, "daily_msat": 10**12}
    async with httpx.AsyncClient(base_url=setup.url, trust_env=False, headers=setup.operator(), timeout=60) as admin:
        answer = await admin.post("/admin/agents", json=new)
        assert answer.is_success, answer.text
        return dict(answer.json())


@BOTH
def test_a_retry_that_lands_on_another_process_waits_for_the_first_and_gets_its_answer(
    tmp_path: Path, postgres_url: str, stream: bool
) -> None:
    async def story(upstream: Upstream, one: Setup, two: Setup) -> None:
        agent = await new_agent(one)

        async def sent(request: httpx.Request) -> None:
            if request.headers["x-stainless-retry-count"] == "1":
                upstream.open_gate()

        timeout = httpx.Timeout(30, read=2.0)
        async with stock(one.url, agent, sent=sent, retry_url=two.url, timeout=timeout) as client:
            text, headers = await ask(client, stream)
        assert text.split() == ["word"] * 5
        assert headers["x-arbstr-retry"] == "replayed"
        assert upstream.hits() == 1
        charges = "SELECT amount_msat FROM transfer WHERE hold_seq IS NOT NULL"
        assert rows(postgres_url, charges) == [(CHARGE_MSAT,)]

    with Upstream() as upstream:
        upstream.script("m", Act(how="gate"))
        one, two = replicas(tmp_path, upstream, postgres_url)
        with process(one):
            share_keys(one, two)
            with process(two):
                asyncio.run(story(upstream, one, two))


def test_a_process_that_dies_leaves_no_answer_and_its_retry_is_charged_again(tmp_path: Path, postgres_url: str) -> None:
    """The first call may have cost something, and is charged what was seen to be used: its input."""

    async def story(upstream: Upstream, first: Process, one: Setup, two: Setup) -> None:
        agent = await new_agent(one)
        headers = {"authorization": f"Bearer {agent['token']}", "x-stainless-retry-count": "0"}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:

            async def ask_at(setup: Setup) -> httpx.Response:
                return await http.post(f"{setup.url}/v1/chat/completions", json=chat(), headers=headers)

            lost = asyncio.create_task(ask_at(one))
            await until_true(lambda: upstream.hits() == 1)
            first.kill()
            with pytest.raises(httpx.TransportError):
                await lost
            upstream.open_gate()
            headers["x-stainless-retry-count"] = "1"
            answer = await ask_at(two)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-arbstr-retry"] == "recharged"
        assert upstream.hits() == 2
        ((ended,),) = rows(
            postgres_url,
            f"SELECT state FROM hold WHERE id = '{answer.headers['x-arbstr-original-request-id']}'",
        )
        assert ended == "settled"

    with Upstream() as upstream:
        upstream.script("m", Act(how="gate"))
        one, two = replicas(tmp_path, upstream, postgres_url)
        for setup in (one, two):
            setup.file.write_text(setup.file.read_text() + "[vault]\nheartbeat_seconds = 1\n")
        with process(one) as first:
            share_keys(one, two)
            with process(two):
                asyncio.run(story(upstream, first, one, two))
