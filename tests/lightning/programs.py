"""`lnd` and `lncli` as the scripts of deploy/ call them, with the node of the tests behind: processes of their own."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

import grpc
from arbstr_wallet_lnd import _lnd_pb2 as pb

from arbstr_core.testing import LoopClock
from lightning.macaroons import ADMIN, bake
from lightning.node import FakeLnd

SECRET = "root.key"
"""where the node leaves what macaroons are baked of: this lncli bakes them itself"""


def put_into(folder: Path) -> None:
    """Make both programs in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("lnd", "lncli"):
        program = folder / name
        words = f'{sys.executable} -m lightning.programs {name} "$@"'
        program.write_text(f"#!/bin/sh\nPYTHONPATH={Path(__file__).parents[1]} exec {words}\n")
        program.chmod(0o755)


async def lnd(words: list[str]) -> None:
    """Serve until told to stop."""
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    (network,) = [
        name.removeprefix("bitcoin.") for name in options if name.startswith("bitcoin.") and not options[name]
    ]
    folder = Path(options["lnddir"])
    node = FakeLnd(LoopClock(), network=network)
    node.port = int(options["rpclisten"].rpartition(":")[2])
    await node.start()
    (folder / "tls.cert").write_bytes(node.certificate)
    (folder / SECRET).write_bytes(node.root_key)
    macaroon = folder / "data" / "chain" / "bitcoin" / network / "admin.macaroon"
    macaroon.parent.mkdir(parents=True, exist_ok=True)
    macaroon.write_bytes(bake(node.root_key, ADMIN))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await node.die()


def lncli(words: list[str]) -> None:
    """`state` asks the node; `bakemacaroon` bakes."""
    asked = argparse.ArgumentParser(allow_abbrev=False)
    asked.add_argument("--lnddir", type=Path, required=True)
    asked.add_argument("--network", required=True)
    asked.add_argument("--rpcserver", required=True)
    commands = asked.add_subparsers(dest="command", required=True)
    commands.add_parser("state")
    baking = commands.add_parser("bakemacaroon")
    baking.add_argument("--root_key_id", required=True)
    baking.add_argument("--save_to", type=Path, required=True)
    baking.add_argument("permissions", nargs="+")
    said = asked.parse_args(words)
    state = _state(said.rpcserver, (said.lnddir / "tls.cert").read_bytes())
    if said.command == "state":
        print(json.dumps({"state": pb.WalletState.Name(state).removeprefix("WALLET_")}))
        return
    assert state == pb.WALLET_SERVER_ACTIVE, state
    granted = [tuple(each.split(":", 1)) for each in said.permissions]
    said.save_to.write_bytes(bake((said.lnddir / SECRET).read_bytes(), granted))


def _state(address: str, certificate: bytes) -> int:
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate)) as channel:
        ask = channel.unary_unary(
            "/lnrpc.State/GetState",
            request_serializer=pb.GetStateRequest.SerializeToString,
            response_deserializer=pb.GetStateResponse.FromString,
        )
        return int(ask(pb.GetStateRequest(), timeout=10).state)


if __name__ == "__main__":
    if sys.argv[1] == "lnd":
        asyncio.run(lnd(sys.argv[2:]))
    else:
        lncli(sys.argv[2:])
