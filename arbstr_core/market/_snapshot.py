"""One immutable picture of the market."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arbstr_core.types import Excluded, FxRate, Listing


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model and everything that sells it, or would if it could."""

    model: str
    listings: tuple[Listing, ...] = ()
    out: tuple[Excluded, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What all providers offer, by model. `as_of_ms` is Unix time in milliseconds."""

    models: Mapping[str, ModelRow] = {}
    as_of_ms: int = 0
    fx: FxRate | None = None
    """by which prices in US dollars became msat"""

    def find(self, model: str) -> ModelRow | None:
        """The row of a model; None where nobody offers it."""
        return self.models.get(model)

    def sellable(self) -> list[ModelRow]:
        """The models that can be bought now, by name."""
        return [row for _, row in sorted(self.models.items()) if row.listings]
