"""A wallet rail on the network `sim`: no real funds, the behaviour of a real one, scriptable outcomes."""

from __future__ import annotations

from arbstr_core.api import Authenticator, Command, EcashHeader, Manifest, Tools, WalletRail, hookimpl
from arbstr_wallet_simulated._commands import commands
from arbstr_wallet_simulated._config import Config
from arbstr_wallet_simulated._journal import Journal
from arbstr_wallet_simulated._rail import SimulatedRail
from arbstr_wallet_simulated._texts import TOKEN_PREFIX

MANIFEST = Manifest(name="wallet_simulated", api=(1, 0), config=Config)


@hookimpl
def arbstr_wallet_rails(config: Config, tools: Tools) -> list[WalletRail]:
    """One rail, named as the plugin."""
    return [SimulatedRail(config, Journal(tools.store, config.balance.msat), tools.clock)]


@hookimpl
def arbstr_authenticators() -> list[Authenticator]:
    """Single calls paid with a token in `X-Cashu`."""
    return [EcashHeader("wallet_simulated", TOKEN_PREFIX)]


@hookimpl
def arbstr_commands(config: Config, tools: Tools) -> list[Command]:
    """What a developer needs of the world outside: somebody who pays, and somebody to pay."""
    return commands(config, Journal(tools.store, config.balance.msat), tools.clock)
