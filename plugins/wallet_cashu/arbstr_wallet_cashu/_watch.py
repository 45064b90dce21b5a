"""Owns what goes on by itself: invoices are asked about, interrupted jobs gone on with, the purse tidied."""

from __future__ import annotations

from arbstr_core.api import ArbstrError, RailUnavailable
from arbstr_wallet_cashu._invoices import PREFIX as INVOICE
from arbstr_wallet_cashu._invoices import Invoices
from arbstr_wallet_cashu._mint import MintRefused, MintSilent
from arbstr_wallet_cashu._places import Health, Place
from arbstr_wallet_cashu._planning import Refusal
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._records import SendJob
from arbstr_wallet_cashu._seed import Space
from arbstr_wallet_cashu._sends import PREFIX as PAY
from arbstr_wallet_cashu._sends import Sends
from arbstr_wallet_cashu._takes import Takes
from arbstr_wallet_cashu._tidying import PREFIX as TIDY
from arbstr_wallet_cashu._tidying import Tidying

_PROBED = 25
_TOKENS = 200
_TIDIES = 20
_AHEAD_SECONDS = 5.0


class Watch:
    """The purse's background work."""

    def __init__(self, purse: Purse, invoices: Invoices, sends: Sends, takes: Takes, tidying: Tidying) -> None:
        self._purse = purse
        self._invoices = invoices
        self._sends = sends
        self._takes = takes
        self._tidying = tidying
        self._tidied_at: float | None = None

    async def run(self) -> None:
        """For as long as the rail lives."""
        clock, config = self._purse.clock, self._purse.config
        while True:
            try:
                await self._purse.open()
                await self.round()
            except ArbstrError as late:
                self._purse.log.info("%s", late)
            await clock.sleep(config.poll_ms / 1000)

    async def round(self) -> None:
        """Everything once."""
        await self._invoices.poll()
        await self.go_on()
        now = self._purse.clock.monotonic()
        if self._tidied_at is None or now - self._tidied_at >= self._pause():
            self._tidied_at = now
            for place in self._purse.places.all:
                await self.look_after(place)

    def _pause(self) -> float:
        """Seconds between two looks. An operator who makes old records new does not wait long for it to be seen."""
        usual = self._purse.config.tidy_seconds
        ahead = any(place.health is Health.AHEAD for place in self._purse.places.all)
        return min(usual, _AHEAD_SECONDS) if ahead else usual

    async def go_on(self) -> None:
        """Go on with every job that was interrupted; payments of invoices end by `lookup` alone."""
        for name in await self._purse.book.open_jobs():
            if name in self._purse.running or name.startswith(INVOICE):
                continue
            try:
                await self._resume(name)
            except (RailUnavailable, MintSilent) as late:
                self._purse.log.info("%s waits: %s", name, late)
            except (ArbstrError, Refusal) as ended:
                self._purse.log.info("%s ended: %s", name, ended)

    async def look_after(self, place: Place) -> None:
        """Read keysets again, see that the purse is as new as the mint, tidy, and see which tokens were claimed."""
        try:
            await place.refresh()
            await self.probe(place)
            if place.health is not Health.READY:
                return
            for _ in range(_TIDIES):
                if not await self._tidying.tidy(place):
                    break
            names = [key.removeprefix("issued/") for key in await self._purse.book.store.scan("issued/")]
            for start in range(0, len(names), _TOKENS):
                await self._sends.look_after(names[start : start + _TOKENS])
        except MintSilent as silent:
            place.down(silent)
        except (MintRefused, RailUnavailable) as late:
            self._purse.log.info("the mint %s: %s", place.name, late)

    async def probe(self, place: Place) -> None:
        """Whether the mint has signed outputs that this purse has not made yet: then its records are old ones. Raises
        MintSilent, RailUnavailable."""
        keyset = place.active().id
        for space in Space:
            first = await self._purse.book.counter(space, keyset)
            ahead = self._purse.exchange.ahead(space, keyset, range(first, first + _PROBED))
            signed = await place.mint.restore(ahead)
            # What a job took meanwhile is no sign: counters are taken before they are used.
            taken = await self._purse.book.counter(space, keyset) - first
            if any(output.B_ in signed for output in ahead[taken:]):
                place.ahead()
                return
        place.settled()

    async def _resume(self, name: str) -> None:
        if name.startswith(TIDY):
            await self._tidying.resume(name)
        elif name.startswith(PAY):
            if isinstance(await self._purse.book.job(name), SendJob):
                await self._sends.resume(name)
        else:
            await self._takes.resume(name)
