"""Owns the rail: the kernel's contract over the purse. Amounts are msat outside, sat inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from arbstr_core.api import (
    BadRequest,
    Bounds,
    Deposit,
    DepositKind,
    Failed,
    Invoice,
    InvoiceTarget,
    Msat,
    Network,
    Outgoing,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailBalance,
    RailCapability,
    RailCost,
    RailLimits,
    RailQuote,
    RailStatus,
    RailUnavailable,
    TokenFacts,
    Tools,
    Unit,
    Unknown,
    WalletRail,
    read_bolt11,
    same_amount,
)
from arbstr_wallet_cashu._book import COSTS, DEPOSITS, PAYMENTS
from arbstr_wallet_cashu._config import STEM, Config
from arbstr_wallet_cashu._invoices import Invoices
from arbstr_wallet_cashu._judging import Judging
from arbstr_wallet_cashu._keysets import fee as spending_fee
from arbstr_wallet_cashu._melts import Melts
from arbstr_wallet_cashu._mint import MELTING, MINTING
from arbstr_wallet_cashu._outcomes import never, payment_of, target_of
from arbstr_wallet_cashu._planning import Planning, Refusal, Short
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._records import AnyJob, CostLine, DepositLine, MeltJob, PaymentLine, SendJob, State
from arbstr_wallet_cashu._sends import PREFIX, Sends, gone
from arbstr_wallet_cashu._standing import Standing
from arbstr_wallet_cashu._takes import Takes
from arbstr_wallet_cashu._tidying import Tidying
from arbstr_wallet_cashu._tokens import request
from arbstr_wallet_cashu._watch import Watch

_SAT = 1000


class CashuRail(WalletRail):
    """Ecash at the mints of the configuration."""

    name = STEM
    unit = Unit.SAT
    capabilities = frozenset(
        {RailCapability.INVOICE, RailCapability.BOLT11, RailCapability.ECASH, RailCapability.FEE_LIMIT}
    )

    def __init__(self, config: Config, tools: Tools) -> None:
        self.network: Network = config.network
        self.invoice_network = config.invoice_network
        self._config = config
        self._tools = tools
        self.purse = Purse(config, tools)
        self.invoices = Invoices(self.purse)
        self._sends = Sends(self.purse)
        self._judging = Judging(self.purse)
        self._takes = Takes(self.purse, self._judging)
        self._planning = Planning(self.purse)
        self._melts = Melts(self.purse, self._planning)
        self._standing = Standing(self.purse)
        self.watch = Watch(self.purse, self.invoices, self._sends, self._takes, Tidying(self.purse))
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Begin to watch; a mint that is down, or a seed that is not there, is a state and no error."""
        self._tools.tasks.spawn("watch", self._until_closed())

    async def aclose(self) -> None:
        """Stop watching."""
        self._closed.set()

    async def decode(self, target: str) -> PaymentTarget:
        """Read an invoice, offline."""
        try:
            said = read_bolt11(target)
        except ValueError as bad:
            raise BadRequest(f"the destination is no invoice that can be paid: {bad}") from None
        wanted = self._config.invoice_network
        if said.network is not wanted:
            raise BadRequest(f"the invoice is for {said.network}, and this rail pays invoices of {wanted}")
        if said.amount_msat is None:
            raise BadRequest("the invoice names no amount; ask for one that does")
        if said.amount_msat % _SAT or said.amount_msat <= 0:
            raise BadRequest(f"the invoice is for {said.amount_msat} msat, and ecash pays whole sats; ask for another")
        if said.expires_ms <= self.purse.clock.now_ms():
            raise BadRequest("the invoice has expired; ask for a new one")
        return InvoiceTarget(
            text=target.strip(),
            reference=said.payment_hash,
            amount_msat=said.amount_msat,
            network=self.network,
            expires_ms=said.expires_ms,
            memo=said.description,
            description_hash=said.description_hash,
            payee=said.payee,
        )

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        """The mint's fee reserve, and what it takes for the coins."""
        self._check(target, amount)
        await self.purse.open()
        if isinstance(target, InvoiceTarget):
            try:
                plan = await self._planning.plan(target)
            except Short as short:
                raise RailUnavailable(f"this cannot be paid now: {short}") from None
            except Refusal as refusal:
                raise BadRequest(f"no mint can pay this: {refusal}") from None
            return RailQuote(amount_msat=amount, fee_limit_msat=_msat(plan.cost), expected_fee_msat=_msat(plan.cost))
        most, likely = await self._sends.quote(target)
        return RailQuote(amount_msat=amount, fee_limit_msat=_msat(most), expected_fee_msat=_msat(likely))

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        """Have a mint pay an invoice, or issue a token."""
        self._check(target, amount)
        try:
            await self.purse.open()
            if isinstance(target, InvoiceTarget):
                job: AnyJob = await self._melts.pay(target, fee_limit // _SAT, key)
            else:
                job = await self._sends.send(target, fee_limit // _SAT, key)
        except Refusal as refusal:
            job = await self.purse.book.change(partial(never, target=target, key=key, reason=str(refusal)))
        except RailUnavailable as unavailable:
            return Unknown(reason=str(unavailable))
        if target_of(job) != target:
            raise BadRequest(f"the key {key!r} paid another destination before")
        return payment_of(job)

    async def lookup(self, ref: PaymentRef) -> Payment:
        """By the purse's record, and the mint's word where that says more. A key without one never pays."""
        name = PREFIX + ref.key
        job = await self.purse.book.job(name)
        if job is None:
            why = "the purse was never asked to send it, and never will"
            job = await self.purse.book.change(partial(never, target=ref.target, key=ref.key, reason=why))
        if job.state.ended:
            return payment_of(job)
        try:
            await self.purse.open()
            if isinstance(job, MeltJob):
                job = await self._melts.look(name, job)
            elif isinstance(job, SendJob):
                job = await self._sends.resume(name)
        except Refusal:
            job = await self.purse.book.job(name) or job
        except RailUnavailable as unavailable:
            return Unknown(reason=str(unavailable))
        return payment_of(job)

    async def invoice(self, amount: Msat, memo: str, *, key: str, expires_seconds: int = 3600) -> Invoice:
        """An invoice of the first mint that makes one; the mint says until when it can be paid."""
        if amount <= 0 or amount % _SAT:
            raise BadRequest(f"a mint makes invoices for whole sats, and {amount} msat are none", param="amount_msat")
        if amount // _SAT > self._config.largest:
            raise BadRequest(f"at most {self._config.largest} sat are asked for at a time", param="amount_msat")
        await self.purse.open()
        job = await self.invoices.ask(amount // _SAT, memo, key)
        return Invoice(text=job.text, reference=job.reference, amount_msat=amount, expires_ms=job.expires_ms)

    async def appraise(self, token: str) -> TokenFacts:
        """Read a token; of the mints of the configuration, keysets may be asked for."""
        await self.purse.open()
        judged = await self._judging.judge(token)
        return TokenFacts(
            reference=judged.reference,
            mint=self.purse.places.named(judged.mint).url,
            amount_msat=_msat(judged.amount),
            fee_msat=_msat(judged.fee),
            locked=judged.locked,
        )

    async def receive(self, token: str, *, key: str) -> Deposit:
        """Swap a token for coins of our own."""
        await self.purse.open()
        await self._takes.receive(token, key)
        return await self._deposit_of(DepositKind.TOKEN, key)

    async def reclaim(self, ref: PaymentRef, *, key: str) -> Deposit:
        """Swap our own token back, if nobody was faster."""
        await self.purse.open()
        sent = await self.purse.book.job(PREFIX + ref.key)
        if not isinstance(sent, SendJob) or not sent.token:
            raise BadRequest(f"no token was issued for the payment {ref.key!r}")
        await self._takes.reclaim(sent, key)
        await self.purse.book.change(lambda draft: gone(draft, PREFIX + ref.key))
        return await self._deposit_of(DepositKind.RECLAIMED, key)

    async def ecash_request(self, amount: Msat, memo: str) -> str:
        """Asks for a token worth `amount` to us: the fee of redeeming it on top, where a mint takes one."""
        if amount <= 0 or amount % _SAT:
            raise BadRequest(f"a token is worth whole sats, and {amount} msat are none", param="amount_msat")
        ppk = max((place.ppk(keyset) for place in self.purse.places.all for keyset in place.keysets), default=0)
        sat = amount // _SAT
        sat += spending_fee([ppk] * sat.bit_length())
        mints = [place.url for place in self.purse.places.all]
        return request(amount=sat, mints=mints, memo=memo)

    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        """The book's lines of what came in, and those that are written from now on."""
        position = _position(since)
        while not self._closed.is_set():
            for number, line in await self.purse.book.lines(DEPOSITS, DepositLine, position):
                yield _deposit(number, line)
                position = number + 1
            await self._news()

    async def payments(self, since: str) -> AsyncIterator[Outgoing]:
        """The book's lines of what went out, with what is known of each now."""
        for number, line in await self.purse.book.lines(PAYMENTS, PaymentLine, _position(since)):
            job = await self.purse.book.job(line.job)
            if isinstance(job, MeltJob | SendJob) and job.state is not State.FAILED:
                known = payment_of(job)
                assert not isinstance(known, Failed), "a job that has not failed did not fail"
                yield Outgoing(
                    reference=job.target.reference,
                    amount_msat=job.target.amount_msat,
                    payment=known,
                    cursor=str(number + 1),
                    key=job.key,
                )

    async def costs(self, since: str) -> AsyncIterator[RailCost]:
        """What the purse's own swaps cost."""
        for number, line in await self.purse.book.lines(COSTS, CostLine, _position(since)):
            yield RailCost(
                reference=line.reference, amount_msat=_msat(line.amount), reason=line.reason, cursor=str(number + 1)
            )

    async def balance(self) -> RailBalance:
        """The coins in the book, by mint; those that a job has are on their way."""
        places: dict[str, Msat] = {}
        on_the_way = 0
        for place in self.purse.places.all:
            coins = (await self.purse.book.coins(place.name)).values()
            places[place.url] = _msat(sum(coin.amount for coin in coins if not coin.job))
            on_the_way += sum(coin.amount for coin in coins if coin.job)
        return RailBalance(spendable_msat=Msat(sum(places.values())), in_flight_msat=_msat(on_the_way), places=places)

    async def limits(self) -> RailLimits:
        """Whole sats, up to what the configuration says, and what one of the mints takes."""
        tokens = Bounds(smallest_msat=Msat(_SAT), largest_msat=_msat(self._config.largest))
        places = self.purse.places.all
        return RailLimits(
            invoices=self._within([place.info.bounds(MINTING) for place in places]),
            payments=self._within([place.info.bounds(MELTING) for place in places]),
            tokens=tokens,
            mints=tuple(place.url for place in places),
        )

    def _within(self, bounds: Sequence[tuple[int, int | None]]) -> Bounds:
        """What at least one of several mints takes, in sat, and the configuration allows."""
        largest = [self._config.largest if most is None else most for _, most in bounds]
        return Bounds(
            smallest_msat=_msat(max(1, min(least for least, _ in bounds))),
            largest_msat=_msat(min(self._config.largest, max(largest))),
        )

    async def status(self) -> RailStatus:
        """Ready where a mint is. Another mint than before, or records older than the mint's, stop it."""
        return await self._standing.status()

    async def _news(self) -> None:
        """Wait until something may have come in: a change made here, or by another process a moment ago."""
        waits = [
            asyncio.ensure_future(wait)
            for wait in (self.purse.book.heard(), self.purse.clock.sleep(self._config.poll_ms / 1000))
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _until_closed(self) -> None:
        watching = asyncio.ensure_future(self.watch.run())
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((watching, closed), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            for task in (watching, closed):
                task.cancel()
            await asyncio.gather(watching, closed, return_exceptions=True)

    async def _deposit_of(self, kind: DepositKind, key: str) -> Deposit:
        number = await self.purse.book.store.get(f"came/{kind}/{key}")
        assert number is not None, f"{kind} {key} was written down"
        [(at, line), *_] = await self.purse.book.lines(DEPOSITS, DepositLine, int(number))
        return _deposit(at, line)

    def _check(self, target: PaymentTarget, amount: Msat) -> None:
        same_amount(target, amount)
        if target.network is not self.network:
            raise BadRequest(f"the destination is on {target.network}, and this rail's money is on {self.network}")
        if amount <= 0 or amount % _SAT or amount // _SAT > self._config.largest:
            raise BadRequest(
                f"{amount} msat cannot be paid: ecash pays whole sats, at most {self._config.largest}",
                param="amount_msat",
            )


def _deposit(number: int, line: DepositLine) -> Deposit:
    return Deposit(
        reference=line.reference,
        amount_msat=_msat(line.amount),
        kind=DepositKind(line.kind),
        cursor=str(number + 1),
        key=line.key,
        fee_msat=_msat(line.fee),
    )


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit()):
        raise BadRequest(f"{cursor!r} is no cursor of this rail")
    return int(cursor)


def _msat(sat: int) -> Msat:
    return Msat(sat * _SAT)
