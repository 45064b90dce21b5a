"""Owns invoices of the mints for us (NUT-04, NUT-20, NUT-23): asking for them, and having coins once they are paid."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from arbstr_core.api import BadRequest, DepositKind, RailUnavailable, read_bolt11
from arbstr_wallet_cashu._book import DEPOSITS, Draft
from arbstr_wallet_cashu._curve import public_of
from arbstr_wallet_cashu._mint import ISSUED, MINTING, PENDING, SIGNED, STALE_KEYSET, MintQuote, MintRefused, MintSilent
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._records import DepositLine, InvoiceJob, State
from arbstr_wallet_cashu._tokens import Coin

PREFIX = "invoice:"
_SIGNED_QUOTES, _BATCHES = 20, 29
_MOST_MEMO = 600
_LATE_MS = 24 * 3600 * 1000
"""An invoice that has expired is asked about for so long: it may have been paid in its last second."""
_BATCH = 100
_SLOWEST_SECONDS = 60.0
_AGE_SHARE = 20
_ANEW = 5


class Invoices:
    """The purse's invoices."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._due: dict[str, float] = {}

    async def ask(self, amount: int, memo: str, key: str) -> InvoiceJob:
        """An invoice for `amount` sat; the same for the same key. Raises BadRequest, RailUnavailable."""
        name = PREFIX + key
        known = await self._purse.book.job(name)
        if known is None:
            made = await self._new(amount, memo, key)
            known = await self._purse.book.change(lambda draft: self._write(draft, name, made))
        assert isinstance(known, InvoiceJob), f"{name} is an invoice"
        if known.amount != amount:
            raise BadRequest(f"the key {key!r} asked for {known.amount} sat before, not {amount}")
        return known

    async def poll(self, *, all_now: bool = False) -> None:
        """Ask the mints about the invoices that are due, and take the coins of those that are paid."""
        purse, now = self._purse, self._purse.clock.monotonic()
        waiting: dict[str, list[InvoiceJob]] = {}
        names = await purse.book.open_jobs(PREFIX)
        self._due = {name: self._due.get(name, 0.0) for name in names}
        for name in names:
            if all_now or self._due[name] <= now:
                job = await purse.book.job(name)
                if isinstance(job, InvoiceJob) and purse.places.knows(job.mint):
                    waiting.setdefault(job.mint, []).append(job)
        for mint, jobs in waiting.items():
            await self._poll(purse.places.named(mint), jobs, now)

    async def collect(self, job: InvoiceJob, said: MintQuote) -> None:
        """Take the coins of an invoice, if its quote says that it is paid. Raises MintSilent: then again."""
        name = PREFIX + job.key
        place = self._purse.places.named(job.mint)
        if said.state == "UNPAID" and job.state is State.OPEN:
            if job.expires_ms + _LATE_MS < self._purse.clock.now_ms():
                await self._purse.book.change(partial(self._end, name=name, reason="nobody paid it in time"))
            return
        async with self._purse.doing(name) as mine:
            if mine:
                again = job.state is State.WORKING
                if not again:
                    await self._purse.book.change(lambda draft: self._begin(draft, place, name))
                await self._mint(place, name, again=again)

    async def look_again(self) -> int:
        """Open every invoice again that was given up unpaid; how many. For `check`: a mint may be paid late."""
        found = 0
        for key in await self._purse.book.store.scan(f"job/{PREFIX}"):
            found += await self._purse.book.change(partial(self._reopen, name=key.removeprefix("job/")))
        return found

    async def _new(self, amount: int, memo: str, key: str) -> InvoiceJob:
        why: list[str] = []
        for place in self._purse.places.all:
            try:
                await place.ready()
                if not place.info.supports(MINTING):
                    raise RailUnavailable(f"the mint {place.name} makes no invoices")
                return await self._purse.quietly(place, partial(self._quote, place, amount, memo, key))
            except RailUnavailable as unavailable:
                why.append(str(unavailable))
        raise RailUnavailable("; ".join(why))

    async def _quote(self, place: Place, amount: int, memo: str, key: str) -> InvoiceJob:
        """Ask a mint, and check that the invoice is what was asked for: a payer cannot see that."""
        signed = place.info.supports(_SIGNED_QUOTES)
        public = public_of(self._purse.exchange.seed.quote_key(key)) if signed else ""
        quote = await place.mint.quote_mint(amount, _memo(place, memo), public)
        try:
            said = read_bolt11(quote.request)
        except ValueError as bad:
            raise MintSilent(f"{place.url} made an invoice that is none: {bad}") from None
        network = self._purse.config.invoice_network
        if said.amount_msat != amount * 1000 or said.network is not network:
            asked = f"not {amount} sat on {network}"
            raise MintSilent(f"{place.url} made an invoice for {said.amount_msat} msat on {said.network}, {asked}")
        return InvoiceJob(
            key=key,
            mint=place.name,
            state=State.OPEN,
            quote=quote.quote,
            text=quote.request,
            reference=said.payment_hash,
            amount=amount,
            expires_ms=said.expires_ms,
            signed=signed,
            since_ms=self._purse.clock.now_ms(),
        )

    async def _write(self, draft: Draft, name: str, made: InvoiceJob) -> InvoiceJob:
        known = await draft.job(name)
        if isinstance(known, InvoiceJob):
            return known
        draft.keep(name, made)
        draft.write(f"own/{made.reference}", made.key)
        return made

    async def _poll(self, place: Place, jobs: Sequence[InvoiceJob], now: float) -> None:
        try:
            await place.ready()
            states = await self._states(place, jobs)
            for job in jobs:
                if (said := states.get(job.quote)) is not None:
                    await self.collect(job, said)
        except MintSilent as silent:
            place.down(silent)
        except RailUnavailable as unavailable:
            self._purse.log.info("%s", unavailable)
        for job in jobs:
            age = max(0, self._purse.clock.now_ms() - job.since_ms) / 1000
            wait = min(_SLOWEST_SECONDS, max(self._purse.config.poll_ms / 1000, age / _AGE_SHARE))
            self._due[PREFIX + job.key] = now + wait

    async def _states(self, place: Place, jobs: Sequence[InvoiceJob]) -> dict[str, MintQuote]:
        """What the mint says of quotes, in one call where it can (NUT-29)."""
        found: dict[str, MintQuote] = {}
        for start in range(0, len(jobs), _BATCH):
            part = [job.quote for job in jobs[start : start + _BATCH]]
            rows: list[MintQuote] = []
            if len(part) > 1 and place.info.supports(_BATCHES):
                try:
                    rows = await place.mint.all_minted(part)
                except MintRefused as refused:
                    self._purse.log.info(
                        "the mint %s does not know all of %d quotes: %s", place.name, len(part), refused
                    )
            for row in rows or [row for quote in part if (row := await self._state(place, quote)) is not None]:
                found[row.quote] = row
        return found

    async def _state(self, place: Place, quote: str) -> MintQuote | None:
        try:
            return await place.mint.minted(quote)
        except MintRefused as refused:
            self._purse.log.warning("the mint %s does not know its quote %s any more: %s", place.name, quote, refused)
            return None

    async def _begin(self, draft: Draft, place: Place, name: str) -> None:
        job = await draft.job(name)
        if isinstance(job, InvoiceJob) and job.state is State.OPEN:
            coins = await self._purse.book.coins(place.name)
            amounts = self._purse.kinds(place, job.amount, coins.values())
            outputs = await self._purse.exchange.make(draft, place, amounts)
            draft.keep(name, replace(job, state=State.WORKING, tries=(outputs,)))

    async def _mint(self, place: Place, name: str, *, again: bool) -> None:
        purse = self._purse
        for _ in range(_ANEW):
            job = await purse.book.job(name)
            if not isinstance(job, InvoiceJob) or job.state is not State.WORKING:
                return
            key = purse.exchange.seed.quote_key(job.key) if job.signed else None
            try:
                coins = await purse.exchange.mint(place, job.quote, job.outputs, key, again=again)
            except MintRefused as refused:
                if refused.code == ISSUED:
                    lost = f"the mint has given its coins to somebody else: {refused}"
                    await purse.book.change(partial(self._end, name=name, reason=lost))
                    purse.log.error("the invoice %s is paid, and %s", job.reference, lost)
                    return
                if refused.code not in (*STALE_KEYSET, SIGNED):
                    late = "is at it already" if refused.code in PENDING else "does not sign for a quote that is paid"
                    raise MintSilent(f"{place.url} {late}: {refused}") from None
                purse.noticed(place, refused)
                await place.refresh()
                await purse.book.change(lambda draft: purse.anew(draft, place, name))
                continue
            await purse.book.change(partial(self._done, place=place, name=name, coins=coins))
            return

    async def _done(self, draft: Draft, *, place: Place, name: str, coins: Sequence[Coin]) -> None:
        job = await draft.job(name)
        if isinstance(job, InvoiceJob) and job.state is State.WORKING:
            self._purse.keep(draft, place, coins)
            line = DepositLine(reference=job.reference, amount=job.amount, kind=DepositKind.INVOICE.value, key=job.key)
            await draft.add(DEPOSITS, line)
            draft.keep(name, replace(job, state=State.DONE))

    async def _end(self, draft: Draft, *, name: str, reason: str) -> None:
        job = await draft.job(name)
        if isinstance(job, InvoiceJob) and not job.state.ended:
            draft.keep(name, replace(job, state=State.FAILED, reason=reason))

    async def _reopen(self, draft: Draft, *, name: str) -> int:
        job = await draft.job(name)
        if not isinstance(job, InvoiceJob) or job.state is not State.FAILED or job.tries:
            return 0
        draft.keep(name, replace(job, state=State.OPEN))
        return 1


def _memo(place: Place, memo: str) -> str:
    """The memo, where the mint writes it into invoices."""
    writes = any((row.get("options") or {}).get("description") for row in place.info.method(MINTING))
    return memo.encode()[:_MOST_MEMO].decode(errors="ignore") if writes else ""
