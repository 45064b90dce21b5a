"""The operator's commands: how the node is, and taking it as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arbstr_core.api import Command, Conflict, Tools
from arbstr_wallet_lnd._config import Config
from arbstr_wallet_lnd._pin import Pin, Pins
from arbstr_wallet_lnd._rail import LndRail


def commands(config: Config, tools: Tools) -> list[Command]:
    """`status` and `accept-node`."""

    async def status(_: Mapping[str, str]) -> Any:
        rail = LndRail(config, tools)
        try:
            return msgspec.to_builtins(await rail.status())
        finally:
            await rail.aclose()

    async def accept_node(_: Mapping[str, str]) -> Any:
        rail = LndRail(config, tools)
        try:
            return await _accept(rail, config, tools)
        finally:
            await rail.aclose()

    return [
        Command(name="status", help="How the node is, and what it warns of.", run=status, offline=True),
        Command(
            name="accept-node",
            help="Take the node as it is now: its identity, and its records after they were rolled back.",
            run=accept_node,
            offline=True,
        ),
    ]


async def _accept(rail: LndRail, config: Config, tools: Tools) -> Any:
    """Pin what is there. Payments sent from another node stay unknown until that node answers for them."""
    before = await rail.status()
    if not before.identity:
        raise Conflict(f"LND is {before.state}: {before.detail}; it can be taken once it answers")
    if config.node_pubkey not in (None, before.identity):
        raise Conflict(
            f"the node is {before.identity}, and `node_pubkey` names {config.node_pubkey}: correct that first"
        )
    pins = Pins(tools.store)
    known = await pins.read()
    same = known is not None and known.node == before.identity
    since_ms = known.since_ms if known is not None and same else tools.clock.now_ms()
    epoch = known.epoch + 1 if known is not None else 1
    await pins.replace(Pin(node=before.identity, since_ms=since_ms, epoch=epoch))
    return {"node": before.identity, "before": known and known.node, "state": (await rail.status()).state.value}
