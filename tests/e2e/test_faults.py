"""The database fails under a serving arbstr: calls are refused before anything is sent, and afterwards all goes on.

What was in flight is withheld, and charged once as soon as the ledger works again.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cutting import Cutter, When
from house import PLUGINS, Process, Setup, chat, instance, process, run, until, until_true, write
from killing import FUND, INPUT, PRICE, OnPostgres, payer
from postgres import Cluster, database
from upstream import Act, Upstream

Fault = Callable[[Process], AbstractContextManager[None]]
FUNDING = {"amount_msat": 5_000, "key": "once"}


@contextmanager
def full(served: Process) -> Iterator[None]:
    """The process may make no file longer: as a full disk, for each write that is beyond its end."""
    before = resource.prlimit(served.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(served.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def locked(served: Process) -> Iterator[None]:
    """Another program has the file to itself."""
    with closing(sqlite3.connect(served.setup.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def dead(cluster: Cluster, url: str) -> Fault:
    """The server is killed, and started again."""

    @contextmanager
    def fault(served: Process) -> Iterator[None]:
        cluster.kill()
        try:
            yield
        finally:
            cluster.start()

    return fault


def read_only(cluster: Cluster, url: str) -> Fault:
    """The server takes no writes, as one that was made a standby."""
    name = url.rsplit("/", 1)[1]

    def set_to(word: str) -> None:
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {word}")  # type: ignore[arg-type]
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    @contextmanager
    def fault(served: Process) -> Iterator[None]:
        set_to("on")
        try:
            yield
        finally:
            set_to("off")

    return fault


class Client:
    """An agent and its operator."""

    def __init__(self, place: Setup, http: httpx.AsyncClient, agent: dict[str, Any]) -> None:
        self._http = http
        self._known = {"authorization": f"Bearer {agent['token']}"}
        self._operator = place.operator()
        self._agent = agent["id"]

    async def call(self, **fields: Any) -> httpx.Response:
        """A chat call."""
        return await self._http.post("/v1/chat/completions", json=chat(max_tokens=50, **fields), headers=self._known)

    async def fund(self) -> httpx.Response:
        """Money, once."""
        return await self._http.post(f"/admin/agents/{self._agent}/fund", json=FUNDING, headers=self._operator)

    async def works(self) -> bool:
        """A call goes through."""
        answer = await self.call()
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200


async def story(served: Process, upstream: Upstream, fault: Fault) -> None:
    """One call is in flight when it begins, three things are asked for while it lasts."""
    place = served.setup
    async with httpx.AsyncClient(base_url=place.url, timeout=60, trust_env=False) as http:
        client = Client(place, http, payer(place))
        upstream.script("m", Act(how="gate"))
        in_flight = asyncio.create_task(client.call())
        await until_true(lambda: upstream.hits() == 1)
        with fault(served):
            for answer in await asyncio.gather(client.call(), client.call(stream=True), client.fund()):
                assert answer.status_code == 503, answer.text
                assert answer.json()["error"]["code"] == "vault_unavailable"
            assert upstream.hits() == 1
            upstream.open_gate()
            answer = await in_flight
            assert (answer.status_code, "withheld" in answer.text) == (503, True), answer.text
        await until(client.works, 60)
        assert (await client.fund()).json()["posted_msat"] <= FUND + FUNDING["amount_msat"] - PRICE
        assert (await client.fund()).status_code == 200
    ends = "SELECT h.state, x.kind, x.amount_msat FROM hold h LEFT JOIN transfer x ON x.hold_seq = h.seq"
    charged = ("settled", "settle", PRICE)
    await until_true(lambda: place.rows(ends).count(charged) == 2, 60)
    # A refusal whose COMMIT had no answer may have held, and is released then.
    assert {row for row in place.rows(ends) if row != charged} <= {("released", "release", 0)}
    assert upstream.hits() == 2
    assert place.rows("SELECT b.posted_msat FROM agent a JOIN account b ON b.id = a.account_id") == [
        (FUND + FUNDING["amount_msat"] - 2 * PRICE,)
    ]
    ledger = httpx.get(f"{place.url}/admin/audit/verify", headers=place.operator(), timeout=60, trust_env=False)
    assert (ledger.json()["ok"], ledger.json()["open_holds"]) == (True, 0), ledger.text


SHORT = "[vault]\nsettle_seconds = 0.3\n"


@pytest.mark.parametrize("fault", [full, locked])
def test_sqlite_fails_for_a_while(tmp_path: Path, fault: Fault) -> None:
    with Upstream() as upstream, process(write(tmp_path, instance("x", upstream.url) + SHORT)) as served:
        run(story(served, upstream, fault))


def test_a_file_that_is_gone_is_put_back(tmp_path: Path) -> None:
    """That process writes nothing more, so nothing is sent; the next one goes on."""
    with Upstream() as upstream:
        upstream.script("m", Act(how="gate"), Act())
        served = Process(write(tmp_path, instance("x", upstream.url) + SHORT))
        place = served.setup
        aside = place.database.with_name("aside")

        async def calls() -> None:
            async with httpx.AsyncClient(base_url=place.url, timeout=60, trust_env=False) as http:
                client = Client(place, http, payer(place))
                in_flight = asyncio.create_task(client.call())
                await until_true(lambda: upstream.hits() == 1)
                place.database.rename(aside)
                assert [each.status_code for each in (await client.call(), await client.fund())] == [503, 503]
                upstream.open_gate()
                assert (await in_flight).status_code == 503
                assert upstream.hits() == 1

        try:
            run(calls())
        finally:
            served.kill()
        aside.rename(place.database)
        with process(place):
            ends = "SELECT h.state, x.amount_msat FROM hold h JOIN transfer x ON x.hold_seq = h.seq"
            assert place.rows(ends) == [("settled", INPUT)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One of its own, for it is killed."""
    with Cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("make", [dead, read_only])
def test_postgresql_fails_for_a_while(tmp_path: Path, cluster: Cluster, make: Callable[[Cluster, str], Fault]) -> None:
    with Upstream() as upstream, database(cluster) as url:
        tables = instance("x", upstream.url) + SHORT + f'[storage]\nurl = "{url}"\n'
        place = write(tmp_path, tables)
        with process(OnPostgres(place.folder, place.port, url)) as served:
            run(story(served, upstream, make(cluster, url)))


@pytest.mark.parametrize("when", list(When))
@pytest.mark.parametrize("number", [1, 2])
def test_a_commit_without_an_answer_is_done_once_or_not_at_all(
    tmp_path: Path, cluster: Cluster, when: When, number: int
) -> None:
    """Of a hold, or of a charge: the call is refused with nothing sent, or does not notice."""
    with Upstream() as upstream, database(cluster) as url, Cutter(url) as cutter:
        place = write(tmp_path, instance("x", upstream.url) + f'[storage]\nurl = "{cutter.url}"\n')
        with process(OnPostgres(place.folder, place.port, url)) as served:
            answers: list[httpx.Response] = []

            async def calls() -> None:
                async with httpx.AsyncClient(base_url=place.url, timeout=60, trust_env=False) as http:
                    client = Client(place, http, payer(place))
                    for _ in range(4):
                        cutter.at_commit(number, when)
                        hits = upstream.hits()
                        answer = await client.call()
                        if answer.status_code == 200:
                            assert int(answer.headers["x-arbstr-cost-msat"]) == PRICE
                            answers.append(answer)
                        else:
                            # What did not get through at all is not tried again for a caller that can do so itself.
                            assert (answer.status_code, when) == (503, When.BEFORE), answer.text
                            assert upstream.hits() == hits

            run(calls())
            assert cutter.cuts >= 4
            assert upstream.hits() == len(answers)
            states = dict(served.setup.rows("SELECT state, count(*) FROM hold GROUP BY state"))
            charges = "SELECT count(*), coalesce(sum(amount_msat), 0) FROM transfer WHERE kind = 'settle'"
            assert states == ({"settled": len(answers)} if answers else {})
            assert served.setup.rows(charges) == [(len(answers), PRICE * len(answers))]


POLICY = """
import msgspec
from arbstr_core.api import Manifest, RoutingPolicy, Verdict, hookimpl

class Config(msgspec.Struct, frozen=True, kw_only=True):
    pass

MANIFEST = Manifest(name="policy_moody", api=(1, 0), config=Config)

class Moody(RoutingPolicy):
    name = "moody"

    def consider(self, call, caller, quotes, standing):
        if call.model == "n":
            raise RuntimeError("a bug with a secret in it")
        return Verdict(kept=quotes)

@hookimpl
def arbstr_policies():
    return [Moody()]
"""


@pytest.mark.parametrize("stream", [False, True])
def test_a_policy_that_raises_refuses_its_calls_alone(tmp_path: Path, stream: bool) -> None:
    site = tmp_path / "site"
    (site / "arbstr_policy_moody-1.dist-info").mkdir(parents=True)
    (site / "arbstr_policy_moody.py").write_text(POLICY)
    facts = {"METADATA": "Name: arbstr-policy-moody\nVersion: 1\n"}
    facts["entry_points.txt"] = "[arbstr.plugins]\npolicy_moody = arbstr_policy_moody\n"
    for name, text in facts.items():
        (site / "arbstr_policy_moody-1.dist-info" / name).write_text(text)
    with Upstream() as upstream:
        models = '[models.m]\ninput = "1000 sat"\noutput = "4000 sat"\n[models.n]\ninput = "1 sat"\noutput = "1 sat"'
        place = write(tmp_path / "house", instance("x", upstream.url, models), plugins=(*PLUGINS, "policy_moody"))
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        served = Process(place, env={**os.environ, "PYTHONPATH": path})
        try:

            async def calls() -> None:
                async with httpx.AsyncClient(base_url=place.url, timeout=60, trust_env=False) as http:
                    client = Client(place, http, payer(place))
                    asked = [client.call(model=model, stream=stream) for model in ("n", "m", "n", "m")]
                    bad, good, again, other = await asyncio.gather(*asked)
                    assert [answer.status_code for answer in (good, other)] == [200, 200]
                    for refused in (bad, again):
                        assert refused.status_code == 403, refused.text
                        assert "policy moody failed: RuntimeError" in refused.text
                        assert "secret" not in refused.text

            run(calls())
            assert (upstream.hits("m"), upstream.hits("n")) == (2, 0)
            assert place.rows("SELECT count(*) FROM hold") == [(2,)]
        finally:
            assert served.stop() == 0
