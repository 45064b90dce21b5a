"""Agents with limits, on either database, and a clock that says what it is told to on both."""

from __future__ import annotations

import asyncio

import msgspec

from arbstr_core.storage import Dialect
from arbstr_core.vault import Granted, Limits, NewAgent

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
PLENTY = Limits(max_charge_msat=10**6, daily_msat=10**9)


def at(bench, ms):
    """It is this late now, for the process and for the database."""
    bench.clock.ms = ms
    if bench.dialect is Dialect.POSTGRESQL:
        bench.tamper(
            f"CREATE OR REPLACE FUNCTION arbstr_now() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT {ms}::bigint'"
        )


def later(bench, ms):
    at(bench, bench.clock.ms + ms)


def story_of(bench, story, *, fund=10_000_000, **limits):
    """Run a story of the agent `alice`, who has these limits beside plenty; then the ledger must be well."""

    async def wrapped():
        async with bench.vault() as vault:
            at(bench, bench.clock.ms)
            await agent(bench, vault, "alice", fund=fund, **limits)
            await story(vault)
            assert (await vault.verify()).first_bad is None

    asyncio.run(wrapped())


async def agent(bench, vault, name, *, parent=None, fund=0, actor="operator", **limits):
    """An agent, or a child key."""
    made = NewAgent(
        id=f"ag_{name}",
        name=name,
        realm="sim",
        token_hash=bench.token(name),
        limits=msgspec.structs.replace(PLENTY, **limits),
        parent=None if parent is None else f"ag_{parent}",
        fund_msat=fund,
        rail="simulated",
        actor=actor,
    )
    return await vault.create_agent(made)


def asked(bench, *ceilings, **more):
    """A request; `more` are its other fields."""
    whose = more.pop("agent", "alice")
    return msgspec.structs.replace(bench.request(*ceilings, agent=f"ag_{whose}"), **more)


async def granted(bench, vault, *ceilings, **more):
    """A hold that must be granted; its id."""
    answer = await vault.hold(asked(bench, *ceilings, **more))
    assert isinstance(answer, Granted), answer
    return answer.id


async def refused(bench, vault, *ceilings, **more):
    """A hold that must be refused: the reason, what is left, whose limit it is."""
    answer = await vault.hold(asked(bench, *ceilings, **more))
    assert not isinstance(answer, Granted), answer
    return answer.reason.value, answer.left_msat, answer.agent
