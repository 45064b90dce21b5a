"""Owns tokens that come in: they are swapped for coins of our own at once.

Also our own tokens that nobody claimed: they are taken back the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from arbstr_core.api import BadRequest, Conflict, DepositKind, RailUnavailable
from arbstr_wallet_cashu._book import DEPOSITS, Draft
from arbstr_wallet_cashu._exchange import spending
from arbstr_wallet_cashu._judging import Judged, Judging
from arbstr_wallet_cashu._keysets import fee
from arbstr_wallet_cashu._mint import SPENT, MintRefused
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._records import AnyJob, DepositLine, SendJob, State, TakeJob
from arbstr_wallet_cashu._tokens import Coin, read, reference

RECEIVE, RECLAIM = "receive:", "reclaim:"


class Takes:
    """The purse's incoming tokens."""

    def __init__(self, purse: Purse, judging: Judging) -> None:
        self._purse = purse
        self._judging = judging

    async def receive(self, text: str, key: str) -> TakeJob:
        """Redeem a token. Raises BadRequest, RailUnavailable."""
        name = RECEIVE + key
        known = await self._purse.book.job(name)
        if known is None:
            judged = await self._judging.judge(text)
            return await self._first(name, key, judged, None)
        if not isinstance(known, TakeJob) or known.reference != reference(read(text).coins):
            raise BadRequest(f"the key {key!r} redeemed another token before")
        return await self._go_on(name, known)

    async def reclaim(self, sent: SendJob, key: str) -> TakeJob:
        """Take back a token of ours. Raises Conflict where somebody has it, RailUnavailable."""
        name = RECLAIM + key
        known = await self._purse.book.job(name)
        if known is None:
            place = self._purse.places.named(sent.mint)
            await place.ready()
            judged = await self._purse.quietly(place, lambda: self._left(place, sent))
            return await self._first(name, key, judged, sent)
        if not isinstance(known, TakeJob) or known.of != sent.key:
            raise BadRequest(f"the key {key!r} took back another token before")
        return await self._go_on(name, known)

    async def resume(self, name: str) -> None:
        """Go on with one that was interrupted. Raises BadRequest, Conflict, RailUnavailable."""
        known = await self._purse.book.job(name)
        if isinstance(known, TakeJob):
            await self._go_on(name, known)

    async def _first(self, name: str, key: str, judged: Judged, sent: SendJob | None) -> TakeJob:
        """Write a job down, and do it: nobody asked the mint for it before, unless somebody was faster."""
        async with self._purse.doing(name) as mine:
            if not mine:
                raise RailUnavailable("the token is being redeemed; ask again in a moment")
            job, new = await self._purse.book.change(lambda draft: self._begin(draft, name, key, judged, sent))
            return await self._do(name, job, again=not new)

    async def _begin(
        self, draft: Draft, name: str, key: str, judged: Judged, sent: SendJob | None
    ) -> tuple[AnyJob, bool]:
        known = await draft.job(name)
        if known is not None:
            return known, False
        other = await draft.read(f"took/{judged.reference}")
        if other is not None and sent is None:
            first = await draft.job(RECEIVE + msgspec.json.decode(other))
            if first is not None and first.state is not State.FAILED:
                raise BadRequest("the token was redeemed before")
        place = self._purse.places.named(judged.mint)
        coins = await self._purse.book.coins(place.name)
        outputs = await self._purse.exchange.make(draft, place, self._purse.kinds(place, judged.amount, coins.values()))
        job = TakeJob(
            key=key,
            mint=judged.mint,
            tries=(outputs,),
            reference=judged.reference,
            coins=judged.coins,
            witnesses=judged.witnesses if judged.locked else (),
            amount=judged.amount,
            fee=judged.fee,
            of="" if sent is None else sent.key,
            since_ms=self._purse.clock.now_ms(),
        )
        draft.keep(name, job)
        if sent is None:
            draft.write(f"took/{judged.reference}", key)
        return job, True

    async def _go_on(self, name: str, job: AnyJob) -> TakeJob:
        """Do what is left of a job, which the mint may have done already."""
        async with self._purse.doing(name) as mine:
            if not mine:
                raise RailUnavailable("the token is being redeemed; ask again in a moment")
            return await self._do(name, job, again=True)

    async def _do(self, name: str, job: AnyJob, *, again: bool) -> TakeJob:
        assert isinstance(job, TakeJob), f"{name} takes a token"
        if job.state is State.WORKING:
            place = self._purse.places.named(job.mint)
            await place.ready()
            job = await self._purse.quietly(place, partial(self._swap, place, name, job, again=again))
        if job.state is State.FAILED:
            raise (Conflict if job.of else BadRequest)(job.reason)
        return job

    async def _swap(self, place: Place, name: str, job: TakeJob, *, again: bool) -> TakeJob:
        inputs = spending(job.coins, job.witnesses)
        try:
            coins = await self._purse.swapped(place, name, inputs, again=again)
        except MintRefused as refused:
            said = "was claimed" if job.of else "is spent: somebody redeemed it before"
            why = f"the token {said}" if refused.code == SPENT else f"the mint {place.url} refuses the token: {refused}"
            return await self._purse.book.change(lambda draft: self._end(draft, name, why))
        return await self._purse.book.change(lambda draft: self._done(draft, place, name, coins))

    async def _done(self, draft: Draft, place: Place, name: str, coins: Sequence[Coin]) -> TakeJob:
        job = await draft.job(name)
        assert isinstance(job, TakeJob), f"{name} takes a token"
        if job.state.ended:
            return job
        self._purse.keep(draft, place, coins)
        kind = DepositKind.RECLAIMED if job.of else DepositKind.TOKEN
        line = DepositLine(reference=job.reference, amount=job.amount, kind=kind.value, key=job.key, fee=job.fee)
        await draft.add(DEPOSITS, line)
        return self._ended(draft, name, replace(job, state=State.DONE))

    async def _end(self, draft: Draft, name: str, reason: str) -> TakeJob:
        job = await draft.job(name)
        assert isinstance(job, TakeJob), f"{name} takes a token"
        return job if job.state.ended else self._ended(draft, name, replace(job, state=State.FAILED, reason=reason))

    @staticmethod
    def _ended(draft: Draft, name: str, job: TakeJob) -> TakeJob:
        """What is left of a job once its coins are spent: how it ended."""
        job = replace(job, coins=(), witnesses=(), tries=())
        draft.keep(name, job)
        return job

    async def _left(self, place: Place, sent: SendJob) -> Judged:
        """What nobody has claimed of a token of ours. Raises Conflict, RailUnavailable, MintSilent."""
        coins = await self._judging.whole(place, read(sent.token).coins)
        states = await place.mint.states([coin.y() for coin in coins])
        if "PENDING" in states.values():
            raise RailUnavailable("somebody is claiming the token right now; ask again in a moment")
        left = tuple(coin for coin in coins if states[coin.y()] == "UNSPENT")
        if not left:
            raise Conflict("the token was claimed")
        target = sent.target
        if target.lock and not target.refund_ms:
            raise Conflict("the token is locked for good to whom it was made for, and cannot be taken back")
        if target.lock and self._purse.clock.now_ms() <= target.refund_ms:
            raise RailUnavailable(
                f"the token is locked until {target.refund_ms} (Unix, ms), and can be taken back then"
            )
        cost = fee(place.ppk(coin.id) for coin in left)
        total = sum(coin.amount for coin in left)
        if total <= cost:
            raise Conflict(f"{total} sat are left of the token, and taking them back costs {cost}")
        return Judged(
            mint=place.name,
            reference=reference(left),
            coins=tuple(replace(coin, dleq=None) for coin in left),
            witnesses=tuple(self._judging.witness(coin) for coin in left),
            amount=total - cost,
            fee=cost,
            locked=bool(target.lock),
        )
