"""kill -9 at any moment: what was acknowledged is there, once, and the ledger verifies."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from arbstr_core.vault import HoldState

KILLS = 4


def hammer(bench, boot_id, seed, lines):
    """What a process acknowledged before it was killed: state by hold id, and the amount of each."""
    script = Path(__file__).with_name("hammer.py")
    child = subprocess.Popen(
        [sys.executable, str(script), str(bench.folder), boot_id, str(seed)], stdout=subprocess.PIPE, text=True
    )
    said = {}
    with child:
        for number, line in enumerate(child.stdout):
            if not line.endswith("\n"):
                break
            what, id, msat = line.split()
            said[id] = (what, int(msat))
            if number == lines:
                child.kill()
    assert child.returncode == -9
    return said


def test_no_acknowledged_write_is_lost(bench):
    chance = random.Random(2)
    said = {}

    async def prepare():
        async with bench.vault() as vault:
            await bench.agent(vault, fund=10**12, daily=10**12)

    async def check():
        async with bench.vault("checker") as vault:
            await vault.sweep_orphans()
            verification = await vault.verify()
            assert verification.first_bad is None
            assert verification.open_holds == 0
            for id, (what, msat) in said.items():
                found = await vault.receipt(id)
                if what == "held":
                    # The end may have been durable already, only its answer was lost; else the sweep released it.
                    assert found.state in (HoldState.SETTLED, HoldState.RELEASED)
                    assert found.held_msat == msat
                else:
                    assert (found.state, found.charged_msat) == (HoldState(what), msat)

    asyncio.run(prepare())
    for kill in range(KILLS):
        said |= hammer(bench, f"boot{kill}", kill, chance.randint(50, 800))
    assert said
    asyncio.run(check())
