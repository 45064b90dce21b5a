"""Owns tokens that go out: coins of ours are swapped for new ones, which are written down before anybody sees them.

New ones always: so what was given away is derived apart, and a purse restored from its seed is exactly what is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from arbstr_core.api import BadRequest, RailUnavailable, TokenTarget
from arbstr_wallet_cashu._book import PAYMENTS, Draft
from arbstr_wallet_cashu._coins import choose, split, worth
from arbstr_wallet_cashu._curve import NotOnCurve, read_point
from arbstr_wallet_cashu._exchange import in_order, without_proof
from arbstr_wallet_cashu._keysets import SAT
from arbstr_wallet_cashu._mint import SPENT, MintRefused
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._planning import Refusal
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._records import AnyJob, Outputs, PaymentLine, SendJob, State
from arbstr_wallet_cashu._seed import Lock, Space
from arbstr_wallet_cashu._tokens import Coin, Token, read, write

PREFIX = "pay:"
_LOCKS = 11
_X_ONLY = 64


class Sends:
    """The purse's outgoing tokens."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse

    async def quote(self, target: TokenTarget) -> tuple[int, int]:
        """(the most, what is likely) the fee of a token can be, in sat. Raises BadRequest, RailUnavailable."""
        place = await self._place(target)
        amount = _sat(target)
        chosen = choose(self._purse.priced(place, await self._purse.free(place)), amount)
        ppk = max((place.ppk(keyset) for keyset in place.keysets), default=0)
        if chosen is None:
            raise RailUnavailable(f"the purse has too little at {place.url} now for a token of {amount} sat")
        cost = sum(coin.amount for coin in chosen) - worth(chosen)
        # Until it is paid other jobs may take some of these coins: then it takes a few more, of smaller kinds.
        return (cost + 1 if ppk else cost), cost

    async def send(self, target: TokenTarget, fee_limit: int, key: str) -> SendJob:
        """Issue a token. Raises Refusal, BadRequest, RailUnavailable; where it was begun, `resume` goes on with it."""
        place = await self._place(target)
        name = PREFIX + key
        async with self._purse.doing(name) as mine:
            if not mine:
                raise RailUnavailable("the token is being made; ask again in a moment")
            async with self._purse.choosing(place):
                job, new = await self._purse.book.change(
                    lambda draft: self._begin(draft, place, name, target, fee_limit)
                )
                return await self._do(name, job, again=not new)

    async def resume(self, name: str) -> SendJob:
        """Go on with one that was interrupted. Raises Refusal, RailUnavailable."""
        async with self._purse.doing(name) as mine:
            job = await self._purse.book.job(name)
            if not mine:
                raise RailUnavailable("the token is being made; ask again in a moment")
            assert job is not None, f"the job {name} was written down"
            return await self._do(name, job, again=True)

    async def look_after(self, names: Sequence[str]) -> int:
        """See which tokens were claimed; how many of them. Raises MintSilent, MintRefused."""
        at: dict[str, dict[str, list[str]]] = {}
        for name in names:
            job = await self._purse.book.job(name)
            if isinstance(job, SendJob) and job.token and not job.gone and self._purse.places.knows(job.mint):
                at.setdefault(job.mint, {})[name] = [coin.y() for coin in read(job.token).coins]
        claimed = 0
        for mint, tokens in at.items():
            states = await self._purse.places.named(mint).mint.states([y for ys in tokens.values() for y in ys])
            for name, ys in tokens.items():
                if all(states[y] == "SPENT" for y in ys):
                    await self._purse.book.change(partial(gone, name=name))
                    claimed += 1
        return claimed

    async def _place(self, target: TokenTarget) -> Place:
        """The mint whose token is wanted, or the first that has enough. Raises BadRequest, RailUnavailable."""
        amount = _sat(target)
        if target.mint:
            place = self._purse.places.at(target.mint)
            if place is None:
                ours = ", ".join(each.url for each in self._purse.places.all)
                raise BadRequest(f"tokens of {target.mint} are not issued here; there are those of {ours}")
            await place.ready()
            self._lock(place, target)
            return place
        why = []
        for place in self._purse.places.all:
            try:
                await place.ready()
                self._lock(place, target)
            except RailUnavailable as unavailable:
                why.append(str(unavailable))
                continue
            if worth(self._purse.priced(place, await self._purse.free(place))) >= amount:
                return place
        for place in self._purse.places.all:
            if place.keysets:
                return place
        raise RailUnavailable("; ".join(why))

    def _lock(self, place: Place, target: TokenTarget) -> Lock | None:
        if not target.lock:
            return None
        if not place.info.supports(_LOCKS):
            raise BadRequest(
                f"the mint {place.url} knows no locks (NUT-11): a locked token of it could be spent by anybody"
            )
        key = target.lock.lower()
        key = "02" + key if len(key) == _X_ONLY else key
        try:
            read_point(key)
        except NotOnCurve:
            raise BadRequest(
                f"the lock {target.lock[:80]!r} is no public key (33 bytes in hex)", param="lock"
            ) from None
        until = -(-target.refund_ms // 1000)
        return Lock(key=key, until=until, refund=self._purse.exchange.seed.identity if until else "")

    async def _begin(
        self, draft: Draft, place: Place, name: str, target: TokenTarget, fee_limit: int
    ) -> tuple[AnyJob, bool]:
        known = await draft.job(name)
        if known is not None:
            return known, False
        job = SendJob(key=name.removeprefix(PREFIX), mint=place.name, target=target)
        job = await self._plan(draft, place, name, job, fee_limit)
        draft.keep(name, job)
        await draft.add(PAYMENTS, PaymentLine(job=name))
        return job, True

    async def _plan(self, draft: Draft, place: Place, name: str, job: SendJob, fee_limit: int) -> SendJob:
        """Choose coins, and what they become. Raises Refusal, where nothing is sent."""
        amount, free = _sat(job.target), await self._purse.free(place)
        chosen = choose(self._purse.priced(place, free), amount)
        if chosen is None:
            have = sum(coin.amount for coin in free.values())
            raise Refusal(f"the purse has {have} sat at {place.url} that it can spend now, and {amount} are to be paid")
        total = sum(coin.amount for coin in chosen)
        cost = total - worth(chosen)
        if cost > fee_limit:
            raise Refusal(f"the mint takes a fee of {cost} sat for this token, and the limit is {fee_limit}")
        ys = [coin.y for coin in chosen]
        await self._purse.take(draft, place, ys, name)
        exchange, lock = self._purse.exchange, self._lock(place, job.target)
        left = [coin for y, coin in free.items() if y not in ys]
        kept = await exchange.make(draft, place, self._purse.kinds(place, total - cost - amount, left))
        sent = await exchange.make(draft, place, split(amount), space=Space.ISSUED, lock=lock)
        return replace(job, coins=tuple(ys), fee=cost, tries=(in_order(kept, sent),))

    async def _do(self, name: str, job: AnyJob, *, again: bool) -> SendJob:
        if not isinstance(job, SendJob):
            raise BadRequest(f"the key {name.removeprefix(PREFIX)!r} paid something else before")
        if job.state is State.FAILED:
            raise Refusal(job.reason)
        if job.state is State.DONE:
            return job
        place = self._purse.places.named(job.mint)
        await place.ready()
        return await self._purse.quietly(place, partial(self._swap, place, name, job, again=again))

    async def _swap(self, place: Place, name: str, job: SendJob, *, again: bool) -> SendJob:
        purse = self._purse
        inputs = await purse.inputs(place, job.coins)
        try:
            coins = await purse.swapped(place, name, inputs, again=again)
        except MintRefused as refused:
            spent: list[str] = []
            if refused.code == SPENT:
                states = await place.mint.states(job.coins)
                spent = [y for y, state in states.items() if state == "SPENT"]
                purse.log.error("%d coins of the purse at %s were spent by somebody else", len(spent), place.url)
            why = f"the mint {place.url} refuses to make the token: {refused}"
            await purse.book.change(lambda draft: self._end(draft, place, name, why, spent))
            raise Refusal(why) from None
        return await purse.book.change(lambda draft: self._done(draft, place, name, coins))

    async def _done(self, draft: Draft, place: Place, name: str, coins: Sequence[Coin]) -> SendJob:
        job = await draft.job(name)
        assert isinstance(job, SendJob), f"{name} sends a token"
        if job.state.ended:
            return job
        given, kept = _apart(job.tries, coins)
        await self._purse.release(draft, place, job.coins, spent=job.coins)
        self._purse.keep(draft, place, kept)
        # Whoever it is locked to can hold it without redeeming it, if it proves itself.
        shown = given if job.target.lock else [without_proof(coin) for coin in given]
        token = write(Token(mint=place.url, coins=tuple(shown), unit=SAT))
        job = replace(job, state=State.DONE, token=token, coins=(), tries=())
        draft.keep(name, job)
        draft.write(f"issued/{name}", 1)
        return job

    async def _end(self, draft: Draft, place: Place, name: str, reason: str, spent: Sequence[str]) -> None:
        job = await draft.job(name)
        if isinstance(job, SendJob) and not job.state.ended:
            await self._purse.release(draft, place, job.coins, spent=spent)
            draft.keep(name, replace(job, state=State.FAILED, reason=reason, coins=(), tries=()))


async def gone(draft: Draft, name: str) -> None:
    """A token is nobody's to take back any more: it was claimed, or taken back."""
    job = await draft.job(name)
    if isinstance(job, SendJob):
        draft.keep(name, replace(job, gone=True))
        draft.write(f"issued/{name}", None)


def _apart(tries: Sequence[Outputs], coins: Sequence[Coin]) -> tuple[list[Coin], list[Coin]]:
    """(given away, kept): by which outputs they were made of. Every try has both in the same order."""
    given: list[Coin] = []
    kept: list[Coin] = []
    for output, coin in zip(tries[-1], coins, strict=True):
        (given if output.space is Space.ISSUED else kept).append(coin)
    return given, kept


def _sat(target: TokenTarget) -> int:
    if target.amount_msat <= 0 or target.amount_msat % 1000:
        raise BadRequest(f"a token is worth whole sats, and {target.amount_msat} msat are none", param="amount_msat")
    return target.amount_msat // 1000
