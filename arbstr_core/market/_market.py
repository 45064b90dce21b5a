"""Asks providers for their offers, keeps the last good answer with its age, and swaps in a new snapshot."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from arbstr_core.api import Clock, Offer, Prepaid, Provider
from arbstr_core.market._aliases import Targets, aliases, with_canonical
from arbstr_core.market._books import Book, Judge, Judged, picture
from arbstr_core.market._pricing import Pricing
from arbstr_core.market._rates import Rates
from arbstr_core.market._snapshot import ModelRow, Snapshot
from arbstr_core.types import FxRate

_log = logging.getLogger("arbstr.market")

_ASK_SECONDS = 10.0
"""Nobody is served before everybody was asked once, so this is also how long a start may take."""
_LOOK_SECONDS = 1.0
"""How soon what has changed is in the snapshot."""
_MOST_OFFERS = 20_000
"""of one provider"""
_AT_A_TIME = 500
"""How many offers are judged before calls get their turn."""


class Market:
    """The offers of all providers. `snapshot` is replaced whole and never changed.

    `pricing` makes prices of offers with the rate that there is, and `rates` knows that. `targets` are the names that
    stand for several models. `jitter` is from 0 to 1.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        pricing: Callable[[FxRate | str], Pricing],
        rates: Rates,
        clock: Clock,
        *,
        refresh_seconds: float,
        stale_seconds: float,
        targets: Targets | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._providers = tuple(providers)
        self._prepaid = {each.name: each.network for each in providers if isinstance(each, Prepaid)}
        self._pricing = pricing
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._stale_ms = int(stale_seconds * 1000)
        self._targets = targets or {}
        self._jitter = jitter
        self._books: dict[str, Book] = {}
        self._failures: dict[str, str] = {}
        self._changed = False
        self._good_until_ms = 0
        self.rates = rates
        self.snapshot = Snapshot()

    def find(self, name: str) -> ModelRow | None:
        """Who sells a model, or what a name stands for; None where nobody does. Nothing stale, whatever became of the
        work in the background."""
        if self._clock.now_ms() > self._good_until_ms:
            self._swap()
        return self.snapshot.find(name)

    @property
    def failures(self) -> dict[str, str]:
        """Why the last question to a provider went wrong, by its name."""
        return dict(self._failures)

    def remarks(self) -> dict[str, str]:
        """What providers say of parts of themselves, by provider and part."""
        said: dict[str, str] = {}
        for provider in self._providers:
            try:
                said.update((f"{provider.name} {part}", why) for part, why in provider.remarks().items())
            except Exception as broken:  # noqa: BLE001 - one that cannot even say what is wrong hides no other
                said[provider.name] = _said(broken)
        return said

    @property
    def asked_ms(self) -> dict[str, int]:
        """When each provider answered last, Unix time."""
        return {name: book.asked_ms for name, book in self._books.items()}

    async def refresh(self) -> None:
        """Ask everybody once, all at the same time, and swap in what came of it."""
        asked = asyncio.gather(*(self._ask(provider) for provider in self._providers))
        await self.rates.refresh()
        for provider, offers in zip(self._providers, await asked, strict=True):
            if offers is not None:
                self._put(provider.name, await self._judged(provider.name, offers, self._clock.now_ms()))
        await self._judge_again()
        self._swap()

    async def run(self) -> None:
        """Refresh for ever: each provider by itself, so that a slow one keeps nobody waiting, and a little unevenly, so
        that many proxies do not ask in step."""
        async with asyncio.TaskGroup() as loops:
            for provider in self._providers:
                loops.create_task(self._keep_asking(provider))
            if self.rates.renewed:
                loops.create_task(self._keep_rating())
            loops.create_task(self._keep_swapping())

    async def _pause(self) -> None:
        await self._clock.sleep(self._refresh_seconds * (0.9 + 0.2 * self._jitter()))

    async def _keep_asking(self, provider: Provider) -> None:
        while True:
            await self._pause()
            offers = await self._ask(provider)
            if offers is not None:
                self._put(provider.name, await self._judged(provider.name, offers, self._clock.now_ms()))

    async def _keep_rating(self) -> None:
        while True:
            await self._pause()
            await self.rates.refresh()
            await self._judge_again()

    async def _keep_swapping(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            await self._judge_again()
            if self._changed or self._clock.now_ms() > self._good_until_ms:
                self._swap()

    async def _ask(self, provider: Provider) -> Sequence[Offer] | None:
        """What it offers; None where it does not say, which is no reason to forget what it said before."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                offers = tuple(await provider.offers())
        except Exception as broken:  # noqa: BLE001 - a provider that fails keeps its last offers, whatever it raised
            self._failures[provider.name] = _said(broken)
            _log.warning("%s has no offers for us: %s", provider.name, self._failures[provider.name])
            return None
        self._failures.pop(provider.name, None)
        if len(offers) > _MOST_OFFERS:
            self._failures[provider.name] = f"it has {len(offers)} offers; the first {_MOST_OFFERS} are looked at"
        return offers[:_MOST_OFFERS]

    async def _judged(self, name: str, offers: Sequence[Offer], asked_ms: int) -> Book:
        """What a provider said at `asked_ms`, by the rate as it is now; a few at a time: calls get their turn."""
        rate = self.rates.now()
        judge = Judge(name, self._pricing(rate), prepaid=self._prepaid.get(name))
        judged: list[Judged] = []
        for at in range(0, len(offers), _AT_A_TIME):
            judged += map(judge, offers[at : at + _AT_A_TIME])
            await asyncio.sleep(0)
        return Book(asked_ms=asked_ms, rate=rate, offers=offers, judged=tuple(judged))

    async def _judge_again(self) -> None:
        """Judge again what was judged by another rate, or by none."""
        for name, book in tuple(self._books.items()):
            if book.rate != self.rates.now():
                again = await self._judged(name, book.offers, book.asked_ms)
                if self._books[name] is book:
                    self._put(name, again)

    def _put(self, name: str, book: Book) -> None:
        old = self._books.get(name)
        if old is None or old.judged != book.judged or book.asked_ms - old.asked_ms > self._stale_ms:
            self._changed = True
        self._books[name] = book

    def _swap(self) -> None:
        """Make a new snapshot of all books."""
        now = self._clock.now_ms()
        made = picture(self._books, self._failures, now_ms=now, stale_ms=self._stale_ms)
        models = with_canonical(made.models)
        rate = self.rates.now()
        self.snapshot = Snapshot(
            models=models,
            aliases=aliases(models, self._targets),
            as_of_ms=now,
            fx=rate if isinstance(rate, FxRate) else None,
        )
        self._good_until_ms = made.good_until_ms
        self._changed = False


def _said(broken: Exception) -> str:
    if isinstance(broken, TimeoutError):
        return f"no answer within {_ASK_SECONDS:.0f} s"
    return f"{type(broken).__name__}: {broken}"
