"""Calls without an account, paid with ecash in `X-Cashu`, over sockets: served, refused, cut off, killed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from house import PLUGINS, Process, Served, Setup, chat, instance, process, run, serving, until, until_true, write
from mints import Lossy, Mints, outstanding
from purses import SAT, wallet, worth
from upstream import Act, Upstream

SIMULATED = '[plugins.wallet_simulated]\npoll_ms = 5\nredeem_fee = "1 sat"\n'
CALLS = "/v1/chat/completions"


class Stranger:
    """Somebody with ecash and no account."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def asks(self, token: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        given = {"x-cashu": token, **(headers or {})}
        return await self._http.post(CALLS, json=chat(**{"max_tokens": 100, **fields}), headers=given)

    async def claims(self, token: str) -> dict[str, Any]:
        """What became of a token, once there is nothing more to come."""

        async def over() -> dict[str, Any] | None:
            answer = await self._http.get(f"/v1/change/{digest(token)}")
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found if found["state"] in ("ready", "nothing", "refused") else None

        return await until(over, 90)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@asynccontextmanager
async def at_mint(folder: Path, mint: Nutshell | Lossy, upstream: Upstream) -> AsyncIterator[tuple[Served, Stranger]]:
    rows = '[plugins.wallet_cashu]\nnetwork = "regtest"\ninvoices = "mainnet"\npoll_ms = 50\n'
    rows += f'[plugins.wallet_cashu.mints.home]\nurl = "{mint.url}"\n'
    setup = write(folder, rows + instance("x", upstream.url), plugins=(*PLUGINS[:-1], "wallet_cashu"))
    async with serving(setup) as served:
        yield served, Stranger(served.http)


async def settled(served: Served) -> None:
    """Wait until the purse has what the ledger says."""

    async def same() -> bool:
        said = (await served.admin.post("/admin/plugins/wallet_cashu/balance", json={})).json()
        return bool(said["spendable_msat"] == await asset(served))

    await until(same, 60)


async def asset(served: Served) -> int:
    """What the ledger says that there is in ecash."""
    (row,) = served.setup.rows("SELECT posted_msat FROM account WHERE name = 'asset:wallet_cashu'")
    return int(row[0])


def test_a_call_is_paid_at_a_real_mint_and_its_change_is_spent_there(tmp_path: Path, mints: Mints) -> None:
    """Whole and as a stream, whose change is claimed; what the mint owes is what the ledger and the payer have."""
    (mint,) = mints.start(fee=Options(fee_ppk=100))

    async def story() -> None:
        with Upstream() as upstream:
            before = outstanding(mint)
            async with at_mint(tmp_path, mint, upstream) as (served, stranger), wallet(mint) as payer:
                await payer.fund(200)
                token = await payer.token(64)
                whole = await stranger.asks(token)
                assert whole.status_code == 200, whole.text
                change = whole.headers["x-cashu"]
                assert 58 <= worth(change) < 64
                assert whole.headers["x-arbstr-change"] == f"/v1/change/{digest(token)}"
                await payer.rail.receive(change, key="change-1")

                token = await payer.token(64)
                stream = await stranger.asks(token, stream=True)
                assert stream.text.rstrip().endswith("[DONE]")
                assert "x-cashu" not in stream.headers
                found = await stranger.claims(token)
                assert found["state"] == "ready"
                assert worth(found["token"]) * SAT == found["amount_msat"]
                for _ in range(2):
                    assert (await stranger.claims(token))["token"] == found["token"], "until it is redeemed"
                await payer.rail.receive(found["token"], key="change-2")

                spent = await stranger.asks(token)
                assert (spent.status_code, spent.json()["error"]["code"]) == (409, "conflict")
                held = await payer.held()
                has = await asset(served)
                await served.verified()
            assert outstanding(mint) - before == has // SAT + held
            assert has % SAT == 0

    run(story())


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.campaign)])
def test_calls_of_the_mint_lose_their_answers(tmp_path: Path, mints: Mints, stride: int) -> None:
    """Of redeeming and of making change: one after the other is carried out, and nobody hears of it. No sat is lost or
    made."""
    (mint,) = mints.start(fee=Options(fee_ppk=100))

    async def story() -> None:
        with Upstream() as upstream, Lossy(mint) as lossy:
            before = outstanding(mint)
            async with at_mint(tmp_path, lossy, upstream) as (served, stranger), wallet(lossy) as payer:
                await payer.fund(500)
                calls = 0
                for lost in range(0, 100, stride):
                    token = await payer.token(32)
                    lossy.lose(lost)
                    seen = len(lossy.calls)
                    answer = await stranger.asks(token)
                    assert answer.status_code in (200, 503), answer.text
                    found = await stranger.claims(token)
                    calls = len(lossy.calls) - seen
                    lossy.keep()
                    assert found["state"] == "ready"
                    await payer.rail.receive(found["token"], key=f"change-{lost}")
                    if lost >= calls:
                        break
                assert calls >= 2, "the token is swapped, and so is what change is made of"
                held = await payer.held()
                await settled(served)
                has = await asset(served)
                await served.verified()
            assert outstanding(mint) - before == has // SAT + held

    run(story())


def test_what_is_no_good_is_refused_and_stays_its_owners(tmp_path: Path, mints: Mints) -> None:
    """T23: foreign, broken, spent, too small; with a way to do better, and nothing redeemed."""
    mint, foreign = mints.start(fee=Options(fee_ppk=100), free=Options())

    async def story() -> None:
        with Upstream() as upstream:
            async with (
                at_mint(tmp_path, mint, upstream) as (served, stranger),
                wallet(mint) as payer,
                wallet(foreign) as other,
            ):
                await payer.fund(64)
                await other.fund(64)
                small, spent = await payer.token(2), await payer.token(16)
                await payer.rail.receive(spent, key="spent")
                refused = await stranger.asks(small, max_tokens=1_000_000)
                error = refused.json()["error"]
                assert (refused.status_code, error["code"]) == (402, "insufficient_quota"), refused.text
                assert refused.headers["x-cashu"].startswith("creqA")
                assert error["needed_msat"] > error["available_msat"] > 0
                await payer.rail.receive(small, key="small")
                for token, status, why in (
                    (spent, 400, "spent"),
                    (await other.token(16), 400, foreign.url),
                    (spent[:-6], 400, "token"),
                    ("cashuBnothing", 400, "token"),
                    ("something else", 401, "x-cashu"),
                ):
                    answer = await stranger.asks(token)
                    assert answer.status_code == status, answer.text
                    assert why in answer.json()["error"]["message"]
                assert upstream.hits() == 0
                assert served.setup.rows("SELECT count(*) FROM hold") == [(0,)]
                await served.verified()

    run(story())


@asynccontextmanager
async def simulated(folder: Path, upstream: Upstream) -> AsyncIterator[tuple[Served, Stranger]]:
    async with serving(write(folder, SIMULATED + instance("x", upstream.url))) as served:
        yield served, Stranger(served.http)


async def token_of(admin: httpx.AsyncClient, sat: int) -> str:
    """The simulated world's."""
    answer = await admin.post("/admin/plugins/wallet_simulated/make-token", json={"amount": f"{sat}sat"})
    return str(answer.json()["token"])


def test_a_call_that_nobody_serves_costs_nothing(tmp_path: Path) -> None:
    """The error has the change in its header, all of it."""

    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="status", status=500))
            async with simulated(tmp_path, upstream) as (served, stranger):
                token = await token_of(served.admin, 50)
                answer = await stranger.asks(token)
                assert answer.status_code == 502, answer.text
                found = await stranger.claims(token)
                assert (found["amount_msat"], found["left_msat"]) == (49 * SAT, 0)
                assert answer.headers["x-cashu"] == found["token"]
                await served.verified()

    run(story())


def test_a_caller_that_leaves_claims_its_change(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="gate"))
            async with simulated(tmp_path, upstream) as (served, stranger):
                token = await token_of(served.admin, 50)
                call = asyncio.create_task(stranger.asks(token, stream=True))
                await until_true(lambda: upstream.hits() == 1)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                upstream.open_gate()
                found = await stranger.claims(token)
                assert found["state"] == "ready"
                assert found["amount_msat"] + found["left_msat"] <= 49 * SAT
                await served.verified()

    run(story())


def test_t12_a_request_has_one_credential(tmp_path: Path) -> None:
    """With two, one would open the door and the other pay; nothing is redeemed then."""

    async def story() -> None:
        with Upstream() as upstream:
            async with simulated(tmp_path, upstream) as (served, stranger):
                agent = await served.agent()
                token = await token_of(served.admin, 50)
                bearer, key = f"Bearer {agent['token']}", agent["token"]
                for more in ({"authorization": bearer}, {"x-api-key": key}, {"authorization": "L402 a:b"}):
                    answer = await stranger.asks(token, more)
                    assert (answer.status_code, upstream.hits()) == (400, 0), answer.text
                    assert "two credentials" in answer.json()["error"]["message"]
                twice = [("x-cashu", token), ("x-cashu", token)]
                answer = await served.http.post(CALLS, json=chat(max_tokens=100), headers=twice)
                assert answer.status_code == 400
                listed = await served.http.get("/v1/models", headers={"x-cashu": token})
                assert listed.status_code == 200
                for path in ("/wallet/balance", "/admin/agents", "/internal/reserve"):
                    assert (await served.http.get(path, headers={"x-cashu": token})).status_code in (401, 404)
                assert (await stranger.asks(token)).status_code == 200
                assert (await served.show(agent))["posted_msat"] == agent["posted_msat"]

    run(story())


def test_nobody_learns_of_anothers_change(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with simulated(tmp_path, upstream) as (served, stranger):
                token = await token_of(served.admin, 50)
                await stranger.asks(token)
                key = digest(token)
                for other in (digest("guess"), key[:40] + "0" * 24):
                    assert (await served.http.get(f"/v1/change/{other}")).status_code == 404
                for other in (key[:-1], key.upper(), "x"):
                    assert (await served.http.get(f"/v1/change/{other}")).status_code in (400, 404)
                agents = (await served.admin.get("/admin/agents")).json()["data"]
                assert agents == [], "what pays a single call is nobody"

    run(story())


async def _killed(setup: Setup, upstream: Upstream, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """A call is under way when its process is killed; the token, and what is claimed at the next."""
    served = Process(setup)
    admin = {"base_url": setup.url, "headers": setup.operator(), "trust_env": False, "timeout": 30}
    async with httpx.AsyncClient(**admin) as operator:
        token = await token_of(operator, 50)
    hits = upstream.hits()
    async with httpx.AsyncClient(base_url=setup.url, trust_env=False, timeout=30) as http:
        call = asyncio.create_task(Stranger(http).asks(token, stream=stream))
        await until_true(lambda: upstream.hits() > hits)
        await asyncio.to_thread(served.kill)
        await asyncio.gather(call, return_exceptions=True)
    with process(setup):
        async with httpx.AsyncClient(base_url=setup.url, trust_env=False, timeout=30) as http:
            return token, await Stranger(http).claims(token)


@pytest.mark.parametrize("stream", [True, pytest.param(False, marks=pytest.mark.campaign)])
def test_a_call_whose_process_is_killed_gives_its_change_back(tmp_path: Path, stream: bool) -> None:
    """At the next start: the hold is ended as every orphan, and change is made of the rest."""

    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="gate"))
            setup = write(tmp_path, SIMULATED + instance("x", upstream.url))
            _, found = await _killed(setup, upstream, stream=stream)
            upstream.open_gate()
            assert found["state"] == "ready"
            assert 48 * SAT <= found["amount_msat"] <= 49 * SAT
            assert 0 <= found["left_msat"] < SAT
        owed = setup.rows("SELECT name, posted_msat FROM account WHERE name LIKE 'asset:%' OR name LIKE 'temp:%'")
        sums = {name.split(":")[0]: msat for name, msat in owed}
        (charged,) = setup.rows("SELECT coalesce(sum(amount_msat), 0) FROM transfer WHERE kind IN ('settle')")[0]
        assert sums["asset"] == sums["temp"] + charged == 49 * SAT - found["amount_msat"]

    run(story())
