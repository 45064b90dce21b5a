"""What each provider said last, judged offer by offer, and the picture of the market that all of them make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arbstr_core.api import Offer
from arbstr_core.market._pricing import Pricing
from arbstr_core.market._snapshot import ModelRow
from arbstr_core.market._soundness import flaw, is_name
from arbstr_core.types import Excluded, FxRate, Listing, Network, Tier

_MOST_SHOWN = 256


class Judged(msgspec.Struct, frozen=True):
    """One offer: its price in msat, or why nobody can buy it. `said_ms` is when its price was said, 0 where that is
    when the provider was asked; `tier` is None where nothing of it can be believed."""

    model: str
    found: Listing | str
    said_ms: int = 0
    tier: Tier | None = None
    node: str = ""


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider said at `asked_ms`, Unix time, judged by a `rate`, or for want of one."""

    asked_ms: int
    rate: FxRate | str
    offers: Sequence[Offer]
    judged: tuple[Judged, ...]


class Judge:
    """Judges the offers of one provider."""

    def __init__(self, provider: str, pricing: Pricing, *, prepaid: Network | None = None) -> None:
        self._provider = provider
        self._pricing = pricing
        self._prepaid = prepaid
        self._seen: set[tuple[str, str, str]] = set()

    def __call__(self, offer: Any) -> Judged:
        """Never raises, whatever a plugin calls an offer: one bad one costs no other."""
        if not isinstance(offer, Offer):
            return Judged("?", "it is no offer")
        try:
            return self._judged(offer)
        except Exception as bug:  # noqa: BLE001 - what cannot even be looked at is none, and ends no work in the background
            return Judged("?", f"it cannot be read: {type(bug).__name__}")

    def _judged(self, offer: Offer) -> Judged:
        wrong = f"it says that {offer.provider!r} offers it" if offer.provider != self._provider else flaw(offer)
        if not wrong and offer.prepaid is not self._prepaid:
            wrong = f"it says that money of {offer.prepaid} pays it, and its provider's is of {self._prepaid}"
        if wrong:
            return Judged(offer.model if is_name(offer.model) else ascii(offer.model)[:_MOST_SHOWN], wrong)
        if offer.key in self._seen:
            return Judged(offer.model, "it is offered twice", node=offer.node)
        self._seen.add(offer.key)
        return Judged(offer.model, self._pricing.listing(offer), offer.as_of_ms, offer.tier, offer.node)


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The models on the market, and until when none of their prices is stale, Unix time."""

    models: Mapping[str, ModelRow]
    good_until_ms: int


def picture(books: Mapping[str, Book], failures: Mapping[str, str], *, now_ms: int, stale_ms: int) -> Picture:
    """What all `books` say together. What is older than `stale_ms` is out: `failures` says why, by provider."""
    rows: dict[str, _Row] = {}
    oldest = now_ms
    for provider, book in books.items():
        why = failures.get(provider, "it has not been renewed")
        for judged in book.judged:
            row = rows.get(judged.model)
            if row is None:
                row = rows[judged.model] = _Row()
            if judged.tier is not None:
                row.tiers.add(judged.tier)
            if isinstance(judged.found, str):
                row.out.append(Excluded(provider=provider, model=judged.model, reason=judged.found, node=judged.node))
                continue
            said_ms = min(book.asked_ms, judged.said_ms or book.asked_ms)
            if now_ms - said_ms > stale_ms:
                reason = f"its price is older than {stale_ms // 1000} s: {why}"
                row.out.append(Excluded(provider=provider, model=judged.model, reason=reason, node=judged.node))
            else:
                oldest = min(oldest, said_ms)
                row.listings.append(judged.found)
    return Picture(models={model: row.done(model) for model, row in rows.items()}, good_until_ms=oldest + stale_ms)


class _Row:
    """A ModelRow in the making."""

    __slots__ = ("listings", "out", "tiers")

    def __init__(self) -> None:
        self.listings: list[Listing] = []
        self.out: list[Excluded] = []
        self.tiers: set[Tier] = set()

    def done(self, model: str) -> ModelRow:
        return ModelRow(model=model, listings=tuple(self.listings), out=tuple(self.out), tiers=frozenset(self.tiers))
