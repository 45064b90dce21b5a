"""Owns the way back from a lost database: the seed makes every output again, and the mints tell which they signed."""

from __future__ import annotations

from functools import partial

import msgspec

from arbstr_wallet_cashu._book import Draft
from arbstr_wallet_cashu._exchange import Exchange
from arbstr_wallet_cashu._mint import UNSPENT, Signature
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._records import Made, SendJob
from arbstr_wallet_cashu._seed import Space
from arbstr_wallet_cashu._tokens import Coin, Token, read, write

BATCH = 100
GAP = 10
"""Batches in a row that the mint knows nothing of, before it counts as the end: payments that failed leave gaps."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came back from one mint, in sat; `issued` are tokens that nobody has claimed, as text."""

    mint: str
    coins: int
    amount: int
    issued: tuple[str, ...] = ()
    issued_amount: int = 0


class Restoring:
    """Makes the purse anew from its seed, or newer where its records are older than the mints'."""

    def __init__(self, purse: Purse, gap: int = GAP) -> None:
        self._purse = purse
        self._gap = gap

    async def restore(self, place: Place) -> Found:
        """Take every coin that is ours and not in the book; counters go on after the last one that was used. Jobs that
        are open should be gone on with before. Raises MintSilent, RailUnavailable."""
        await place.refresh()
        known = await self._in_use(place)
        coins: list[Coin] = []
        issued: list[Coin] = []
        for keyset in place.keysets:
            for space in Space:
                found, last = await self._scan(place, keyset, space)
                new = [coin for coin in found if coin.y() not in known]
                (coins if space is Space.PURSE else issued).extend(new)
                await self._purse.book.change(partial(_advance, space=space, keyset=keyset, after=last))
        await self._purse.book.change(partial(self._take, place=place, coins=coins))
        token = write(Token(mint=place.url, coins=tuple(issued))) if issued else ""
        return Found(
            mint=place.name,
            coins=len(coins),
            amount=sum(coin.amount for coin in coins),
            issued=(token,) if token else (),
            issued_amount=sum(coin.amount for coin in issued),
        )

    async def _scan(self, place: Place, keyset: str, space: Space) -> tuple[list[Coin], int]:
        """(the coins nobody has spent, the last counter that the mint knows or -1) of a keyset."""
        exchange, found, last, start, empty = self._purse.exchange, [], -1, 0, 0
        while empty < self._gap:
            counters = range(start, start + BATCH)
            outputs = exchange.ahead(space, keyset, counters)
            signed = await place.mint.restore(outputs)
            by_counter = {counters[at]: signed[output.B_] for at, output in enumerate(outputs) if output.B_ in signed}
            found += await self._unspent(place, exchange, space, by_counter)
            last = max(by_counter, default=last)
            empty = 0 if by_counter else empty + 1
            start += BATCH
        return found, last

    async def _unspent(
        self, place: Place, exchange: Exchange, space: Space, signed: dict[int, Signature]
    ) -> list[Coin]:
        made = []
        for counter, signature in signed.items():
            output = Made(keyset=signature.id, counter=counter, amount=signature.amount, space=space)
            made += exchange.coins(place, (output,), [signature])
        states = await place.mint.states([coin.y() for coin in made]) if made else {}
        return [msgspec.structs.replace(coin, dleq=None) for coin in made if states[coin.y()] == UNSPENT]

    async def _in_use(self, place: Place) -> set[str]:
        """Y of every coin in the book, in an open job's outputs, or in a token that was issued."""
        book = self._purse.book
        known = set(await book.coins(place.name))
        for name in await book.open_jobs():
            job = await book.job(name)
            if job is not None and job.mint == place.name:
                for outputs in (*job.tries, *getattr(job, "back", ())):
                    known |= {self._purse.exchange.y(output) for output in outputs}
        for key in await book.store.scan("issued/"):
            job = await book.job(key.removeprefix("issued/"))
            if isinstance(job, SendJob) and job.mint == place.name:
                known |= {coin.y() for coin in read(job.token).coins}
        return known

    async def _take(self, draft: Draft, *, place: Place, coins: list[Coin]) -> None:
        for coin in coins:
            if await draft.coin(place.name, coin.y()) is None:
                self._purse.keep(draft, place, [coin])


async def _advance(draft: Draft, *, space: Space, keyset: str, after: int) -> None:
    first = await draft.count(space, keyset, 0)
    if after >= first:
        await draft.count(space, keyset, after + 1 - first)
