"""A wallet rail that holds ecash at Cashu mints: deposits, payouts as tokens or over Lightning, from one seed."""

from __future__ import annotations

from collections.abc import Iterable

from arbstr_core.api import Authenticator, Command, EcashHeader, Manifest, Tools, WalletRail, hookimpl
from arbstr_wallet_cashu._commands import commands
from arbstr_wallet_cashu._config import STEM, Config
from arbstr_wallet_cashu._rail import CashuRail

__all__ = ["MANIFEST", "CashuRail", "Config", "arbstr_commands", "arbstr_wallet_rails"]

MANIFEST = Manifest(name=STEM, api=(1, 0), config=Config)


@hookimpl
def arbstr_wallet_rails(config: Config, tools: Tools) -> Iterable[WalletRail]:
    """One rail, over all mints of the configuration."""
    return [CashuRail(config, tools)]


@hookimpl
def arbstr_authenticators() -> Iterable[Authenticator]:
    """Single calls paid with a token in `X-Cashu` (NUT-24)."""
    return [EcashHeader(STEM, "cashuA", "cashuB")]


@hookimpl
def arbstr_commands(config: Config, tools: Tools) -> Iterable[Command]:
    """Looking at the purse, bringing it back, and a mint to play with."""
    return commands(config, tools)
