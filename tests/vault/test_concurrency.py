"""Many at once: on one agent and on a family of keys, in one process and in eight, at the edges of the limits' windows."""

from __future__ import annotations

import asyncio
import hashlib

from arbstr_core.vault import Granted, Limits, NewAgent


async def child(vault, name, parent="ag_alice", **limits):
    """A child key."""
    own = Limits(**{"max_charge_msat": 10**9, "daily_msat": 10**9, **limits})
    token = hashlib.sha256(name.encode()).digest()
    await vault.create_agent(NewAgent(id=name, name=name, realm="sim", token_hash=token, parent=parent, limits=own))


def test_what_one_child_gives_back_its_sibling_may_use_in_the_same_batch(bench):
    async def story():
        async with bench.vault() as vault:
            await bench.agent(vault, fund=100_000, max_charge=1_000, daily=1_000)
            for name in ("amy", "ben"):
                await child(vault, name)
            first = bench.request(1_000, agent="amy")
            assert isinstance(await vault.hold(first), Granted)
            second = bench.request(1_000, agent="ben")
            _, answer = await asyncio.gather(vault.release(first.id, b"{}"), vault.hold(second))
            assert isinstance(answer, Granted), answer
            assert (await vault.verify()).ok

    asyncio.run(story())
