"""Owns the simulated rail: the contract of a wallet rail, over the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from arbstr_core.api import (
    BadRequest,
    Bounds,
    Clock,
    Deposit,
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
    RailLimits,
    RailQuote,
    RailState,
    RailStatus,
    TokenFacts,
    WalletRail,
    same_amount,
)
from arbstr_wallet_simulated import _decisions as decisions
from arbstr_wallet_simulated._config import Config
from arbstr_wallet_simulated._journal import Journal
from arbstr_wallet_simulated._texts import MINT, read_invoice, read_token, write_request

_IDLE_LOOKS = 20
"""How much longer it waits between two looks where no invoice waits to be paid."""


class SimulatedRail(WalletRail):
    """Moves nothing, and remembers it."""

    network = Network.SIM
    capabilities = frozenset(RailCapability)

    def __init__(self, config: Config, journal: Journal, clock: Clock, *, name: str = "wallet_simulated") -> None:
        self.name = name
        self.unit = config.unit
        self._config = config
        self._journal = journal
        self._clock = clock

    async def decode(self, target: str) -> PaymentTarget:
        """Read an invoice `sim1...`."""
        said = read_invoice(target)
        if said.expires_ms <= self._clock.now_ms():
            raise BadRequest("the invoice has expired; ask for a new one")
        self._whole(said.amount_msat)
        return InvoiceTarget(
            text=target,
            reference=said.payment_hash,
            amount_msat=Msat(said.amount_msat),
            network=Network.SIM,
            expires_ms=said.expires_ms,
            memo=said.memo,
            description_hash=said.description_hash,
        )

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        """The fee is a share of the amount, known beforehand."""
        self._payable(target, amount)
        fee = self._fee(amount)
        return RailQuote(amount_msat=amount, fee_limit_msat=fee, expected_fee_msat=fee)

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        """Pay as the script says; what an honest wallet would refuse fails whatever it says."""
        self._payable(target, amount)
        fee, now_ms = self._fee(amount), self._clock.now_ms()
        book = await self._journal.decide(
            lambda book: decisions.pay(
                book, target, key=key, fee=fee, fee_limit=fee_limit, config=self._config, now_ms=now_ms
            )
        )
        return decisions.payment_of(book, key)

    async def lookup(self, ref: PaymentRef) -> Payment:
        """What became of a payment; of an unknown one the end, and of none that it never will be."""
        now_ms = self._clock.now_ms()
        book = await self._journal.decide(
            lambda book: decisions.look(book, ref.key, config=self._config, now_ms=now_ms)
        )
        return decisions.payment_of(book, ref.key)

    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        """Invoices paid and tokens taken, in the order in which they were; then it watches the journal."""
        position = _position(since)
        while True:
            news = self._journal.news
            book = await self._journal.book()
            while position < len(book.deposits):
                yield decisions.deposit_at(book, position)
                position += 1
            # Who pays an invoice writes to a journal of his own. Where nobody was asked for money, nothing comes but
            # what is written here.
            looks = 1 if book.awaits(self._clock.now_ms()) else _IDLE_LOOKS
            await self._wait(news, looks * self._config.poll_ms / 1000)

    async def payments(self, since: str) -> AsyncIterator[Outgoing]:
        """What left or may leave, in the order in which it was sent."""
        book = await self._journal.book()
        for position in range(_position(since), len(book.left)):
            outgoing = decisions.outgoing_at(book, position)
            if outgoing is not None:
                yield outgoing

    async def invoice(self, amount: Msat, memo: str, *, key: str, expires_seconds: int = 3600) -> Invoice:
        """Ask for `amount`; the same key again is the first invoice."""
        self._whole(amount)
        seconds = min(expires_seconds, self._config.invoice_seconds)
        expires_ms = self._clock.now_ms() + seconds * 1000
        book = await self._journal.decide(lambda book: decisions.invoice(book, key, amount, memo, expires_ms))
        return decisions.invoice_of(book, key)

    async def cancel(self, reference: str) -> None:
        """Take an invoice back; Conflict where it is paid."""
        await self._journal.decide(lambda book: decisions.cancel(book, reference))

    async def appraise(self, token: str) -> TokenFacts:
        """Read a token; Nothing here knows whether it is spent."""
        said = read_token(token)
        fee = self._config.redeem_fee.msat
        return TokenFacts(
            reference=said.token_id,
            mint=said.mint,
            amount_msat=Msat(max(0, said.amount_msat - fee)),
            fee_msat=fee,
            locked=bool(said.lock),
        )

    async def receive(self, token: str, *, key: str) -> Deposit:
        """Redeem a token once."""
        said = read_token(token)
        if said.lock:
            raise BadRequest("the token is locked to somebody else, who alone can redeem it")
        fee = self._config.redeem_fee.msat
        book = await self._journal.decide(lambda book: decisions.receive(book, key, said, fee))
        return decisions.token_deposit(book, key)

    async def reclaim(self, ref: PaymentRef, *, key: str) -> Deposit:
        """Take back the token issued for `ref`; Conflict where somebody claimed it."""
        reference, fee = ref.target.reference, self._config.redeem_fee.msat
        book = await self._journal.decide(lambda book: decisions.reclaim(book, reference, key, fee))
        return decisions.token_deposit(book, key)

    async def ecash_request(self, amount: Msat, memo: str) -> str:
        """`simreq...`, which says the amount and the mint."""
        return write_request(amount_msat=amount, memo=memo)

    async def balance(self) -> RailBalance:
        """What can be spent, and what is out for payments that are not known yet."""
        book = await self._journal.book()
        return RailBalance(
            spendable_msat=Msat(book.balance_msat),
            in_flight_msat=Msat(book.in_flight_msat),
            places={MINT: Msat(book.balance_msat)},
        )

    async def limits(self) -> RailLimits:
        """Whole steps of its unit, and its own mint."""
        bounds = Bounds(smallest_msat=Msat(self.unit.step_msat))
        return RailLimits(invoices=bounds, payments=bounds, tokens=bounds, mints=(MINT,))

    async def status(self) -> RailStatus:
        """Always ready."""
        return RailStatus(state=RailState.READY, detail="simulated: no real funds", identity=self.name)

    async def _wait(self, news: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.ensure_future(each) for each in (news.wait(), self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _payable(self, target: PaymentTarget, amount: Msat) -> None:
        same_amount(target, amount)
        self._whole(amount)

    def _whole(self, amount: int) -> None:
        if amount <= 0:
            raise BadRequest(f"{amount} msat is no amount; give one above 0", param="amount_msat")
        if amount % self.unit.step_msat:
            raise BadRequest(f"{amount} msat are no whole sat, and {self.name} moves whole sats", param="amount_msat")

    def _fee(self, amount: int) -> Msat:
        step = self.unit.step_msat
        return Msat(-(-amount * self._config.fee.ppm // (1_000_000 * step)) * step)


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    if not cursor.isdecimal():
        raise BadRequest(f"{cursor!r} is no cursor of this rail")
    return int(cursor)
