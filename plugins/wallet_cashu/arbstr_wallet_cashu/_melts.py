"""Owns invoices that a mint pays for us (NUT-05, NUT-08, NUT-23): once each, and failed only on evidence.

A payment whose reply is lost may still be on its way to the mint, whatever the mint says now. It is called failed only
once the mint has answered it, or once its coins were swapped back to us: then it can never be made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from arbstr_core.api import BadRequest, InvoiceTarget, RailUnavailable
from arbstr_wallet_cashu._book import COSTS, PAYMENTS, Draft
from arbstr_wallet_cashu._coins import choose, worth
from arbstr_wallet_cashu._keysets import fee
from arbstr_wallet_cashu._mint import SIGNED, SPENT, STALE_KEYSET, UNSPENT, MeltQuote, MintRefused, MintSilent
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._planning import Plan, Planning, Refusal
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._records import AnyJob, CostLine, MeltJob, PaymentLine, State
from arbstr_wallet_cashu._sends import PREFIX
from arbstr_wallet_cashu._tokens import Coin


class Melts:
    """The purse's outgoing payments."""

    def __init__(self, purse: Purse, planning: Planning) -> None:
        self._purse = purse
        self._planning = planning

    async def pay(self, target: InvoiceTarget, fee_limit: int, key: str) -> MeltJob:
        """Pay an invoice. Raises Refusal where nothing was sent, RailUnavailable; the job says how far it is."""
        name = PREFIX + key
        async with self._purse.doing(name) as mine:
            if not mine:
                raise RailUnavailable("the payment is being made")
            known = await self._purse.book.job(name)
            if known is None:
                await self._not_ours(target)
                plan = await self._planning.plan(target, fee_limit)
                place = self._purse.places.named(plan.place)
                async with self._purse.choosing(place):
                    known, new = await self._purse.book.change(
                        partial(self._begin, place=place, name=name, target=target, plan=plan, most=fee_limit)
                    )
                if new:
                    return await self._melt(place, name)
            return self._mine(name, _there(name, known))

    async def look(self, name: str, job: MeltJob) -> MeltJob:
        """What became of it, by the mint's word; a payment that the mint never got is cancelled. Raises
        RailUnavailable."""
        if job.state.ended:
            return job
        place = self._purse.places.named(job.mint)
        async with self._purse.doing(name) as mine:
            if not mine:
                raise RailUnavailable("the payment is being made")
            await place.ready()
            return await self._purse.quietly(place, partial(self._look, place, name))

    async def _not_ours(self, target: InvoiceTarget) -> None:
        if await self._purse.book.store.get(f"own/{target.reference}") is not None:
            raise Refusal("the invoice is this purse's own")

    @staticmethod
    def _mine(name: str, job: AnyJob) -> MeltJob:
        if not isinstance(job, MeltJob):
            raise BadRequest(f"the key {name.removeprefix(PREFIX)!r} paid something else before")
        return job

    async def _begin(
        self, draft: Draft, *, place: Place, name: str, target: InvoiceTarget, plan: Plan, most: int
    ) -> tuple[AnyJob, bool]:
        known = await draft.job(name)
        if known is not None:
            return known, False
        other = await draft.read(f"paid/{target.reference}")
        if other is not None:
            first = await draft.job(msgspec.json.decode(other))
            if first is not None and first.state is not State.FAILED:
                raise Refusal("the invoice was paid before, under another key")
        free = await self._purse.free(place)
        coins = choose(self._purse.priced(place, free), plan.need)
        if coins is None or (now := replace(plan, coins=tuple(coins))).cost > most:
            raise Refusal("other payments took the coins for it; try again")
        ys = [coin.y for coin in now.coins]
        await self._purse.take(draft, place, ys, name)
        # Room for all that could come back, if the payment itself cost nothing.
        blanks = (worth(now.coins) - target.amount_msat // 1000).bit_length()
        job = MeltJob(
            key=name.removeprefix(PREFIX),
            mint=place.name,
            target=target,
            quote=plan.quote.quote,
            coins=tuple(ys),
            paid_in=now.paid_in,
            tries=(await self._purse.exchange.make(draft, place, [0] * blanks),),
        )
        draft.keep(name, job)
        draft.write(f"paid/{target.reference}", name)
        await draft.add(PAYMENTS, PaymentLine(job=name))
        return job, True

    async def _melt(self, place: Place, name: str) -> MeltJob:
        """Send it, once. Whatever is not a definite answer leaves the job open."""
        try:
            said = await self._sent(place, name)
            return await self._answered(place, name, said, f"the mint answered {said.state}")
        except MintSilent as silent:
            place.down(silent)
        except MintRefused as refused:
            try:
                job = self._mine(name, await self._known(name))
                return await self._answered(place, name, await place.mint.melted(job.quote), str(refused))
            except (MintSilent, MintRefused) as lost:
                self._purse.log.info("the mint %s refused a payment (%s), and then: %s", place.name, refused, lost)
                return await self._seen(name)
        return self._mine(name, await self._known(name))

    async def _sent(self, place: Place, name: str) -> MeltQuote:
        """The mint's answer. Where it signs no change in a keyset any more, it is asked again with another one."""
        job = self._mine(name, await self._known(name))
        inputs = await self._purse.inputs(place, job.coins)
        try:
            return await place.mint.melt(job.quote, inputs, self._purse.exchange.blinded(job.outputs))
        except MintRefused as refused:
            if refused.code not in (*STALE_KEYSET, SIGNED):
                raise
            self._purse.noticed(place, refused)
        await place.refresh()
        job = self._mine(name, await self._purse.book.change(lambda draft: self._purse.anew(draft, place, name)))
        return await place.mint.melt(job.quote, inputs, self._purse.exchange.blinded(job.outputs))

    async def _look(self, place: Place, name: str) -> MeltJob:
        job = self._mine(name, await self._known(name))
        if job.state is State.CANCELLING:
            return await self._cancel(place, name)
        try:
            said = await place.mint.melted(job.quote)
        except MintRefused as refused:
            self._purse.log.warning("the mint %s does not know a payment of ours: %s", place.name, refused)
            said = None
        if said is not None and (job.seen or said.state != "UNPAID"):
            return await self._answered(place, name, said, f"its quote is {said.state}")
        if job.seen or await self._touched(place, job):
            return job
        await self._purse.book.change(partial(self._take_back, place=place, name=name))
        return await self._cancel(place, name)

    async def _answered(self, place: Place, name: str, said: MeltQuote, why: str) -> MeltJob:
        """What the mint says of a payment that it got. Raises MintSilent, MintRefused."""
        job = self._mine(name, await self._known(name))
        if said.state == "PAID":
            change = await self._purse.exchange.change(place, job.outputs, said.change)
            return await self._purse.book.change(
                partial(self._paid, place=place, name=name, change=change, preimage=said.payment_preimage or "")
            )
        if said.state == "UNPAID":
            states = await place.mint.states(job.coins)
            if "PENDING" not in states.values() and UNSPENT in states.values():
                # All of its coins would be spent if it had been made. One that is, is spent by somebody else.
                spent = [y for y, state in states.items() if state != UNSPENT]
                evidence = f"{why}; its quote is UNPAID, and its coins are unspent"
                return await self._purse.book.change(
                    partial(self._failed, place=place, name=name, reason=why, evidence=evidence, spent=spent)
                )
        return await self._seen(name)

    async def _touched(self, place: Place, job: MeltJob) -> bool:
        """Whether the mint is at the coins, or has them."""
        states = await place.mint.states(job.coins)
        return any(state != UNSPENT for state in states.values())

    async def _take_back(self, draft: Draft, *, place: Place, name: str) -> None:
        job = self._mine(name, await self._kept(draft, name))
        if job.state is State.WORKING:
            coins = [await draft.coin(place.name, y) for y in job.coins]
            cost = fee(place.ppk(coin.keyset) for coin in coins if coin is not None)
            amounts = self._purse.kinds(place, job.paid_in - cost, ())
            outputs = await self._purse.exchange.make(draft, place, amounts)
            draft.keep(name, replace(job, state=State.CANCELLING, back=(outputs,), fee=cost))

    async def _cancel(self, place: Place, name: str) -> MeltJob:
        """Swap the coins back to us; where they are spent, the payment was made after all."""
        job = self._mine(name, await self._known(name))
        inputs = await self._purse.inputs(place, job.coins)
        try:
            coins = await self._purse.swapped(place, name, inputs, again=True, field="back")
        except MintRefused as refused:
            if refused.code != SPENT:
                raise MintSilent(f"{place.url} does not take back the coins of a payment: {refused}") from None
            return await self._answered(place, name, await place.mint.melted(job.quote), str(refused))
        return await self._purse.book.change(partial(self._cancelled, place=place, name=name, coins=coins))

    async def _paid(self, draft: Draft, *, place: Place, name: str, change: Sequence[Coin], preimage: str) -> MeltJob:
        job = self._mine(name, await self._kept(draft, name))
        if job.state.ended:
            return job
        await self._purse.release(draft, place, job.coins, spent=job.coins)
        self._purse.keep(draft, place, change)
        cost = job.paid_in - sum(coin.amount for coin in change) - job.target.amount_msat // 1000
        proof = preimage if _opens(preimage, job.target.reference) else ""
        job = replace(job, state=State.DONE, fee=cost, proof=proof, coins=(), tries=(), back=())
        draft.keep(name, job)
        return job

    async def _failed(
        self, draft: Draft, *, place: Place, name: str, reason: str, evidence: str, spent: Sequence[str]
    ) -> MeltJob:
        job = self._mine(name, await self._kept(draft, name))
        if job.state.ended:
            return job
        await self._purse.release(draft, place, job.coins, spent=spent)
        job = _failed_job(job, reason, evidence)
        draft.keep(name, job)
        return job

    async def _cancelled(self, draft: Draft, *, place: Place, name: str, coins: Sequence[Coin]) -> MeltJob:
        job = self._mine(name, await self._kept(draft, name))
        if job.state.ended:
            return job
        await self._purse.release(draft, place, job.coins, spent=job.coins)
        self._purse.keep(draft, place, coins)
        if job.fee:
            reason = "coins of a payment that was never made were swapped back"
            await draft.add(COSTS, CostLine(reference=name, amount=job.fee, reason=reason))
        why = "the mint did not get the payment"
        job = _failed_job(job, why, "its coins were swapped back to the purse, so that it cannot be made any more")
        draft.keep(name, job)
        return job

    async def _seen(self, name: str) -> MeltJob:
        """The mint has the payment: from now on its word on it counts."""

        async def mark(draft: Draft) -> MeltJob:
            job = self._mine(name, await self._kept(draft, name))
            if not job.seen and not job.state.ended:
                job = replace(job, seen=True)
                draft.keep(name, job)
            return job

        return await self._purse.book.change(mark)

    async def _known(self, name: str) -> AnyJob:
        return _there(name, await self._purse.book.job(name))

    @staticmethod
    async def _kept(draft: Draft, name: str) -> AnyJob:
        return _there(name, await draft.job(name))


def _there(name: str, job: AnyJob | None) -> AnyJob:
    assert job is not None, f"the job {name} was written down"
    return job


def _failed_job(job: MeltJob, reason: str, evidence: str) -> MeltJob:
    return replace(job, state=State.FAILED, reason=reason, evidence=evidence, fee=0, coins=(), tries=(), back=())


def _opens(preimage: str, payment_hash: str) -> bool:
    """Whether a preimage is that of the hash: a mint may show something else, or nothing."""
    try:
        return hashlib.sha256(bytes.fromhex(preimage)).hexdigest() == payment_hash
    except ValueError:
        return False
