"""`/internal`: what a router that is not arbstr reserves, settles and releases. The words are arbstr-vault's."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import Served, Setup, instance, run, serving, write
from upstream import Upstream

from arbstr_core import config
from arbstr_core.cli._house import made_house

TOKEN = "internal-token-of-the-other-router-0123456789"
KNOWN = {"x-internal-token": TOKEN}


def place(folder: Path, tables: str = "") -> Setup:
    (folder / "token").write_text(TOKEN + "\n")
    return write(folder, tables, server='internal_token = "file:token"')


class Router:
    """A router that bills through arbstr."""

    def __init__(self, served: Served, agent: dict[str, Any]) -> None:
        self.served = served
        self.agent = agent

    async def ask(self, what: str, **body: Any) -> httpx.Response:
        return await self.served.http.post(f"/internal/{what}", json=body, headers=KNOWN)

    async def reserve(self, msat: int, correlation_id: str = "c1", model: str = "m") -> httpx.Response:
        return await self.ask(
            "reserve",
            agent_token=self.agent["token"],
            amount_msats=msat,
            correlation_id=correlation_id,
            model=model,
        )

    async def reserved(self, msat: int, correlation_id: str = "c1") -> str:
        answer = await self.reserve(msat, correlation_id)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["reservation_id"])

    async def settle(self, reservation_id: str, msat: int, **more: Any) -> httpx.Response:
        return await self.ask("settle", reservation_id=reservation_id, actual_msats=msat, **more)

    async def release(self, reservation_id: str, **more: Any) -> httpx.Response:
        return await self.ask("release", reservation_id=reservation_id, **more)

    async def available(self) -> int:
        found = await self.served.admin.get(f"/admin/agents/{self.agent['id']}")
        return int(found.json()["available_msat"])


@asynccontextmanager
async def routing(folder: Path, tables: str = "", **limits: Any) -> AsyncIterator[Router]:
    with Upstream() as upstream:
        async with serving(place(folder, instance("x", upstream.url) + tables)) as served:
            yield Router(served, await served.agent(fund=100_000, **limits))


def told(folder: Path, story: Callable[[Router], Awaitable[None]], **limits: Any) -> None:
    async def whole() -> None:
        async with routing(folder, **limits) as router:
            await story(router)

    run(whole())


def test_reserve_settle_as_the_first_core_does_it(tmp_path: Path) -> None:
    """Its settle has the tokens in `metadata`, whose counts may be null; its release tells a reason."""

    async def story(router: Router) -> None:
        answer = await router.reserve(50_000)
        assert answer.status_code == 200
        assert answer.headers["x-request-id"]
        assert set(answer.json()) == {"reservation_id", "remaining_balance_msats"}
        assert answer.json()["reservation_id"].startswith("tx_")
        assert answer.json()["remaining_balance_msats"] == 50_000
        name = answer.json()["reservation_id"]
        metadata = {"tokens_in": 10, "tokens_out": None, "provider": "alpha", "latency_ms": 12}
        settled = (await router.settle(name, 32_000, metadata=metadata)).json()
        assert settled == {
            "settled": True,
            "refunded_msats": 18_000,
            "actual_msats": 32_000,
            "overage_msats": 0,
            "remaining_balance_msats": 68_000,
        }
        receipt = await router.served.receipt(name)
        assert (receipt["state"], receipt["charged_msat"], receipt["provider"]) == ("settled", 32_000, "alpha")
        assert receipt["usage"]["input_tokens"] == 10
        second = await router.reserved(1_000, "c2")
        assert (await router.release(second, reason="provider_error_500")).json()["released"] is True
        assert (await router.served.receipt(second))["reasons"] == ["provider_error_500"]
        assert await router.available() == 68_000
        await router.served.verified()

    told(tmp_path, story)


def test_a_settle_as_arbstr_vault_wanted_it(tmp_path: Path) -> None:
    async def story(router: Router) -> None:
        name = await router.reserved(10_000)
        flat = {"tokens_in": 7, "tokens_out": 3, "provider": "beta", "latency_ms": 5}
        assert (await router.settle(name, 9_000, **flat)).json()["refunded_msats"] == 1_000
        usage = (await router.served.receipt(name))["usage"]
        assert (usage["input_tokens"], usage["output_tokens"], usage["source"]) == (7, 3, "provider")

    told(tmp_path, story)


def test_everything_once(tmp_path: Path) -> None:
    async def story(router: Router) -> None:
        answers = await asyncio.gather(*(router.reserve(10_000) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        (name,) = {answer.json()["reservation_id"] for answer in answers}
        assert await router.available() == 90_000
        assert (await router.reserve(10_001)).status_code == 409
        ends = await asyncio.gather(*(router.settle(name, amount) for amount in (4_000, 4_000, 4_000, 5_000)))
        assert {end.status_code for end in ends} == {200}
        (charged,) = {end.json()["actual_msats"] for end in ends}
        assert charged in (4_000, 5_000)
        assert await router.available() == 100_000 - charged
        again = await router.reserve(10_000)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
        other = await router.served.agent("b", fund=5_000)
        router.agent = other
        assert (await router.reserved(5_000)) != name
        await router.release(await router.reserved(5_000))
        await router.served.verified()

    told(tmp_path, story)


def test_t1_as_many_as_the_balance_holds(tmp_path: Path) -> None:
    """Thirty at once for ten that fit: exactly ten are granted."""

    async def story(router: Router) -> None:
        answers = await asyncio.gather(*(router.reserve(10_000, f"c{number}") for number in range(30)))
        assert sorted(answer.status_code for answer in answers) == [200] * 10 + [402] * 20
        assert await router.available() == 0
        for answer in answers:
            if answer.status_code == 200:
                await router.release(answer.json()["reservation_id"])
        assert await router.available() == 100_000
        await router.served.verified()

    told(tmp_path, story)


def test_more_than_was_reserved_is_told_and_not_charged(tmp_path: Path) -> None:
    async def story(router: Router) -> None:
        name = await router.reserved(10_000)
        for _ in range(2):
            answer = (await router.settle(name, 15_000)).json()
            assert (answer["actual_msats"], answer["refunded_msats"]) == (10_000, 0)
            assert (answer["overage_msats"], answer["remaining_balance_msats"]) == (5_000, 90_000)
        # What is told the second time does not count.
        assert (await router.settle(name, 1)).json()["overage_msats"] == 5_000
        assert (await router.served.receipt(name))["overage_msat"] == 5_000
        await router.served.verified()

    told(tmp_path, story)


def test_t17_no_end_makes_money(tmp_path: Path) -> None:
    """A settle of nothing, a settle after a release, a release after a settle."""

    async def story(router: Router) -> None:
        free = await router.reserved(10_000, "free")
        assert (await router.settle(free, 0)).json()["refunded_msats"] == 10_000
        freed = await router.release(free)
        assert (freed.status_code, freed.json()["error"]["code"]) == (409, "conflict")
        gone = await router.reserved(10_000, "gone")
        for _ in range(2):
            assert (await router.release(gone)).json()["released"] is True
        late = await router.settle(gone, 5_000)
        assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
        assert "released" in late.json()["error"]["message"]
        paid = await router.reserved(10_000, "paid")
        await router.settle(paid, 6_000)
        kept = await router.release(paid)
        assert (kept.status_code, kept.json()["error"]["code"]) == (409, "conflict")
        assert await router.available() == 94_000
        await router.served.verified()

    told(tmp_path, story)


def test_limits_and_the_balance_bind(tmp_path: Path) -> None:
    async def story(router: Router) -> None:
        poor = await router.reserve(100_001)
        assert poor.status_code == 402
        said = poor.json()
        assert said["error"]["code"] == "insufficient_quota"
        assert (said["current_balance_msats"], said["requested_msats"]) == (100_000, 100_001)
        where = f"/admin/agents/{router.agent['id']}/limits"
        cases: list[tuple[dict[str, Any], str]] = [
            ({"max_charge_msat": 999}, "max_charge"),
            ({"daily_msat": 999}, "daily"),
            ({"hourly_msat": 999}, "hourly"),
            ({"models": ["other"]}, "models"),
            ({"expires_ms": 1}, "expired"),
            ({"daily_msat": None}, "none_set"),
        ]
        wide = {"max_charge_msat": 10**9, "daily_msat": 10**9}
        for named, limit in cases:
            assert (await router.served.admin.put(where, json={**wide, **named})).status_code == 200
            refused = await router.reserve(1_000, limit)
            assert (refused.status_code, refused.json()["error"]["limit"]) == (403, limit)
        await router.served.admin.put(where, json={**wide, "concurrent": 1})
        first = await router.reserved(1_000, "one")
        assert (await router.reserve(1_000, "two")).json()["error"]["limit"] == "concurrent"
        await router.release(first)
        await router.served.admin.post(f"/admin/agents/{router.agent['id']}/disable")
        assert (await router.reserve(1_000, "three")).json()["error"]["code"] == "agent_disabled"
        assert await router.available() == 100_000

    told(tmp_path, story)


def test_what_is_not_a_reservation_is_not_there(tmp_path: Path) -> None:
    """Neither one that was made up, nor what arbstr holds for its own calls."""

    async def story(router: Router) -> None:
        called = await router.served.call(router.agent, max_tokens=1)
        assert called.status_code == 200, called.text
        for name in ("tx_none", called.headers["x-request-id"]):
            for answer in (await router.settle(name, 1), await router.release(name)):
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")

    told(tmp_path, story)


def test_an_unknown_agent_is_nobody(tmp_path: Path) -> None:
    async def story(router: Router) -> None:
        router.agent = {"token": "arb_nobody"}
        assert (await router.reserve(1)).status_code == 401

    told(tmp_path, story)


def test_a_reservation_outlives_arbstr_and_ends_in_time(tmp_path: Path) -> None:
    """A restart sweeps calls, not what others reserved; that ends in its own time, and a late settle is charged."""

    async def story() -> None:
        with Upstream() as upstream:
            setup = place(tmp_path, instance("x", upstream.url))
            async with serving(setup) as served:
                router = Router(served, await served.agent(fund=100_000))
                name = await router.reserved(10_000)
            async with serving(setup) as served:
                again = Router(served, router.agent)
                assert (await served.receipt(name))["state"] == "held"
                assert await again.reserved(10_000) == name
                assert (await served.admin.get("/admin/holds")).json()["data"][0]["kind"] == "billing"
            async with made_house(config.load(setup.file)) as house:
                assert house.vault is not None
                assert await house.vault.end_old_reservations(3600) == 0
                assert await house.vault.end_old_reservations(0) == 1
            async with serving(setup) as served:
                late = Router(served, router.agent)
                assert (await served.receipt(name))["state"] == "released"
                assert await late.available() == 100_000
                for _ in range(2):
                    answer = (await late.settle(name, 12_000)).json()
                    assert (answer["actual_msats"], answer["overage_msats"]) == (10_000, 2_000)
                assert await late.available() == 90_000
                refused = await late.release(name)
                assert refused.status_code == 409
                await served.verified()

    run(story())


@pytest.mark.parametrize("first", [0, 300])
def test_t17_what_is_said_of_a_lapsed_reservation_counts_once(tmp_path: Path, first: int) -> None:
    """Also where it says that nothing was used: what comes then is no second settle."""

    async def story() -> None:
        with Upstream() as upstream:
            setup = place(tmp_path, instance("x", upstream.url))
            async with serving(setup) as served:
                router = Router(served, await served.agent(fund=100_000))
                name = await router.reserved(10_000)
            async with made_house(config.load(setup.file)) as house:
                assert house.vault is not None
                assert await house.vault.end_old_reservations(0) == 1
            async with serving(setup) as served:
                late = Router(served, router.agent)
                for said in (first, 9_000):
                    assert (await late.settle(name, said)).json()["actual_msats"] == first
                assert await late.available() == 100_000 - first
                await served.verified()

    run(story())


def test_without_a_token_there_is_no_such_door(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                answer = await served.http.post("/internal/reserve", json={}, headers=KNOWN)
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")

    run(story())


@pytest.mark.parametrize("token", ["", "short"])
def test_a_token_that_is_none_is_refused_at_the_start(tmp_path: Path, token: str) -> None:
    with Upstream() as upstream:
        (tmp_path / "token").write_text(token)
        setup = write(tmp_path, instance("x", upstream.url), server='internal_token = "file:token"')
        done = setup.command("serve")
        assert done.returncode == 1
        assert "internal_token" in done.stderr


def test_the_correlation_id_is_kept_with_the_hold(tmp_path: Path) -> None:
    async def story(router: Router) -> None:
        await router.reserved(10_000, "kept")
        with closing(sqlite3.connect(router.served.setup.database)) as connection:
            (said,) = connection.execute("SELECT candidates FROM hold").fetchone()
        assert json.loads(said) == [{"correlation_id": "kept"}]

    told(tmp_path, story)
