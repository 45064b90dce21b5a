"""Named routing rules, chosen by the header `X-Arbstr-Policy` or by keywords in the last user message."""

from __future__ import annotations

from arbstr_core.api import Manifest, RoutingPolicy, hookimpl
from arbstr_policy_keywords._policy import KeywordPolicy
from arbstr_policy_keywords._rules import Config

MANIFEST = Manifest(name="policy_keywords", api=(1, 0), config=Config)


@hookimpl
def arbstr_policies(config: Config) -> list[RoutingPolicy]:
    """One policy with all rules."""
    return [KeywordPolicy(config.rules)]
