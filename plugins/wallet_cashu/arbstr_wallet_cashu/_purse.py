"""Owns the purse: the seed, the book, the mints, and what the jobs of all kinds share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from msgspec.structs import replace

from arbstr_core.api import RailUnavailable, Tools
from arbstr_wallet_cashu._book import Again, Book, Draft
from arbstr_wallet_cashu._coins import Priced, spread
from arbstr_wallet_cashu._config import Config
from arbstr_wallet_cashu._exchange import Exchange, in_order
from arbstr_wallet_cashu._mint import PENDING, SIGNED, STALE_KEYSET, Input, Mint, MintRefused, MintSilent
from arbstr_wallet_cashu._places import Place, Places
from arbstr_wallet_cashu._records import AnyJob, Held, Outputs
from arbstr_wallet_cashu._seed import BadWords, Seed, new_words
from arbstr_wallet_cashu._tokens import Coin

T = TypeVar("T")

_ANEW = 5
_ELSEWHERE = "another process has just done this; ask again"


class Locked(RailUnavailable):
    """The seed is not there, or is another purse's."""


class Purse:
    """What holds the ecash. `open` first."""

    def __init__(self, config: Config, tools: Tools) -> None:
        self.config = config
        self.clock = tools.clock
        self.log = tools.log
        self.book = Book(tools.store)
        self.places = Places(
            [
                Place(name, Mint(mint.url.rstrip("/"), tools.http), tools.store, tools.clock, tools.log)
                for name, mint in config.mints.items()
            ]
        )
        self.running: set[str] = set()
        """names of the jobs that are being done here, now"""
        self._secret = tools.secret
        self._exchange: Exchange | None = None
        self._choosing = {name: asyncio.Lock() for name in config.mints}

    async def open(self) -> Exchange:
        """Find the seed, or make one. Raises Locked."""
        if self._exchange is None:
            seed = await self._seed()
            if not await self.book.store.compare_and_set("identity", None, seed.identity.encode()):
                known = (await self.book.store.get("identity") or b"").decode()
                if known != seed.identity:
                    raise Locked("the seed is not that of this purse: put back the words it was made with")
            self._exchange = Exchange(seed)
        return self._exchange

    @property
    def exchange(self) -> Exchange:
        """What derives and unblinds; the purse is open."""
        assert self._exchange is not None, "the purse is not open"
        return self._exchange

    async def words(self) -> str:
        """The seed as words. Raises Locked."""
        ref = self.config.seed
        if ref is not None:
            found = self._secret(ref)
            if found is None:
                raise Locked(f"the seed of wallet_cashu is not there: nothing is at {ref.ref}")
            return found.reveal()
        kept = await self.book.store.get("seed")
        if kept is None:
            if await self.book.store.get("identity") is not None:
                raise Locked(
                    "this purse's seed is not in the database: say where it is, in [plugins.wallet_cashu] seed"
                )
            await self.book.store.compare_and_set("seed", None, new_words().encode())
            kept = await self.book.store.get("seed")
        assert kept is not None, "the seed was just kept"
        return kept.decode()

    async def _seed(self) -> Seed:
        words = await self.words()
        try:
            return await asyncio.to_thread(Seed, words)
        except BadWords as bad:
            raise Locked(f"the seed of wallet_cashu is none: {bad}") from None

    @asynccontextmanager
    async def doing(self, name: str) -> AsyncIterator[bool]:
        """While a job is being done here; False where it is already."""
        if name in self.running:
            yield False
            return
        self.running.add(name)
        try:
            yield True
        finally:
            self.running.discard(name)

    def choosing(self, place: Place) -> asyncio.Lock:
        """Held while coins are chosen, so that jobs of this process wait for each other instead of trying again."""
        return self._choosing[place.name]

    async def free(self, place: Place) -> dict[str, Held]:
        """The coins at a mint that no job has, by Y."""
        coins = await self.book.coins(place.name)
        return {y: coin for y, coin in coins.items() if not coin.job}

    def priced(self, place: Place, coins: Mapping[str, Held]) -> list[Priced]:
        """Coins as the choice sees them."""
        return [
            Priced(y, coin.amount, place.ppk(coin.keyset), stale=not self._fresh(place, coin.keyset))
            for y, coin in coins.items()
        ]

    @staticmethod
    def _fresh(place: Place, keyset: str) -> bool:
        known = place.keysets.get(keyset)
        return known is None or known.active

    def kinds(self, place: Place, amount: int, coins: Iterable[Held]) -> list[int]:
        """Into which coins to split `amount`, beside those that are there. A mint with a fee gets few coins."""
        have: dict[int, int] = {}
        for coin in coins:
            have[coin.amount] = have.get(coin.amount, 0) + 1
        return spread(amount, have, 0 if place.active().ppk else self.config.coins)

    async def take(self, draft: Draft, place: Place, ys: Sequence[str], job: str) -> None:
        """Give coins to a job. Raises Again where one is not free any more."""
        for y in ys:
            coin = await draft.coin(place.name, y)
            if coin is None or coin.job:
                raise Again
            draft.put(place.name, y, replace(coin, job=job))

    async def release(self, draft: Draft, place: Place, ys: Sequence[str], spent: Iterable[str] = ()) -> None:
        """Let a job's coins go: free again, or forgotten where they were seen spent."""
        gone = set(spent)
        for y in ys:
            coin = await draft.coin(place.name, y)
            if y in gone:
                draft.drop(place.name, y)
            elif coin is not None:
                draft.put(place.name, y, replace(coin, job=""))

    def keep(self, draft: Draft, place: Place, coins: Iterable[Coin]) -> None:
        """Coins that are the purse's from now on."""
        for coin in coins:
            held = Held(keyset=coin.id, amount=coin.amount, secret=coin.secret, C=coin.C)
            draft.put(place.name, coin.y(), held)

    async def inputs(self, place: Place, ys: Sequence[str]) -> list[Input]:
        """A job's coins as the mint takes them. Raises RailUnavailable where somebody has just ended the job."""
        coins = await self.book.coins(place.name)
        if any(y not in coins for y in ys):
            raise RailUnavailable(_ELSEWHERE)
        return [Input(id=coins[y].keyset, amount=coins[y].amount, secret=coins[y].secret, C=coins[y].C) for y in ys]

    async def swapped(
        self, place: Place, name: str, inputs: Sequence[Input], *, again: bool, field: str = "tries"
    ) -> list[Coin]:
        """The coins that a job's swap makes; with new outputs where the mint does not sign the old ones.

        Raises MintRefused where it never will; MintSilent where nobody knows: then it can be done again.
        """
        for _ in range(_ANEW):
            job = await self._open(name)
            try:
                return await self.exchange.swap(place, inputs, getattr(job, field), again=again)
            except MintRefused as refused:
                if refused.code in PENDING:
                    raise MintSilent(f"{place.url} is at it already: {refused}") from None
                if refused.code not in (*STALE_KEYSET, SIGNED):
                    raise
                await self._open(name)
                self.noticed(place, refused)
                await place.refresh()
                await self.book.change(lambda draft: self.anew(draft, place, name, field))
        raise MintSilent(f"{place.url} signs none of {_ANEW} sets of outputs")

    async def _open(self, name: str) -> AnyJob:
        """A job that has not ended. Raises RailUnavailable where another process was faster: then ask again."""
        job = await self.book.job(name)
        if job is None or job.state.ended:
            raise RailUnavailable(_ELSEWHERE)
        return job

    def noticed(self, place: Place, refused: MintRefused) -> None:
        """Outputs that were never made are signed: the mint knows a later purse than this one."""
        if refused.code == SIGNED:
            place.ahead()

    async def anew(self, draft: Draft, place: Place, name: str, field: str = "tries") -> AnyJob:
        """Outputs of the same amounts with new counters, in the keyset in use."""
        job = await draft.job(name)
        if job is None or job.state.ended:
            raise RailUnavailable(_ELSEWHERE)
        tries: tuple[Outputs, ...] = getattr(job, field)
        made: list[Outputs] = []
        for output in tries[-1]:
            made.append(await self.exchange.make(draft, place, [output.amount], space=output.space, lock=output.lock))
        job = replace(job, **{field: (*tries, in_order(*made))})
        draft.keep(name, job)
        return job

    async def quietly(self, place: Place, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns. Raises RailUnavailable where the mint is silent, and notes that it is down; so it does
        for a no that nobody expected."""
        try:
            return await work()
        except MintSilent as silent:
            place.down(silent)
            raise RailUnavailable(f"the mint {place.name} cannot be asked now: {silent}") from None
        except MintRefused as refused:
            raise RailUnavailable(f"the mint {place.name} refuses: {refused}") from None
