"""One immutable picture of the market."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arbstr_core.types import Excluded, FxRate, Listing, Tier


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A model, or a name that stands for several, and everything that sells it, or would if it could.

    `tiers` are those of all of them. `stands_for` are the names that an alias was resolved to; none for a model.
    """

    model: str
    listings: tuple[Listing, ...] = ()
    out: tuple[Excluded, ...] = ()
    tiers: frozenset[Tier] = frozenset()
    stands_for: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What all providers offer, by model, and by the names that stand for several. `as_of_ms` is Unix time."""

    models: Mapping[str, ModelRow] = {}
    aliases: Mapping[str, ModelRow] = {}
    as_of_ms: int = 0
    fx: FxRate | None = None
    """by which prices in US dollars became msat"""

    def find(self, name: str) -> ModelRow | None:
        """The row of an alias or a model; None where nobody offers it."""
        return self.aliases.get(name) or self.models.get(name)

    def sellable(self) -> list[ModelRow]:
        """What can be asked for and bought now: the models by name, then the names that stand for several."""
        models = [row for name, row in sorted(self.models.items()) if name not in self.aliases]
        return [row for row in (*models, *(row for _, row in sorted(self.aliases.items()))) if row.listings]
