"""A process that competes for money on PostgreSQL: it does what it is told, line by line, and says what came of it.

python rival.py URL FOLDER BOOT_ID SKEW_MS

Its own clock is SKEW_MS off. It says "ready"; each line it reads is a JSON list of lists of steps, of which the lists
run at once and the steps of one after each other; then it prints what each gave, as one line of JSON.
"""

import asyncio
import json
import pathlib
import sys
import time

from arbstr_core.storage import Database
from arbstr_core.types import ArbstrError
from arbstr_core.vault import Granted, HoldRequest, ProviderCost, SellerShare, Settlement, Vault, schema


class Clock:
    """The machine's, and as wrong as it is told to be."""

    def __init__(self, skew_ms: int) -> None:
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._skew_ms


async def one(vault: Vault, what: str, id: str, *details) -> list:
    """Do one step; what it gave."""
    if what == "hold":
        agent, ceilings = details
        request = HoldRequest(id=id, agent=agent, ceilings=tuple(ceilings), candidates=b"[]", model="m")
        answer = await vault.hold(request)
        if isinstance(answer, Granted):
            return ["granted", answer.amount_msat]
        return [str(answer.reason), answer.left_msat, answer.open_msat]
    if what == "fund":
        await vault.fund(id, details[0], rail="simulated", key=details[1])
        return ["funded"]
    if what == "settle":
        charge, costs, seller = details
        made = tuple(ProviderCost(provider="p", cost_msat=msat, served=True, node=node) for msat, node in costs)
        share = None if seller is None else SellerShare(seller=seller, msat=charge)
        closed = await vault.settle(Settlement(id=id, charge_msat=charge, costs=made, receipt=b"{}", seller=share))
    else:
        closed = await vault.release(id, b"{}")
    return [str(closed.state), closed.charged_msat, closed.first]


async def story(vault: Vault, steps: list) -> list:
    """One after the other; an end of what was not granted is left out."""
    told, refused = [], set()
    for step in steps:
        if step[0] in ("settle", "release") and step[1] in refused:
            continue
        began = time.monotonic_ns()
        try:
            result = await one(vault, *step)
        except (ArbstrError, AssertionError) as error:
            result = ["error", f"{type(error).__name__}: {error}"]
        if step[0] == "hold" and result[0] != "granted":
            refused.add(step[1])
        told.append([step, began, time.monotonic_ns(), result])
    return told


async def main(url: str, folder: str, boot_id: str, skew_ms: str) -> None:
    db = Database.open(url, data_dir=pathlib.Path(folder), clock=Clock(int(skew_ms)), schemas=[schema()])
    vault = Vault(db, boot_id=boot_id)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        done = await asyncio.gather(*(story(vault, steps) for steps in json.loads(line)))
        print(json.dumps([each for story in done for each in story]), flush=True)
    await db.close()


asyncio.run(main(*sys.argv[1:]))
