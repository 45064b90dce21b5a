"""T3, a real process: `arbstr serve` is killed at the request that pays, before the node carries it out, or after."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from arbstr_wallet_lnd import _lnd_pb2 as pb
from house import Process, Setup, run, until, write
from lightning.apart import Apart, a_node_apart
from lightning.world import SEND

from arbstr_core.testing import LoopClock

AMOUNT = 21_000
FUND = 10**9


def setup_at(folder: Path, apart: Apart) -> Setup:
    (folder / "tls.cert").write_bytes(apart.node.certificate)
    (folder / "arbstr.macaroon").write_bytes(apart.node.macaroon())
    table = (
        f'[plugins.wallet_lnd]\naddress = "{apart.node.address}"\nnetwork = "regtest"\n'
        'cert = "file:tls.cert"\nmacaroon = "file:arbstr.macaroon"\n'
    )
    return write(folder, table, plugins=("policy_price", "wallet_lnd"))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_t3_arbstr_is_killed_at_the_request_that_pays_and_pays_once(tmp_path: Path, moment: str) -> None:
    async def story() -> None:
        with a_node_apart(LoopClock()) as apart:
            place, node = setup_at(tmp_path, apart), apart.node
            process = await asyncio.to_thread(Process, place)
            reached = asyncio.Event()
            loop = asyncio.get_running_loop()

            async def hook(path: str, when: str, number: int) -> None:
                if (path, when) == (SEND, moment) and not reached.is_set():
                    loop.call_soon_threadsafe(reached.set)
                    await asyncio.Event().wait()

            async with httpx.AsyncClient(base_url=place.url, trust_env=False, timeout=30) as http:
                limits = {"max_charge_msat": FUND, "daily_msat": FUND, "payouts_unapproved_msat": FUND}
                new = {"name": "a", "realm": "regtest", **limits}
                agent = (await http.post("/admin/agents", json=new, headers=place.operator())).json()
                own = {"authorization": f"Bearer {agent['token']}"}
                deposit = await http.post("/wallet/deposits", json={"amount_msat": 100_000}, headers=own)
                await asyncio.to_thread(apart.do, node.pays(deposit.json()["reference"]))

                async def funded() -> bool:
                    return bool((await http.get("/wallet/balance", headers=own)).json()["posted_msat"])

                await until(funded, 60)
                node.hook = hook
                wanted = {"to": node.asks(AMOUNT)}
                asked = {**own, "idempotency-key": "k"}
                first = await http.post("/wallet/payouts", json=wanted, headers=asked)
                assert first.status_code == 201, first.text

                await asyncio.wait_for(reached.wait(), 60)
                await asyncio.to_thread(process.kill)

                process = await asyncio.to_thread(Process, place)

                async def paid() -> bool:
                    again = await http.post("/wallet/payouts", json=wanted, headers=asked)
                    assert again.json()["id"] == first.json()["id"], again.text
                    return bool(again.json()["state"] == "succeeded")

                await until(paid, 120)
                balance = (await http.get("/wallet/balance", headers=own)).json()
                settled = [each for each in node.book.payments.values() if each.status == pb.Payment.SUCCEEDED]
                assert [each.value_msat for each in settled] == [AMOUNT]
                assert balance["posted_msat"] == 100_000 - AMOUNT - settled[0].fee_msat
                assert balance["held_msat"] == 0
                verified = (await http.get("/admin/audit/verify", headers=place.operator())).json()
                assert (verified["ok"], verified["open_holds"]) == (True, 0), verified
            await asyncio.to_thread(process.stop)

    run(story())
