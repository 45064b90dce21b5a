"""Agents pay each other, and the operator moves money between them, over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from house import run, serving, write

SIMULATED = "[plugins.wallet_simulated]\npoll_ms = 5\n"


def test_agents_and_the_operator_transfer(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, SIMULATED)) as served:
            alice = await served.agent("alice", fund=10_000, payouts_unapproved_msat=10**9)
            bob = await served.agent("bob", fund=0)

            async def pays(to: str, msat: Any, key: str = "k", *, who: dict[str, Any] = alice) -> tuple[int, Any]:
                known = {"authorization": f"Bearer {who['token']}", "idempotency-key": key}
                asked = {"to": to, "amount_msat": msat}
                answer = await served.http.post("/wallet/transfers", json=asked, headers=known)
                return answer.status_code, answer.json()

            first = await pays(bob["id"], 4_000)
            assert first[0] == 201
            assert (first[1]["from"], first[1]["to"], first[1]["amount_msat"]) == (alice["id"], bob["id"], 4_000)
            assert await pays(bob["id"], 4_000) == first
            assert (await pays(bob["id"], 4_001))[0] == 422
            assert (await pays(bob["id"], 4_000, "other", who=bob))[0] == 400
            assert (await pays(alice["id"], 4_000, who=bob))[0] == 409, "each payout of bob's waits for an operator"
            assert (await pays("bob", 1, "name"))[0] == 404, "nobody learns names"
            status, said = await pays(bob["id"], 7_000, "much")
            assert (status, said["error"]["available_msat"]) == (402, 6_000)
            for bad in (0, -1, "1e3", 1.5, True, 2**63):
                assert (await pays(bob["id"], bad, f"bad {bad}"))[0] == 400

            words = ("agent", "transfer", "alice", "bob", "1", "--key", "once", "--json")
            done = [json.loads(await asyncio.to_thread(served.setup.arbstr, *words)) for _ in range(2)]
            assert done[0] == done[1]
            assert (await served.show(alice))["posted_msat"] == 5_000
            assert (await served.show(bob))["posted_msat"] == 5_000
            moved = (
                await served.http.get("/wallet/transfers", headers={"authorization": f"Bearer {bob['token']}"})
            ).json()
            assert [row["change_msat"] for row in moved["data"]] == [1_000, 4_000]
            await served.verified()

    run(story())
