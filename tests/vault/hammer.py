"""A process to be killed: holds and settles as fast as it can, and prints what was acknowledged to it.

python hammer.py FOLDER BOOT_ID SEED
"""

import asyncio
import pathlib
import random
import sys
import time

from arbstr_core.storage import Database
from arbstr_core.vault import Granted, HoldRequest, Settlement, Vault, schema


class Clock:
    """The machine's."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


async def call(vault: Vault, boot_id: str, task: int, chance: random.Random) -> None:
    number = 0
    while True:
        number += 1
        id = f"req_{Clock().now_ms():012x}_{boot_id}_{task:04x}_{number:08x}"
        request = HoldRequest(id=id, agent="ag_alice", ceilings=(100, 200), candidates=b"[]", model="m")
        answer = await vault.hold(request)
        assert isinstance(answer, Granted), answer
        print("held", id, answer.amount_msat, flush=True)
        charge = chance.randint(0, answer.amount_msat)
        if chance.random() < 0.8:
            await vault.settle(Settlement(id=id, charge_msat=charge, costs=(), receipt=b"{}"))
            print("settled", id, charge, flush=True)
        else:
            await vault.release(id, b"{}")
            print("released", id, 0, flush=True)


async def main(folder: str, boot_id: str, seed: str) -> None:
    db = Database.open("sqlite:///arbstr.db", data_dir=pathlib.Path(folder), clock=Clock(), schemas=[schema()])
    vault = Vault(db, boot_id=boot_id)
    await vault.sweep_orphans()
    chance = random.Random(int(seed))
    await asyncio.gather(*(call(vault, boot_id, task, chance) for task in range(16)))


asyncio.run(main(*sys.argv[1:]))
