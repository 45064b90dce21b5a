"""The connection to the node: TLS, certificates and macaroons that are replaced, deadlines, nodes that come and go."""

from __future__ import annotations

import asyncio
import logging
import os
import threading

import grpc
import pytest
from arbstr_wallet_lnd import _lnd_pb2 as pb
from lightning import OTHER_PUBKEY, Fault, Way
from lightning.certificates import self_signed
from lightning.stage import Stage, play
from lightning.world import CERTIFICATE, MACAROON

from arbstr_core.api import Msat, Paid, RailState, RailUnavailable, Unknown

INFO = "/lnrpc.Lightning/GetInfo"


async def until_ready(stage: Stage) -> None:
    for _ in range(6_000):
        if (await stage.rail.status()).state is RailState.READY:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never ready: {await stage.rail.status()}")


def test_another_certificate_than_the_node_s_is_refused() -> None:
    async def scenario(stage: Stage) -> None:
        stage.secrets[CERTIFICATE] = self_signed()[1]
        status = await stage.rail.status()
        assert status.state is RailState.DOWN
        assert "UNAVAILABLE" in status.detail
        assert stage.node.calls == []

    play(scenario)


def test_a_node_with_another_name_is_refused_unless_the_name_is_said() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.node.die()
        stage.node.key, stage.node.certificate = self_signed("lnd.example")
        stage.secrets[CERTIFICATE] = stage.node.certificate
        await stage.node.start()
        assert (await stage.rail.status()).state is RailState.DOWN
        stage.table["server_name"] = "lnd.example"
        await stage.restart()
        assert (await stage.rail.status()).state is RailState.READY

    play(scenario)


@pytest.mark.parametrize("given", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nMIIB", b"\xff\xfe"])
def test_what_is_no_certificate_is_named(given: bytes) -> None:
    async def scenario(stage: Stage) -> None:
        stage.secrets[CERTIFICATE] = given
        status = await stage.rail.status()
        assert status.state is RailState.DOWN
        assert "the certificate file:tls.cert cannot be used" in status.detail

    play(scenario)


def test_without_a_certificate_only_what_every_browser_takes_is_taken() -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.rail.status()).state is RailState.DOWN
        assert stage.node.calls == []

    play(scenario, cert=None)


def test_a_new_macaroon_counts_from_the_next_call_on() -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.rail.status()).state is RailState.READY
        stage.node.root_key = b"all macaroons were revoked"
        assert (await stage.rail.status()).state is RailState.DOWN
        stage.secrets[MACAROON] = stage.node.macaroon()
        assert (await stage.rail.status()).state is RailState.READY

    play(scenario)


def test_a_new_certificate_opens_a_new_connection_and_leaves_what_is_under_way() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.ways.append(Way(end="held"))
        target = await stage.target()
        paying = asyncio.ensure_future(stage.pay(target))
        while target.reference not in stage.node.book.payments:
            await asyncio.sleep(0.01)
        await stage.node.move()
        stage.rail._channel._address = stage.node.address  # type: ignore[attr-defined]
        stage.secrets[CERTIFICATE] = stage.node.certificate
        assert (await stage.rail.status()).state is RailState.READY
        await stage.node.resolve(target.reference)
        assert isinstance(await paying, Paid)
        assert (await stage.rail.status()).state is RailState.READY
        assert stage.rail._channel._retired == []  # type: ignore[attr-defined]

    play(scenario)


def test_files_that_are_being_replaced_leave_the_last_whole_ones_in_use(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.rail.status()).state is RailState.READY
        certificate, macaroon = stage.secrets[CERTIFICATE], stage.secrets[MACAROON]
        for half in (0, 10):
            stage.secrets[CERTIFICATE], stage.secrets[MACAROON] = certificate[:half], macaroon[:half]
            for _ in range(3):
                assert (await stage.rail.status()).state is RailState.READY
        del stage.secrets[CERTIFICATE], stage.secrets[MACAROON]
        assert (await stage.rail.status()).state is RailState.READY

    with caplog.at_level(logging.WARNING):
        play(scenario)
    assert 2 <= len(caplog.records) <= 6


def test_a_node_that_is_away_is_down_at_once_and_comes_back() -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.rail.status()).state is RailState.READY
        for stop in (stage.node.die, stage.node.shut_down):
            await stop()
            assert (await stage.rail.status()).state is RailState.DOWN
            with pytest.raises(RailUnavailable):
                await stage.rail.balance()
            with pytest.raises(RailUnavailable):
                await stage.rail.invoice(Msat(1_000), "kit", key="invoice-1")
            await stage.node.start()
            await until_ready(stage)
        assert isinstance(await stage.pay(await stage.target()), Paid)

    play(scenario)


def test_a_node_that_does_not_answer_is_down_when_the_call_s_time_is_up() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault(INFO, silent=True))
        status = await stage.rail.status()
        assert status.state is RailState.DOWN
        assert "DEADLINE_EXCEEDED" in status.detail

    play(scenario, call_seconds=0.3)


def test_nothing_else_of_the_process_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is left, no environment is set, and the proxy of the environment is not asked."""

    async def scenario(stage: Stage) -> None:
        await until_ready(stage)

    for name in ("https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    before = dict(os.environ)
    play(scenario)
    assert dict(os.environ) == before
    left = [each for each in threading.enumerate() if not each.daemon and not isinstance(each, threading.Timer)]
    assert left == [threading.main_thread()]


# --- the states ---


@pytest.mark.parametrize(
    ("wallet", "state", "says"),
    [
        (pb.WALLET_NON_EXISTING, RailState.LOCKED, "lncli create"),
        (pb.WALLET_LOCKED, RailState.LOCKED, "lncli unlock"),
        (pb.WALLET_UNLOCKED, RailState.SYNCING, "starting"),
        (pb.WALLET_RPC_ACTIVE, RailState.SYNCING, "starting"),
        (pb.WALLET_WAITING_TO_START, RailState.SYNCING, "waits for its turn"),
        (17, RailState.SYNCING, "unknown here (17)"),
    ],
)
def test_a_wallet_that_is_not_open_says_so_without_a_macaroon(wallet: int, state: RailState, says: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.state = wallet
        status = await stage.rail.status()
        assert (status.state, says in status.detail) == (state, True)
        assert [path for path, _ in stage.node.calls] == ["/lnrpc.State/GetState"]

    play(scenario)


def test_ready_says_which_node_it_is() -> None:
    async def scenario(stage: Stage) -> None:
        status = await stage.rail.status()
        assert (status.state, status.identity, status.warnings) == (RailState.READY, stage.node.pubkey, ())
        assert status.detail == "LND 0.20.0-beta at block 840000"
        stage.node.synced = False
        status = await stage.rail.status()
        assert (status.state, status.identity) == (RailState.SYNCING, stage.node.pubkey)

    play(scenario)


def test_the_first_node_seen_is_pinned() -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.rail.status()).state is RailState.READY
        await stage.restart()
        stage.node.pubkey = OTHER_PUBKEY
        status = await stage.rail.status()
        assert (status.state, status.identity) == (RailState.WRONG_NODE, OTHER_PUBKEY)
        assert "accept-node" in status.detail
        with pytest.raises(RailUnavailable, match="wrong_node"):
            await stage.rail.balance()
        assert (await stage.accept_node())["state"] == "ready"
        assert (await stage.rail.status()).state is RailState.READY

    play(scenario)


def test_the_node_that_the_configuration_names_is_the_only_one() -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(2):
            status = await stage.rail.status()
            assert status.state is RailState.WRONG_NODE
            assert OTHER_PUBKEY in status.detail
        stage.node.pubkey = OTHER_PUBKEY
        assert (await stage.rail.status()).state is RailState.READY

    play(scenario, node_pubkey=OTHER_PUBKEY)


@pytest.mark.parametrize("network", ["mainnet", "testnet", "signet", "simnet", ""])
def test_a_node_on_another_network_is_the_wrong_one(network: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.network = network
        status = await stage.rail.status()
        assert status.state is RailState.WRONG_NODE
        assert "`network` is regtest" in status.detail
        assert await stage.store.scan("") == {}

    play(scenario)


def test_what_closing_channels_will_give_back_is_told_apart() -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.limbo_sat = 1_234
        balance = await stage.rail.balance()
        assert balance.closing_msat == 1_234_000
        assert balance.spendable_msat == stage.node.book.balance_msat

    play(scenario)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE])
def test_a_balance_that_cannot_be_had_is_no_balance(code: grpc.StatusCode) -> None:
    async def scenario(stage: Stage) -> None:
        stage.node.faults.append(Fault("/lnrpc.Lightning/ChannelBalance", code=code, text="no"))
        with pytest.raises(RailUnavailable, match=code.name):
            await stage.rail.balance()

    play(scenario)


def test_closed_twice_and_used_afterwards() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.rail.status()
        await stage.rail.aclose()
        await stage.rail.aclose()
        assert (await stage.rail.status()).state is RailState.DOWN
        assert isinstance(await stage.look(await stage.target()), Unknown)

    play(scenario)
