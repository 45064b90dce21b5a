"""kill -9 at a random moment under load, again and again: nothing that was acknowledged is lost, nothing paid twice."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import Process, Setup, chat, instance, run, write
from upstream import Act, Upstream

KILLS = 20
CALLERS = 6
PRICE = 11 + 4 * 5
"""What a call of the script costs, in msat."""
INPUT = -(-len('[{"role":"user","content":"Say hello"}]') // 4)
"""What its input costs as arbstr counts it."""
ORPHANS = """SELECT h.id FROM transfer x JOIN hold h ON h.seq = x.hold_seq WHERE x.memo = 'orphaned'"""


@dataclass
class Acknowledged:
    """What clients were told before the end."""

    charged: dict[str, int] = field(default_factory=dict)
    """msat by request id, of whole replies"""
    streamed: list[str] = field(default_factory=list)
    funded: dict[str, int] = field(default_factory=dict)
    """msat by agent id"""


def test_kill_after_kill(tmp_path: Path) -> None:
    kill_after_kill(tmp_path, kills=KILLS, seed=20_260_101)


@pytest.mark.campaign
def test_many_kills(tmp_path: Path) -> None:
    """`make campaign N=...`: so many kills, each time other moments; the seed is printed, and SEED repeats it."""
    seed = int(os.environ.get("SEED", random.randrange(10**9)))
    print(f"seed {seed}")
    kill_after_kill(tmp_path, kills=int(os.environ["CAMPAIGN_N"]), seed=seed)


def kill_after_kill(tmp_path: Path, *, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    said = Acknowledged()
    with Upstream() as upstream:
        upstream.script("m", *[Act(pause=0.005 * (turn % 3)) for turn in range(10_000)])
        place = write(tmp_path, instance("x", upstream.url))
        served = Process(place)
        try:
            agent = _agent(place, "payer", 10**12)
            for number in range(kills):
                run(_load(served, agent, said, chance.uniform(0.05, 0.6), number))
                served = Process(place)
                _check(place, agent, said, upstream.hits())
        finally:
            if served.running:
                assert served.stop() == 0
        assert len(said.charged) > 5 * kills
        assert len(said.streamed) > kills
        assert len(said.funded) > kills


def _agent(place: Setup, name: str, fund: int) -> dict[str, Any]:
    new = {"name": name, "fund_msat": fund, "max_charge_msat": 10**9, "daily_msat": 10**12}
    answer = httpx.post(f"{place.url}/admin/agents", json=new, headers=place.operator(), timeout=30)
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


async def _load(served: Process, agent: dict[str, Any], said: Acknowledged, seconds: float, number: int) -> None:
    """Calls of both kinds and work for the operator, until the kill, which comes after `seconds`."""
    place = served.setup
    async with httpx.AsyncClient(base_url=place.url, timeout=30, trust_env=False) as http:
        known = {"authorization": f"Bearer {agent['token']}"}
        work = [_calls(http, known, said, stream=caller % 2 == 1) for caller in range(CALLERS)]
        work.append(_agents(http, place.operator(), said, number))
        tasks = [asyncio.create_task(each) for each in work]
        await asyncio.sleep(seconds)
        served.kill()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, httpx.TransportError), outcome


async def _calls(http: httpx.AsyncClient, known: dict[str, str], said: Acknowledged, *, stream: bool) -> None:
    while True:
        answer = await http.post("/v1/chat/completions", json=chat(stream=stream, max_tokens=50), headers=known)
        assert answer.status_code == 200, answer.text
        request_id = answer.headers["x-request-id"]
        if stream:
            assert answer.text.endswith("data: [DONE]\n\n")
            said.streamed.append(request_id)
        else:
            said.charged[request_id] = int(answer.headers["x-arbstr-cost-msat"])


async def _agents(http: httpx.AsyncClient, operator: dict[str, str], said: Acknowledged, number: int) -> None:
    for turn in range(10_000):
        new = {"name": f"agent-{number}-{turn}", "fund_msat": 1000}
        made = (await http.post("/admin/agents", json=new, headers=operator)).json()
        said.funded[made["id"]] = 1000
        for key in ("first", "second", "second"):
            funding = {"amount_msat": 500, "key": f"{key}-{made['id']}"}
            answer = await http.post(f"/admin/agents/{made['id']}/fund", json=funding, headers=operator)
            said.funded[made["id"]] = answer.json()["posted_msat"]
        assert said.funded[made["id"]] == 2000


def _check(place: Setup, agent: dict[str, Any], said: Acknowledged, executed: int) -> None:
    ledger = httpx.get(f"{place.url}/admin/audit/verify", headers=place.operator(), timeout=30).json()
    assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"]) == (True, 0, 0), ledger
    holds = {row[0]: row[1:] for row in place.rows("SELECT id, state, amount_msat FROM hold")}
    ends: dict[str, tuple[str, int]] = {}
    for hold, kind, msat in place.rows(
        "SELECT h.id, x.kind, x.amount_msat FROM transfer x JOIN hold h ON h.seq = x.hold_seq"
    ):
        assert hold not in ends, "a hold that ended twice"
        ends[hold] = (kind, msat)
    assert ends.keys() == holds.keys()
    for request_id, msat in said.charged.items():
        assert ends[request_id] == ("settle", msat) == ("settle", PRICE)
    assert set(said.streamed) <= ends.keys()
    orphans = {row[0] for row in place.rows(ORPHANS)}
    for hold, (kind, msat) in ends.items():
        # Nobody heard of the end of these: what was seen of each is its input, whether or not it had been sent yet.
        if hold in orphans:
            assert (kind, msat) == ("settle", INPUT)
            assert hold not in said.charged
        elif kind == "settle":
            assert msat == PRICE
    settled = [msat for kind, msat in ends.values() if kind == "settle"]
    assert len(settled) - len(orphans) <= executed
    balances = dict(place.rows("SELECT a.id, b.posted_msat FROM agent a JOIN account b ON b.id = a.account_id"))
    assert balances[agent["id"]] == 10**12 - sum(settled)
    for name, msat in said.funded.items():
        assert msat <= balances[name] <= 2000
