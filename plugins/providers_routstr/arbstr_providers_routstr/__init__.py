"""The Routstr marketplace: nodes and prices discovered, paid beforehand in sats."""

from __future__ import annotations

from collections.abc import Iterable

from arbstr_core.api import Command, Manifest, Provider, Tools, hookimpl
from arbstr_providers_routstr._commands import commands
from arbstr_providers_routstr._config import STEM, Config
from arbstr_providers_routstr._provider import RoutstrProvider

__all__ = ["MANIFEST", "Config", "RoutstrProvider", "arbstr_commands", "arbstr_providers"]

MANIFEST = Manifest(name=STEM, api=(1, 0), config=Config)


@hookimpl
def arbstr_providers(config: Config, tools: Tools) -> Iterable[Provider]:
    """One provider, whose nodes are those of the configuration and those that are found."""
    return [RoutstrProvider(config, tools)]


@hookimpl
def arbstr_commands(config: Config, tools: Tools) -> Iterable[Command]:
    """Nodes, and money there and back."""
    return commands(config, tools)
