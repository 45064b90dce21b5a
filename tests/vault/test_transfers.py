"""One agent pays another: within its limits for payouts, once, and no sat is made or lost. On either database."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from limiting import agent, story_of

from arbstr_core.types import BadRequest, Conflict, IdempotencyConflict, NotFound
from arbstr_core.vault import Granted, HoldRequest, Known, RefusalReason, Refused

FREE = {"payouts_unapproved_msat": 10**6}


def request(id="xfr_1", msat=500, *, whose="ag_alice", to="ag_bob"):
    return HoldRequest(
        id=id, agent=whose, ceilings=(msat,), candidates=b"[]", model=to, kind="payout", body_digest=id.encode()
    )


async def pay(vault, made):
    return await vault.pay_agent(made, made.model)


async def balances(vault, *names):
    found = [await vault.agent(name) for name in names]
    return [(each.posted_msat, each.held_msat) for each in found]


def test_money_goes_from_one_to_the_other_once(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "bob")
        outcomes = await asyncio.gather(*(pay(vault, request()) for _ in range(5)))
        assert sum(isinstance(each, Granted) for each in outcomes) == 1
        assert sum(isinstance(each, Known) for each in outcomes) == 4
        assert await balances(vault, "alice", "bob") == [(9_500, 0), (500, 0)]
        for other in (request(msat=501), request(to="ag_alice", whose="ag_bob")):
            with pytest.raises(IdempotencyConflict):
                await pay(vault, other)
        assert await balances(vault, "alice", "bob") == [(9_500, 0), (500, 0)]

    story_of(any_bench, story, fund=10_000, **FREE)


def test_t8_whatever_agents_pay_each_other_the_sum_stays(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "bob", **FREE)
        there, back = ("ag_alice", "ag_bob"), ("ag_bob", "ag_alice")
        ways = [there, back] * 30
        made = [request(f"xfr_{n}", 100 + 37 * n, whose=one, to=other) for n, (one, other) in enumerate(ways)]
        outcomes = await asyncio.gather(*(pay(vault, each) for each in made))
        assert any(isinstance(each, Granted) for each in outcomes)
        found = await balances(vault, "alice", "bob")
        assert sum(posted for posted, _ in found) == 10_000
        assert [held for _, held in found] == [0, 0]

    story_of(any_bench, story, fund=10_000, **FREE)


def test_limits_are_those_of_payouts(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "bob")
        much = await pay(vault, request("xfr_1", 4_000))
        assert isinstance(much, Refused)
        assert (much.reason, much.left_msat) == (RefusalReason.INSUFFICIENT, 3_500)
        assert isinstance(await pay(vault, request("xfr_2", 3_000)), Granted)
        day = await pay(vault, request("xfr_3", 3_000))
        assert isinstance(day, Refused)
        assert day.reason is RefusalReason.DAILY
        await vault.set_limits("ag_alice", lambda base: msgspec.structs.replace(base, payouts_unapproved_msat=100))
        with pytest.raises(Conflict, match="approval"):
            await pay(vault, request("xfr_4", 200))
        assert await vault.approvals() == []
        assert await balances(vault, "alice", "bob") == [(500, 0), (3_000, 0)]
        await vault.set_enabled("ag_alice", False)
        off = await pay(vault, request("xfr_5", 50))
        assert isinstance(off, Refused)
        assert off.reason is RefusalReason.DISABLED

    story_of(any_bench, story, fund=3_500, daily_msat=5_000, **FREE)


def test_nobody_pays_himself_or_nobody(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "kid", parent="alice", **FREE)
        for to in ("ag_alice", "ag_kid"):
            with pytest.raises(BadRequest, match="same account"):
                await pay(vault, request(to=to))
        with pytest.raises(BadRequest, match="same account"):
            await pay(vault, request(whose="ag_kid", to="ag_alice"))
        with pytest.raises(NotFound):
            await pay(vault, request(to="ag_nobody"))
        assert await balances(vault, "alice") == [(10_000, 0)]

    story_of(any_bench, story, fund=10_000, **FREE)
