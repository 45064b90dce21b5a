"""Owns the shape of `[plugins.policy_price]`."""

from __future__ import annotations

import re

import msgspec

from arbstr_core.api import Amount, Msat

_PROVIDER = re.compile(r"[a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+)?\Z")


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What `balanced` weighs against the cost of a call: what a second until the first token is worth, and what it is
    worth that an attempt does not fail."""

    second: Amount = Amount(Msat(1_000))
    failure: Amount = Amount(Msat(10_000))


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`[plugins.policy_price]`. `pinned` are the providers that the strategy of that name asks first, in order: as
    `stem.instance`, or `stem` for all of a plugin's."""

    balanced: Balance = Balance()
    pinned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.pinned:
            if not _PROVIDER.match(name):
                raise ValueError(
                    f"pinned has {name[:60]!r}, which is no provider; `arbstr providers` lists them, as stem.instance"
                )
        twice = sorted({name for name in self.pinned if self.pinned.count(name) > 1})
        if twice:
            raise ValueError(f"pinned has {', '.join(twice)} twice; take one out")
