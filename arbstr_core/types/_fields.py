"""What an offer says of request fields: how it takes a limit, and which fields it takes beyond the plain ones."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import msgspec

from arbstr_core.types._money import MSAT_PER_BTC, Rate

_MOST_USD = Decimal(100_000)


class LimitField(enum.StrEnum):
    """The name under which an endpoint takes the limit of output; a limit under a name it does not know binds nobody.

    Source: OpenAI API reference, "Create chat completion": `max_tokens` is deprecated there, and refused by models
    that reason; most other servers know it, and some know only it.
    """

    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"
    BOTH = "both"


class KeyHeader(enum.StrEnum):
    """The header that a provider takes its key in; as `authorization` it is a bearer token."""

    AUTHORIZATION = "authorization"
    X_API_KEY = "x-api-key"


class Passthrough(enum.StrEnum):
    """Which top-level fields of a request a paid offer takes: those that are known to be plain, or unknown ones too."""

    KNOWN = "known"
    ALL = "all"


class FieldRule(msgspec.Struct, frozen=True):
    """What an offer does with a field that may cost something: refuses it, takes it, or takes it for `most` a call."""

    taken: bool
    most: Rate | None = None
    """the most it can add to one call; part of the ceiling, and of the charge"""

    @classmethod
    def from_config(cls, value: Any) -> FieldRule:
        """Read `"pass"`, `"refuse"`, or an amount such as `"30 sat"` or `"0.01 usd"`; ValueError for anything else."""
        if value == "pass":
            return PASS
        if value == "refuse":
            return REFUSE
        try:
            most = Rate.from_config(value)
        except ValueError:
            raise ValueError(
                f'{value!r} is no rule: write "pass", "refuse", or the most it adds to one call, such as "30 sat" or '
                '"0.01 usd"'
            ) from None
        if most.value > (_MOST_USD if most.usd else MSAT_PER_BTC):
            raise ValueError(f"{value!r} is above 1 btc or 100000 usd, which no field costs; check its unit")
        return cls(taken=True, most=most)


PASS = FieldRule(taken=True)
REFUSE = FieldRule(taken=False)
