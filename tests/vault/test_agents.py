"""Agents: made, funded, switched, given new tokens."""

from __future__ import annotations

import asyncio

import pytest

from arbstr_core.types import Conflict, InsufficientFunds, NotFound
from arbstr_core.vault import Limits, NewAgent


def run(bench, story):
    async def wrapped():
        async with bench.vault() as vault:
            await story(vault)
            assert (await vault.verify()).first_bad is None

    asyncio.run(wrapped())


def test_an_agent_is_made_with_its_money_limits_and_token(bench):
    async def story(vault):
        made = await bench.agent(vault)
        assert (made.id, made.name, made.realm, made.enabled) == ("ag_alice", "alice", "sim", True)
        assert (made.posted_msat, made.held_msat, made.available_msat) == (10_000, 0, 10_000)
        assert made.limits == Limits(version=1, max_charge_msat=5_000, daily_msat=8_000)
        assert made.created_ms == bench.clock.ms
        assert await vault.agent_by_token(bench.token("alice")) == made
        assert await vault.agent("alice") == made
        assert await vault.agent("nobody") is None
        assert await vault.agents() == [made]

    run(bench, story)


def test_a_taken_name_makes_nothing(bench):
    async def story(vault):
        await bench.agent(vault)
        with pytest.raises(Conflict, match="alice"):
            await vault.create_agent(
                NewAgent(
                    id="ag_other",
                    name="alice",
                    realm="sim",
                    token_hash=b"t" * 32,
                    limits=Limits(),
                    fund_msat=5,
                    rail="simulated",
                )
            )
        with pytest.raises(Conflict, match="token"):
            await vault.create_agent(
                NewAgent(id="ag_other", name="bob", realm="sim", token_hash=bench.token("alice"), limits=Limits())
            )
        assert len(await vault.agents()) == 1

    run(bench, story)


def test_two_of_one_name_at_once_and_one_wins(bench):
    async def story(vault):
        made = await asyncio.gather(
            *(
                vault.create_agent(
                    NewAgent(
                        id=f"ag_{n}",
                        name="alice",
                        realm="sim",
                        token_hash=b"%032d" % n,
                        limits=Limits(),
                        fund_msat=n,
                        rail="r",
                    )
                )
                for n in range(5)
            ),
            return_exceptions=True,
        )
        assert [isinstance(one, Conflict) for one in made].count(True) == 4
        assert len(await vault.agents()) == 1

    run(bench, story)


def test_funding_counts_once_a_key(bench):
    async def story(vault):
        await bench.agent(vault)
        funded = await asyncio.gather(*(vault.fund("ag_alice", 500, rail="simulated", key="k1") for _ in range(3)))
        assert {record.posted_msat for record in funded} == {10_500}
        with pytest.raises(Conflict, match="k1"):
            await vault.fund("ag_alice", 501, rail="simulated", key="k1")
        with pytest.raises(NotFound):
            await vault.fund("ag_nobody", 500, rail="simulated", key="k2")
        for bad in (0, -1, 2**63):
            with pytest.raises(ValueError, match="is n"):
                await vault.fund("ag_alice", bad, rail="simulated", key="k3")

    run(bench, story)
    equity = bench.rows("SELECT posted_msat FROM account WHERE name = 'equity:operator'")
    asset = bench.rows("SELECT posted_msat FROM account WHERE name = 'asset:simulated'")
    assert (equity, asset) == ([(0,)], [(10_500,)])


def test_real_money_is_not_made(bench):
    async def story(vault):
        await vault.create_agent(
            NewAgent(id="ag_r", name="real", realm="regtest", token_hash=b"r" * 32, limits=Limits())
        )
        with pytest.raises(InsufficientFunds, match="equity in realm regtest is 0 msat"):
            await vault.fund("ag_r", 1, rail="lnd", key="k")
        assert (await vault.agent("real")).posted_msat == 0
        with pytest.raises(InsufficientFunds):
            await vault.create_agent(
                NewAgent(
                    id="ag_s",
                    name="second",
                    realm="regtest",
                    token_hash=b"s" * 32,
                    limits=Limits(),
                    fund_msat=1,
                    rail="lnd",
                )
            )
        assert await vault.agent("second") is None

    run(bench, story)


def test_a_new_token_ends_the_old_one(bench):
    async def story(vault):
        await bench.agent(vault)
        await vault.rotate_token("ag_alice", bench.token("new"))
        assert await vault.agent_by_token(bench.token("alice")) is None
        assert (await vault.agent_by_token(bench.token("new"))).id == "ag_alice"
        with pytest.raises(Conflict):
            await vault.rotate_token("ag_alice", bench.token("alice"))
        assert (await vault.agent_by_token(bench.token("new"))).id == "ag_alice"

    run(bench, story)


def test_switching_twice_is_written_once(bench):
    async def story(vault):
        await bench.agent(vault)
        assert not (await vault.set_enabled("ag_alice", False)).enabled
        await vault.set_enabled("ag_alice", False)
        assert (await vault.set_enabled("ag_alice", True)).enabled

    run(bench, story)
    assert bench.rows("SELECT count(*) FROM audit WHERE action = 'agent.enabled'") == [(2,)]
