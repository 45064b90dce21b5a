"""The treasury apart: one process moves money, another serves calls with a role that can do nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import Process, Setup, share_keys, until, write

from arbstr_core.cli._roles import PROXY

SOLD = """
[[plugins.providers_mock.models]]
name = "m"
input = "1000 sat"
output = "4000 sat"
"""
WIDE = {"max_charge_msat": 10**9, "daily_msat": 10**10, "payouts_unapproved_msat": 10**9}
WITH_WALLET = ("providers_mock", "policy_price", "wallet_simulated")
WITHOUT = ("providers_mock", "policy_price")


@dataclass(frozen=True)
class Apart:
    treasury: Setup
    proxy: Setup


def written(folder: Path, url: str, role: str, plugins: tuple[str, ...]) -> Setup:
    tables = f'[storage]\nurl = "{url}"\n[vault]\ncheck_seconds = 1\n{SOLD}'
    return write(folder, tables, plugins=plugins, server=f'role = "{role}"')


@pytest.fixture
def apart(tmp_path: Path, postgres_url: str) -> Apart:
    """Their configurations; the role is made, and the proxy has the master key and no other."""
    treasury = written(tmp_path / "treasury", postgres_url, "treasury", WITH_WALLET)
    treasury.arbstr("db", "roles", "--apply")
    treasury.arbstr("agent", "list")
    proxy = written(tmp_path / "proxy", postgres_url.replace("postgres@", f"{PROXY}@"), "proxy", WITHOUT)
    share_keys(treasury, proxy)
    (proxy.folder / "data" / "audit.key").unlink()
    return Apart(treasury, proxy)


@contextmanager
def both(apart: Apart) -> Iterator[None]:
    """Both run, as processes."""
    treasury = Process(apart.treasury)
    try:
        assert "moves money" in treasury.said
        proxy = Process(apart.proxy)
        try:
            yield
        finally:
            assert proxy.stop() == 0
    finally:
        assert treasury.stop() == 0


def test_calls_are_served_by_one_and_money_is_moved_by_the_other(apart: Apart) -> None:
    async def story() -> None:
        operator = httpx.AsyncClient(
            base_url=apart.treasury.url, headers=apart.treasury.operator(), trust_env=False, timeout=60
        )
        public = httpx.AsyncClient(base_url=apart.proxy.url, trust_env=False, timeout=30)
        async with operator, public:
            made = await operator.post("/admin/agents", json={"name": "a", "fund_msat": 50_000_000, **WIDE})
            assert made.status_code == 201, made.text
            other = (await operator.post("/admin/agents", json={"name": "b", **WIDE})).json()
            headers = {"authorization": f"Bearer {made.json()['token']}"}
            call = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
            for stream in (False, True):
                answer = await public.post("/v1/chat/completions", json={**call, "stream": stream}, headers=headers)
                assert answer.status_code == 200, answer.text
            said = (await public.get("/wallet/balance", headers=headers)).json()
            assert said["posted_msat"] < 50_000_000
            assert (await operator.get("/admin/agents/a")).json()["posted_msat"] == said["posted_msat"]

            async def paid_for() -> Any:
                asked = await public.post("/wallet/deposits", json={"amount_msat": 7_000}, headers=headers)
                return asked.json() if asked.is_success and asked.json().get("invoice") else None

            # Each tells what it knows: what calls add up to, and how the money stands.
            known = apart.treasury.operator()
            calls = (await public.get("/metrics", headers=known)).text
            assert 'arbstr_requests_total{provider="providers_mock",model="m",outcome="complete"} 2' in calls, calls
            assert "arbstr_database_up 1" in calls
            assert 'arbstr_balance_msat{realm="sim",kind="agent"}' in calls
            assert (await public.get("/metrics", headers=headers)).status_code == 401
            assert "arbstr_rail_state{" not in calls, "a rail of the treasury is not down because it is not here"
            money = (await operator.get("/metrics")).text
            assert "arbstr_solvency_needed_msat" in money
            assert 'arbstr_rail_state{rail="wallet_simulated",state="ready"} 1' in money

            # The proxy writes down what is wanted, and the treasury answers.
            asked = await until(paid_for, 30)
            settled = {"invoice": asked["invoice"]}
            await operator.post("/admin/plugins/wallet_simulated/settle-invoice", json=settled)

            async def credited() -> bool:
                now = (await public.get("/wallet/balance", headers=headers)).json()
                return bool(now["posted_msat"] == said["posted_msat"] + 7_000)

            await until(credited, 30)
            # Neither does what is the other's.
            assert (await operator.post("/v1/chat/completions", json=call, headers=headers)).status_code == 404
            assert (await public.get("/admin/agents", headers=apart.treasury.operator())).status_code == 404
            for method, path, body in (
                ("POST", "/wallet/keys", {"name": "child"}),
                ("POST", "/wallet/transfers", {"to": other["id"], "amount_msat": 1_000}),
                ("GET", "/wallet/payouts", None),
            ):
                elsewhere = await public.request(method, path, json=body, headers=headers)
                assert elsewhere.status_code == 403, elsewhere.text
                assert "treasury" in elsewhere.text
            verified = (await operator.get("/admin/audit/verify")).json()
            assert verified["ok"], verified

    with both(apart):
        asyncio.run(story())


def refused(setup: Setup, *words: str) -> str:
    ended = setup.command(*words)
    assert ended.returncode == 1, ended
    return ended.stderr


def test_the_doctor_of_a_treasury_misses_no_models(tmp_path: Path, postgres_url: str) -> None:
    tables, plugins = f'[storage]\nurl = "{postgres_url}"\n', ("policy_price", "wallet_simulated")
    for role, well, said in (("treasury", True, "a treasury buys no models"), ("all", False, "no model can be bought")):
        place = write(tmp_path / role, tables, plugins=plugins, server=f'role = "{role}"')
        if role == "all":
            share_keys(Setup(tmp_path / "treasury", 0), place)
        place.arbstr("agent", "list")
        rows = {row["what"]: row for row in json.loads(place.command("doctor", "--json").stdout)}
        assert (rows["offers"]["ok"], said in rows["offers"]["detail"]) == (well, True), rows["offers"]


def test_a_part_that_cannot_be_kept_to_itself_does_not_start(apart: Apart, tmp_path: Path) -> None:
    sqlite = write(tmp_path / "sqlite", plugins=WITH_WALLET)
    for words in (("treasury",), ("serve", "--role", "proxy")):
        assert "needs PostgreSQL" in refused(sqlite, *words)
    # A wallet where there is to be none, the owner's role, and both.
    wrong = refused(apart.treasury, "serve", "--role", "proxy")
    assert "wallet_simulated is a wallet" in wrong
    assert "its role owns the tables" in wrong
    assert "its role may serve calls and no more" in refused(apart.proxy, "serve", "--role", "all")
    assert "its role may serve calls and no more" in refused(apart.proxy, "treasury")


def test_the_doctor_knows_what_a_proxy_may_not_see(apart: Apart) -> None:
    """Its role can make no table, it signs nothing, and it has no door for operators; none of that is wrong."""
    for running in (False, True):
        if running:
            with both(apart):
                looked(apart, running=True)
        else:
            looked(apart, running=False)


def looked(apart: Apart, *, running: bool) -> None:
    for place in (apart.treasury, apart.proxy):
        done = place.command("doctor", "--json")
        assert [row for row in json.loads(done.stdout) if not row["ok"]] == [], place
        assert place.command("db", "check").returncode == 0
    if running:
        for words in (("reload",), ("agent", "list")):
            refused = apart.proxy.command(*words)
            assert (refused.returncode, "ask where the treasury runs. SIGHUP has it" in refused.stderr) == (1, True)
    (apart.proxy.folder / "data" / "master.key").rename(apart.proxy.folder / "kept")
    wrong = [row["what"] for row in json.loads(apart.proxy.command("doctor", "--json").stdout) if not row["ok"]]
    (apart.proxy.folder / "kept").rename(apart.proxy.folder / "data" / "master.key")
    assert wrong[0] == "master.key"
