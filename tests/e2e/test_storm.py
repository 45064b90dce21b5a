"""A storm of retries on two processes: whatever is lost, and wherever, each execution of a call is charged once."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import psycopg
import pytest
from house import PRICED, UNBROKEN, Setup, chat, instance, process, share_keys, until_true, write
from upstream import Act, Upstream

CALLS = 60
CLIENTS = 15
USED_MSAT = 11 + 4 * 5
ACTS = [
    *[Act()] * 6,
    *[Act(how="cut_before"), Act(how="cut_headers"), Act(how="cut"), Act(how="error_event")],
    *[Act(how="status", status=status, body=b"{}") for status in (429, 500, 503)],
]
STAGES = ("before", "asked", "answering", "none", "none", "none")
"""where the connection between client and arbstr is lost"""


class Weather(httpx.AsyncBaseTransport):
    """Sends each request to one of the processes, and loses connections; notes what is answered."""

    def __init__(self, chance: random.Random, ports: Sequence[int], upstream: Upstream) -> None:
        self._chance = chance
        self._ports = ports
        self._upstream = upstream
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None))
        self.answers: list[tuple[int, httpx.Headers]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(port=self._chance.choice(self._ports))
        stage = self._chance.choice(STAGES)
        if stage == "before":
            raise httpx.ConnectError("lost", request=request)
        asking = asyncio.ensure_future(self._inner.handle_async_request(request))
        if stage == "asked":
            await self._reached(asking)
            if not asking.done():
                asking.cancel()
                await asyncio.wait({asking})
                raise httpx.ReadError("lost", request=request)
        answer = await asking
        self.answers.append((answer.status_code, answer.headers))
        if stage == "answering":
            assert isinstance(answer.stream, httpx.AsyncByteStream)
            answer.stream = Lost(answer.stream)
        return answer

    async def _reached(self, asking: asyncio.Future[Any]) -> None:
        """Wait until a provider has been asked once more, by this request or another; or it is answered."""
        hits = self._upstream.hits()
        await until_true(lambda: asking.done() or self._upstream.hits() > hits, 60)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Lost(httpx.AsyncByteStream):
    """The first part of a body; then the connection breaks."""

    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> Any:
        async for part in self._inner:
            yield part
            await self._inner.aclose()
            raise httpx.ReadError("lost")

    async def aclose(self) -> None:
        await self._inner.aclose()


async def ask(client: openai.AsyncOpenAI, number: int) -> str:
    """One call; how it ended, as its client sees it."""
    stream = number % 2 == 0
    try:
        answer = await client.chat.completions.create(**chat(text=f"call {number}"), stream=stream)
        if stream:
            async for _ in answer:
                pass
    except openai.APIStatusError as refused:
        return str(refused.status_code)
    except (openai.APIError, httpx.TransportError) as broken:
        return type(broken).__name__
    return "answered"


def served(upstream: Upstream, script: Sequence[Act]) -> list[Act]:
    """What the provider did, of all that showed output."""
    shown = []
    for act, seen in zip(script, upstream.seen, strict=False):
        if act.how == "ok" or (act.how in ("cut", "error_event") and seen.json.get("stream")):
            shown.append(act)
    return shown


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


async def agent_of(setup: Setup) -> str:
    new = {"name": "a", "fund_msat": 10**9, "max_charge_msat": 10**9, "daily_msat": 10**12}
    async with httpx.AsyncClient(base_url=setup.url, trust_env=False, headers=setup.operator(), timeout=60) as admin:
        return str((await admin.post("/admin/agents", json=new)).raise_for_status().json()["token"])


async def storm(chance: random.Random, upstream: Upstream, setups: Sequence[Setup], url: str, calls: int) -> None:
    script = [chance.choice(ACTS) for _ in range(calls * 4)]
    upstream.script("m", *script)
    token = await agent_of(setups[0])
    weather = Weather(chance, [setup.port for setup in setups], upstream)
    numbers = itertools.count()
    endings: Counter[str] = Counter()
    async with (
        httpx.AsyncClient(transport=weather, timeout=60) as plain,
        openai.AsyncOpenAI(base_url=f"{setups[0].url}/v1", api_key=token, http_client=plain) as client,
    ):

        async def one() -> None:
            while (number := next(numbers)) < calls:
                endings[await ask(client, number)] += 1

        await asyncio.gather(*(one() for _ in range(CLIENTS)))
    assert endings["answered"] > calls // 3, endings
    await until_true(lambda: rows(url, "SELECT count(*) FROM hold WHERE state = 'held'") == [(0,)], 60)
    ends = rows(url, "SELECT h.state, t.amount_msat, h.amount_msat FROM hold h JOIN transfer t ON t.hold_seq = h.seq")
    assert rows(url, "SELECT count(*) FROM hold") == [(len(ends),)]
    charges = sorted(charge for _, charge, _ in ends if charge)
    shown = served(upstream, script)
    assert len(charges) == len(shown), (endings, Counter(act.how for act in shown))
    whole = sum(act.how == "ok" for act in shown)
    assert charges.count(USED_MSAT) >= whole
    assert all(0 <= charge <= held for _, charge, held in ends)
    for status, headers in weather.answers:
        if status in (429, 503):
            assert headers["retry-after"].isdigit()
        assert status in (200, 429, 502, 503), status


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))


def _storm(folder: Path, postgres_url: str, seed: int, calls: int) -> None:
    print(f"SEED={seed}")
    with Upstream() as upstream:
        tables = instance("x", upstream.url, f"[models.m]\n{PRICED}") + f'[storage]\nurl = "{postgres_url}"\n'
        # A breaker would keep the storm out.
        tables += UNBROKEN
        one, two = write(folder / "one", tables), write(folder / "two", tables)
        with process(one):
            share_keys(one, two)
            with process(two):
                asyncio.run(storm(random.Random(seed), upstream, (one, two), postgres_url, calls))
        verified = one.json("audit", "verify")
        assert (verified["ok"], verified["sum_msat"], verified["open_holds"]) == (True, 0, 0)


def test_one_charge_for_each_execution(tmp_path: Path, postgres_url: str, seed: int) -> None:
    _storm(tmp_path, postgres_url, seed, CALLS)


@pytest.mark.campaign
def test_a_long_storm(tmp_path: Path, postgres_url: str, seed: int) -> None:
    _storm(tmp_path, postgres_url, seed, CALLS * int(os.environ["CAMPAIGN_N"]))
