"""Asks providers for their offers, keeps the last good answer with its age, and swaps in a new snapshot."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from arbstr_core.api import Clock, Offer, Provider
from arbstr_core.market._pricing import Pricing
from arbstr_core.market._snapshot import ModelRow, Snapshot
from arbstr_core.types import Excluded, Listing

_log = logging.getLogger("arbstr.market")

_ASK_SECONDS = 30.0


class Market:
    """The offers of all providers. `snapshot` is replaced whole and never changed."""

    def __init__(
        self,
        providers: Sequence[Provider],
        pricing: Callable[[], Pricing],
        clock: Clock,
        *,
        refresh_seconds: float,
        stale_seconds: float,
    ) -> None:
        self._providers = tuple(providers)
        self._pricing = pricing
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._stale_ms = int(stale_seconds * 1000)
        self._last: dict[str, tuple[int, tuple[Offer, ...]]] = {}
        self._failures: dict[str, str] = {}
        self.snapshot = Snapshot()

    @property
    def failures(self) -> dict[str, str]:
        """Why the last question to a provider went wrong, by provider."""
        return dict(self._failures)

    async def refresh(self) -> None:
        """Ask every provider once, all at the same time, and swap in what came of it."""
        await asyncio.gather(*(self._ask(provider) for provider in self._providers))
        self.snapshot = self._picture()

    async def run(self) -> None:
        """Refresh for ever, a little unevenly so that many proxies do not ask in step."""
        while True:
            await self._clock.sleep(self._refresh_seconds * random.uniform(0.9, 1.1))
            await self.refresh()

    async def _ask(self, provider: Provider) -> None:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                offers = tuple(await provider.offers())
        except Exception as broken:  # noqa: BLE001 - a provider that fails keeps its last offers, whatever it raised
            self._failures[provider.name] = f"{type(broken).__name__}: {broken}"
            _log.warning("%s has no offers for us: %s", provider.name, self._failures[provider.name])
            return
        self._failures.pop(provider.name, None)
        self._last[provider.name] = (self._clock.now_ms(), offers)

    def _picture(self) -> Snapshot:
        pricing = self._pricing()
        now = self._clock.now_ms()
        sold: dict[str, list[Listing]] = {}
        out: dict[str, list[Excluded]] = {}
        for provider, (asked_ms, offers) in self._last.items():
            stale = now - asked_ms > self._stale_ms
            for offer in offers:
                found = self._judge(provider, offer, pricing, stale)
                if isinstance(found, Listing):
                    sold.setdefault(offer.model, []).append(found)
                else:
                    out.setdefault(offer.model, []).append(Excluded(provider=provider, model=offer.model, reason=found))
        return Snapshot(
            models={
                model: ModelRow(model=model, listings=tuple(sold.get(model, ())), out=tuple(out.get(model, ())))
                for model in sold.keys() | out.keys()
            },
            as_of_ms=now,
            fx=pricing.fx,
        )

    def _judge(self, provider: str, offer: Offer, pricing: Pricing, stale: bool) -> Listing | str:
        if offer.provider != provider:
            return f"it says that {offer.provider!r} offers it"
        if stale:
            return f"its price is older than {self._stale_ms // 1000} s: {self._failures.get(provider, 'no answer')}"
        return pricing.listing(offer)
