"""A wallet rail on Lightning, through LND's gRPC: invoices, payments that are made once, deposits."""

from __future__ import annotations

from arbstr_core.api import Command, Manifest, Tools, WalletRail, hookimpl
from arbstr_wallet_lnd._commands import commands
from arbstr_wallet_lnd._config import STEM, Config
from arbstr_wallet_lnd._rail import LndRail

__all__ = ["MANIFEST", "Config", "LndRail", "arbstr_commands", "arbstr_wallet_rails"]

MANIFEST = Manifest(name=STEM, api=(1, 0), config=Config)


@hookimpl
def arbstr_wallet_rails(config: Config, tools: Tools) -> list[WalletRail]:
    """One rail, named as the plugin."""
    return [LndRail(config, tools)]


@hookimpl
def arbstr_commands(config: Config, tools: Tools) -> list[Command]:
    """How the node is, and taking it as it is."""
    return commands(config, tools)
