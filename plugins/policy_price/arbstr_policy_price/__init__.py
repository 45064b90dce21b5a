"""The strategies that go by price, by speed, by both, and by the operator's own order."""

from __future__ import annotations

from arbstr_core.api import Manifest, Strategy, hookimpl
from arbstr_policy_price._config import Config
from arbstr_policy_price._strategies import Balanced, Cheapest, Fastest, Pinned

__all__ = ["MANIFEST", "Balanced", "Cheapest", "Fastest", "Pinned", "arbstr_policies"]

MANIFEST = Manifest(name="policy_price", api=(1, 0), config=Config)


@hookimpl
def arbstr_policies(config: Config) -> list[Strategy]:
    """Four strategies: `cheapest`, `fastest`, `balanced` and `pinned`."""
    return [Cheapest(), Fastest(), Balanced(config.balanced), Pinned(config.pinned)]
