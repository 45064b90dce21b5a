"""Models on one's own machines: nodes of mesh-llm, Ollama, llama.cpp's server and vLLM, found out by asking them."""

from __future__ import annotations

from collections.abc import Iterable

from arbstr_core.api import Command, Manifest, Provider, Tools, hookimpl
from arbstr_providers_mesh._commands import commands
from arbstr_providers_mesh._config import STEM, Config, Node
from arbstr_providers_mesh._provider import NodeProvider

__all__ = ["MANIFEST", "Config", "Node", "NodeProvider", "arbstr_commands", "arbstr_providers"]

MANIFEST = Manifest(name=STEM, api=(1, 0), config=Config)


@hookimpl
def arbstr_providers(config: Config, tools: Tools) -> Iterable[Provider]:
    """One provider for each node whose key can be read."""
    made = (_made(name, node, tools) for name, node in config.nodes.items())
    return [provider for provider in made if provider is not None]


@hookimpl
def arbstr_commands(config: Config, tools: Tools) -> Iterable[Command]:
    """`nodes`."""
    return commands(config, tools)


def _made(name: str, node: Node, tools: Tools) -> Provider | None:
    if node.key is None:
        return NodeProvider(name, node, tools)
    key = tools.secret(node.key)
    if key is None:
        tools.log.warning("%s.%s is disabled: its key %s is not set", STEM, name, node.key.ref)
        return None
    return NodeProvider(name, node, tools, key=key)
