"""A small language model on this machine: llama.cpp as a child process, offered as a provider of the local tier."""

from __future__ import annotations

from collections.abc import Iterable

from arbstr_core.api import Command, Manifest, Provider, Tools, hookimpl
from arbstr_providers_local._commands import commands
from arbstr_providers_local._config import STEM, LocalConfig
from arbstr_providers_local._provider import LocalProvider

__all__ = ["MANIFEST", "LocalConfig", "LocalProvider", "arbstr_commands", "arbstr_providers"]

MANIFEST = Manifest(name=STEM, api=(1, 0), config=LocalConfig)


@hookimpl
def arbstr_providers(config: LocalConfig, tools: Tools) -> Iterable[Provider]:
    """One provider, `providers_local`, with one model."""
    return [LocalProvider(config, tools)]


@hookimpl
def arbstr_commands(config: LocalConfig, tools: Tools) -> Iterable[Command]:
    """`fetch` and `status`."""
    return commands(config, tools)
