"""Names that stand for more than one model: what the operator wrote, canonical names, and `auto`. None is guessed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from arbstr_core.market._snapshot import ModelRow
from arbstr_core.types import Excluded, Listing, Tier

AUTO = "auto"
_OF_EACH_MODEL = 4
_OF_ALL = 500
"""How many offers `auto` looks at, of those of one model and of all models that can do the same, the cheapest: with
thousands on the market, a choice among all would keep every other call waiting."""
_INPUT_TO_OUTPUT = 3
"""tokens of input for one of output, where nothing is known of the call yet"""

Targets = Mapping[str, Sequence[str]]


def with_canonical(models: Mapping[str, ModelRow]) -> dict[str, ModelRow]:
    """`models`, and those that providers say are known by another name everywhere under that name, too."""
    found: dict[str, list[Listing]] = {}
    for row in models.values():
        for listing in row.listings:
            name = listing.offer.canonical
            if name and name != row.model:
                found.setdefault(name, []).append(listing)
    merged = dict(models)
    for name, listings in found.items():
        there = models.get(name)
        rows = [row for row in (there, ModelRow(model=name, listings=tuple(listings))) if row is not None]
        merged[name] = _merged(name, rows, stands_for=())
    return merged


def aliases(models: Mapping[str, ModelRow], configured: Targets) -> dict[str, ModelRow]:
    """The rows of the names in the configuration, and of `auto` and `auto:TIER`."""
    found = {
        name: _merged(name, _named(models, targets), stands_for=tuple(targets)) for name, targets in configured.items()
    }
    everything = found.get(AUTO)
    if everything is None:
        rows = [_cheapest_of(row, _OF_EACH_MODEL) for row in models.values()]
        everything = _cheapest_of(_merged(AUTO, rows, stands_for=("every model",)), _OF_ALL)
    if everything.listings or everything.out:
        found[AUTO] = everything
        for tier in Tier:
            found.setdefault(f"{AUTO}:{tier}", _of_tier(everything, tier))
    return found


def _named(models: Mapping[str, ModelRow], targets: Iterable[str]) -> Iterator[ModelRow]:
    for name in targets:
        gone = Excluded(provider="-", model=name, reason="nobody offers it now")
        yield models.get(name) or ModelRow(model=name, out=(gone,))


def _merged(name: str, rows: Iterable[ModelRow], *, stands_for: tuple[str, ...]) -> ModelRow:
    """One row of all of them; an offer that is in several is in it once."""
    rows = tuple(rows)
    listings = {listing.offer.key: listing for row in rows for listing in row.listings}
    tiers = frozenset(listing.offer.tier for listing in listings.values())
    return ModelRow(
        model=name,
        listings=tuple(listings.values()),
        out=tuple(dict.fromkeys(out for row in rows for out in row.out)),
        tiers=tiers.union(*(row.tiers for row in rows)),
        stands_for=stands_for,
    )


def _cheapest_of(row: ModelRow, most: int) -> ModelRow:
    """The row with the cheapest offers of those that can do the same, so many of them, and one for longer prompts."""
    if len(row.listings) <= most:
        return row
    alike: dict[object, list[Listing]] = {}
    for listing in sorted(row.listings, key=_blended):
        offer = listing.offer
        alike.setdefault((offer.tier, offer.endpoints, offer.features, offer.prepaid), []).append(listing)
    cheapest = tuple(listing for group in alike.values() for listing in _first_of(group, most))
    return msgspec.structs.replace(row, listings=cheapest)


def _first_of(group: Sequence[Listing], most: int) -> Sequence[Listing]:
    """The cheapest, and where another one takes longer prompts than all of them, the cheapest of the longest."""
    first, roomiest = group[:most], max(group, key=_room)
    return [*first, roomiest] if _room(roomiest) > max(map(_room, first)) else first


def _room(listing: Listing) -> float:
    window = listing.offer.context_window
    return math.inf if window is None else window


def _blended(listing: Listing) -> tuple[int, int, str]:
    price = listing.price
    return _INPUT_TO_OUTPUT * price.input + price.output, price.request, listing.offer.provider


def _of_tier(row: ModelRow, tier: Tier) -> ModelRow:
    return ModelRow(
        model=f"{AUTO}:{tier}",
        listings=tuple(listing for listing in row.listings if listing.offer.tier is tier),
        out=row.out,
        tiers=row.tiers & {tier},
        stands_for=row.stands_for,
    )
