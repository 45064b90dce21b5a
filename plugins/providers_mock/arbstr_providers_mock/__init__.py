"""A scripted, deterministic provider: the test double, and what `arbstr serve --mock` sells."""

from __future__ import annotations

from arbstr_core.api import Manifest, Provider, Tools, hookimpl
from arbstr_providers_mock._config import Config
from arbstr_providers_mock._provider import MockProvider

MANIFEST = Manifest(name="providers_mock", api=(1, 0), config=Config)


@hookimpl
def arbstr_providers(config: Config, tools: Tools) -> list[Provider]:
    """One provider for each instance; without instances one, named as the plugin."""
    instances = {f"{MANIFEST.name}.{name}": mock for name, mock in config.instances.items()}
    if config.models or not instances:
        instances = {MANIFEST.name: config, **instances}
    return [MockProvider(name, mock, tools.clock) for name, mock in instances.items()]
