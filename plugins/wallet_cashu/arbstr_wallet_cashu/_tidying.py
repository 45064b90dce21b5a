"""Owns what the purse does for itself: coins of old keysets become new ones, and many small ones few."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from arbstr_wallet_cashu._book import COSTS, Draft
from arbstr_wallet_cashu._coins import crowded, worth
from arbstr_wallet_cashu._mint import SPENT, MintRefused
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._records import CostLine, State, TidyJob
from arbstr_wallet_cashu._tokens import Coin

PREFIX = "tidy:"
_AT_ONCE = 100


class Tidying:
    """The purse's own swaps."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse

    async def tidy(self, place: Place) -> bool:
        """Swap what should be swapped at a mint, as far as one swap goes; whether there was anything.

        Raises MintSilent, RailUnavailable.
        """
        name = f"{PREFIX}{place.name}:{self._purse.clock.now_ms()}"
        async with self._purse.doing(name) as mine, self._purse.choosing(place):
            if not mine or not await self._purse.book.change(partial(self._begin, place=place, name=name)):
                return False
            await self._swap(place, name, again=False)
        return True

    async def resume(self, name: str) -> None:
        """Go on with one that was interrupted. Raises MintSilent, RailUnavailable."""
        job = await self._purse.book.job(name)
        if isinstance(job, TidyJob):
            place = self._purse.places.named(job.mint)
            await place.ready()
            async with self._purse.doing(name) as mine:
                if mine:
                    await self._swap(place, name, again=True)

    async def _begin(self, draft: Draft, *, place: Place, name: str) -> bool:
        free = await self._purse.free(place)
        config = self._purse.config
        chosen = crowded(self._purse.priced(place, free), config.coins, config.most_coins)[:_AT_ONCE]
        if worth(chosen) <= 0:
            return False
        ys = [coin.y for coin in chosen]
        rest = [coin for y, coin in free.items() if y not in ys]
        amounts = self._purse.kinds(place, worth(chosen), rest)
        if len(amounts) >= len(chosen) and not any(coin.stale for coin in chosen):
            return False
        await self._purse.take(draft, place, ys, name)
        outputs = await self._purse.exchange.make(draft, place, amounts)
        job = TidyJob(
            key=name.removeprefix(PREFIX),
            mint=place.name,
            tries=(outputs,),
            coins=tuple(ys),
            fee=sum(coin.amount for coin in chosen) - worth(chosen),
        )
        draft.keep(name, job)
        return True

    async def _swap(self, place: Place, name: str, *, again: bool) -> None:
        job = await self._purse.book.job(name)
        if not isinstance(job, TidyJob):
            return
        inputs = await self._purse.inputs(place, job.coins)
        try:
            coins = await self._purse.swapped(place, name, inputs, again=again)
        except MintRefused as refused:
            spent: Sequence[str] = ()
            if refused.code == SPENT:
                states = await place.mint.states(job.coins)
                spent = [y for y, state in states.items() if state == "SPENT"]
                self._purse.log.error("%d coins of the purse at %s were spent by somebody else", len(spent), place.url)
            await self._purse.book.change(partial(self._end, place=place, name=name, spent=spent, coins=()))
            return
        await self._purse.book.change(partial(self._end, place=place, name=name, spent=job.coins, coins=coins))

    async def _end(self, draft: Draft, *, place: Place, name: str, spent: Sequence[str], coins: Sequence[Coin]) -> None:
        """Nothing is left of it but what it cost."""
        job = await draft.job(name)
        if not isinstance(job, TidyJob):
            return
        await self._purse.release(draft, place, job.coins, spent=spent)
        self._purse.keep(draft, place, coins)
        if coins and job.fee:
            reason = f"coins at the mint {place.name} were swapped for fewer, or for those of its keyset in use"
            await draft.add(COSTS, CostLine(reference=name, amount=job.fee, reason=reason))
        draft.keep(name, replace(job, state=State.DONE))
        draft.write(f"job/{name}", None)
