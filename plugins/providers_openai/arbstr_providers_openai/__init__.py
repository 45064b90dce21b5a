"""Any OpenAI-compatible endpoint, as rows of configuration."""

from __future__ import annotations

from arbstr_core.api import Manifest, Provider, Tools, hookimpl
from arbstr_providers_openai._config import Config, Instance
from arbstr_providers_openai._provider import EndpointProvider

MANIFEST = Manifest(name="providers_openai", api=(1, 0), config=Config)


@hookimpl
def arbstr_providers(config: Config, tools: Tools) -> list[Provider]:
    """One provider for each instance whose key can be read."""
    made = (_provider(name, instance, tools) for name, instance in config.instances.items())
    return [provider for provider in made if provider is not None]


def _provider(name: str, instance: Instance, tools: Tools) -> Provider | None:
    if instance.key is None:
        return EndpointProvider(name, instance, tools)
    key = tools.secret(instance.key)
    if key is None:
        tools.log.warning("%s.%s is disabled: its key %s is not set", MANIFEST.name, name, instance.key.ref)
        return None
    return EndpointProvider(name, instance, tools, key=key)
