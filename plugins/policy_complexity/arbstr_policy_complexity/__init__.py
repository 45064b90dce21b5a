"""Scores prompts, and demands a tier for them: hard ones go to frontier models, easy ones do not."""

from __future__ import annotations

from arbstr_core.api import Manifest, RoutingPolicy, hookimpl
from arbstr_policy_complexity._config import Config
from arbstr_policy_complexity._policy import ComplexityPolicy

MANIFEST = Manifest(name="policy_complexity", api=(1, 0), config=Config)


@hookimpl
def arbstr_policies(config: Config) -> list[RoutingPolicy]:
    """One policy."""
    return [ComplexityPolicy(config)]
