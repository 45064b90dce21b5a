"""arbstr with a Lightning node behind it, as an operator sees it: on the loop that serves, by its own commands."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from arbstr_wallet_lnd import _lnd_pb2 as pb
from house import Served, run, serving, write
from lightning import ADMIN, OTHER_PUBKEY
from lightning.apart import Apart, a_node_apart
from lightning.macaroons import bake

from arbstr_core.api import read_bolt11
from arbstr_core.testing import LoopClock

PLUGINS = ("policy_price", "wallet_lnd")


@asynccontextmanager
async def beside(folder: Path) -> AsyncIterator[tuple[Apart, Served]]:
    """A node, and arbstr that serves with it."""
    with a_node_apart(LoopClock()) as apart:
        (folder / "tls.cert").write_bytes(apart.node.certificate)
        (folder / "arbstr.macaroon").write_bytes(apart.node.macaroon())
        table = (
            f'[plugins.wallet_lnd]\naddress = "{apart.node.address}"\nnetwork = "regtest"\n'
            'cert = "file:tls.cert"\nmacaroon = "file:arbstr.macaroon"\n'
        )
        async with serving(write(folder, table, plugins=PLUGINS)) as served:
            yield apart, served


async def doctor(served: Served) -> list[tuple[bool, str]]:
    """What doctor finds of the rail."""
    done = await asyncio.to_thread(served.setup.command, "doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if all(each["ok"] for each in found) else 1)
    return [(each["ok"], each["detail"]) for each in found if each["what"] == "rail wallet_lnd"]


async def command(served: Served, name: str) -> Any:
    """A command of the plugin, carried out by the server."""
    return json.loads(await asyncio.to_thread(served.setup.arbstr, "plugin", "run", "wallet_lnd", name))


def test_an_operator_sees_how_the_node_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as (apart, served):
            node = apart.node
            assert await doctor(served) == [(True, "ready LND 0.20.0-beta at block 840000")]
            node.state = pb.WALLET_LOCKED
            assert await doctor(served) == [(False, "locked the node's wallet is locked: `lncli unlock`")]
            node.state = pb.WALLET_SERVER_ACTIVE
            (tmp_path / "arbstr.macaroon").write_bytes(bake(node.root_key, ADMIN))
            (well, _), (warned, warning) = await doctor(served)
            assert (well, warned) == (True, False)
            assert "may do more than this rail needs" in warning
            await asyncio.to_thread(apart.do, node.die())
            ((well, detail),) = await doctor(served)
            assert not well
            assert detail.startswith(f"down {node.address}: ")

    run(story())


def test_an_operator_takes_another_node(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as (apart, served):
            assert (await command(served, "status"))["state"] == "ready"
            first, apart.node.pubkey = apart.node.pubkey, OTHER_PUBKEY
            assert (await command(served, "status"))["state"] == "wrong_node"
            taken = await command(served, "accept-node")
            assert taken == {"node": OTHER_PUBKEY, "before": first, "state": "ready"}
            assert await doctor(served) == [(True, "ready LND 0.20.0-beta at block 840000")]

    run(story())


# --- killed, as processes are ---


class Payer:
    """A process that pays, at a node that kills it at a call."""

    def __init__(self, apart: Apart, folder: Path) -> None:
        self._apart = apart
        self._folder = folder
        (folder / "tls.cert").write_bytes(apart.node.certificate)
        (folder / "arbstr.macaroon").write_bytes(apart.node.macaroon())

    def pays(self, invoice: str, key: str, kill: tuple[int, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Let one pay; `kill` is the number of a call, and whether it dies before or after the node carried it out."""
        node = self._apart.node
        words = [str(self._folder), node.address, invoice, key]
        child = subprocess.Popen(
            [sys.executable, "-m", "lightning.payer", *words],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        before = len(node.calls)

        async def hook(path: str, moment: str, number: int) -> None:
            if kill == (number - before, moment):
                child.kill()
                await asyncio.to_thread(child.wait)
                if moment == "before":
                    await asyncio.Event().wait()

        node.hook = hook
        out, said = child.communicate(timeout=60)
        node.hook = None
        return subprocess.CompletedProcess(child.args, child.returncode, out, said)


def paid_once(apart: Apart, folder: Path, kill: tuple[int, str]) -> bool:
    """Kill one that pays, and let the next finish: exactly one payment. False where the run ended before the kill."""
    payer, node = Payer(apart, folder), apart.node
    invoice = node.asks(21_000)
    target = read_bolt11(invoice)
    paid = sum(each.status == pb.Payment.SUCCEEDED for each in node.book.payments.values())
    first = payer.pays(invoice, f"pay-{kill[0]}-{kill[1]}", kill)
    if first.returncode == 0:
        return False
    assert first.returncode == -signal.SIGKILL, first.stderr
    second = payer.pays(invoice, f"pay-{kill[0]}-{kill[1]}")
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["type"] == "paid", f"killed at {kill}: {second.stdout}"
    assert node.book.payments[target.payment_hash].status == pb.Payment.SUCCEEDED
    now = sum(each.status == pb.Payment.SUCCEEDED for each in node.book.payments.values())
    assert now == paid + 1, f"killed at {kill}: {now - paid} payments"
    return True


SENT_AT = 6
"""The number of the call that sends: state, identity, newest payment, the invoice read, its hash tracked, and then."""


@pytest.mark.parametrize("kill", [(SENT_AT, "before"), (SENT_AT, "after"), (SENT_AT + 1, "before")])
def test_t3_a_process_that_is_killed_around_its_request_pays_once(tmp_path: Path, kill: tuple[int, str]) -> None:
    with a_node_apart(LoopClock()) as apart:
        assert paid_once(apart, tmp_path, kill)
        requests = [number for number, (path, _) in enumerate(apart.node.calls, 1) if path.endswith("/SendPaymentV2")]
        assert requests[0] == SENT_AT


@pytest.mark.campaign
def test_t3_a_process_that_is_killed_at_any_call_pays_once(tmp_path: Path) -> None:
    with a_node_apart(LoopClock()) as apart:
        for moment in ("before", "after"):
            killed = [at for at in range(1, 40) if paid_once(apart, tmp_path, (at, moment))]
            assert killed == [*range(1, len(killed) + 1)]
            assert len(killed) > SENT_AT
