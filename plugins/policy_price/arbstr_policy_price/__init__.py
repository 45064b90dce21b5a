"""The strategy that goes by price: cheapest first."""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.api import ChatCall, Manifest, Quote, Standing, Strategy, hookimpl


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`[plugins.policy_price]`: there is nothing to set."""


MANIFEST = Manifest(name="policy_price", api=(1, 0), config=Config)


class Cheapest(Strategy):
    """Orders by what the call is expected to cost, then success rate, time to first token, and name."""

    name = "cheapest"

    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        """(cost in msat, -success, first byte in ms, provider, node, model)."""
        record = standing.of(quote.offer)
        return (quote.cost_msat, -record.success, record.first_byte_ms, *quote.offer.key)


@hookimpl
def arbstr_policies() -> list[Strategy]:
    """One strategy, `cheapest`."""
    return [Cheapest()]
