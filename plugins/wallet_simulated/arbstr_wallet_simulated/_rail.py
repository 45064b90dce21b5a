"""Owns the simulated rail: the contract of a wallet rail, over the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator

from arbstr_core.api import (
    BadRequest,
    Clock,
    Deposit,
    Invoice,
    Msat,
    Network,
    Payment,
    PaymentTarget,
    RailCapability,
    RailQuote,
    RailState,
    RailStatus,
    Unit,
    WalletRail,
)
from arbstr_wallet_simulated import _decisions as decisions
from arbstr_wallet_simulated._config import Config
from arbstr_wallet_simulated._journal import Journal
from arbstr_wallet_simulated._texts import read_ecash, read_invoice, read_token

_NEVER_MS = 253_402_300_799_000
"""The end of the year 9999: what does not expire."""


class SimulatedRail(WalletRail):
    """Moves nothing, and remembers it."""

    name = "wallet_simulated"
    network = Network.SIM
    unit = Unit.MSAT
    capabilities = frozenset(RailCapability)

    def __init__(self, config: Config, journal: Journal, clock: Clock) -> None:
        self._config = config
        self._journal = journal
        self._clock = clock

    async def decode(self, target: str) -> PaymentTarget:
        """Read an invoice `sim1...`, or `ecash:AMOUNT_MSAT:NAME`, which asks for a token."""
        ecash = read_ecash(target)
        if ecash is not None:
            amount, reference = ecash
            return PaymentTarget(
                text=target, reference=reference, amount_msat=amount, network=Network.SIM, expires_ms=_NEVER_MS
            )
        said = read_invoice(target)
        if said.expires_ms <= self._clock.now_ms():
            raise BadRequest("the invoice has expired; ask for a new one")
        return PaymentTarget(
            text=target,
            reference=said.payment_hash,
            amount_msat=Msat(said.amount_msat),
            network=Network.SIM,
            expires_ms=said.expires_ms,
            memo=said.memo,
        )

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        """The fee is a share of the amount, known beforehand."""
        _same_amount(target, amount)
        return RailQuote(amount_msat=amount, fee_limit_msat=self._fee(amount))

    async def invoice(self, amount: Msat, memo: str, *, key: str) -> Invoice:
        """Ask for `amount`; the same key again is the first invoice."""
        expires_ms = self._clock.now_ms() + self._config.invoice_seconds * 1000
        book = await self._journal.decide(lambda book: decisions.invoice(book, key, amount, memo, expires_ms))
        return decisions.invoice_of(book, key)

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        """Pay as the script says; what an honest wallet would refuse fails whatever it says."""
        _same_amount(target, amount)
        fee, script, now_ms = self._fee(amount), self._config.script, self._clock.now_ms()
        book = await self._journal.decide(
            lambda book: decisions.pay(
                book, target, key=key, fee=fee, fee_limit=fee_limit, script=script, now_ms=now_ms
            )
        )
        return decisions.payment_of(book, key)

    async def lookup(self, key: str) -> Payment:
        """What became of a payment; of an unknown one the end, and of none that it never will be."""
        book = await self._journal.decide(lambda book: decisions.look(book, key))
        return decisions.payment_of(book, key)

    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        """Invoices paid, in the order in which they were; then it watches the journal."""
        position = _position(since)
        while True:
            book = await self._journal.book()
            while position < len(book.deposits):
                yield decisions.deposit_at(book, position)
                position += 1
            await self._clock.sleep(self._config.poll_ms / 1000)

    async def cancel(self, reference: str) -> None:
        """Take an invoice back; BadRequest where it is paid."""
        await self._journal.decide(lambda book: decisions.cancel(book, reference))

    async def receive(self, token: str, *, key: str) -> Deposit:
        """Redeem a token once."""
        said = read_token(token)
        book = await self._journal.decide(lambda book: decisions.receive(book, key, said.token_id, said.amount_msat))
        return decisions.token_deposit(book, key)

    async def reclaim(self, reference: str, *, key: str) -> Deposit:
        """Take back the token issued to the target `reference`; BadRequest where somebody claimed it."""
        book = await self._journal.decide(lambda book: decisions.reclaim(book, reference, key))
        return decisions.token_deposit(book, key)

    async def balance(self) -> Msat:
        """What can be spent."""
        return Msat((await self._journal.book()).balance_msat)

    async def status(self) -> RailStatus:
        """Always ready."""
        return RailStatus(state=RailState.READY, detail="simulated: no real funds")

    def _fee(self, amount: int) -> Msat:
        return Msat(-(-amount * self._config.fee.ppm // 1_000_000))


def _same_amount(target: PaymentTarget, amount: Msat) -> None:
    if amount != target.amount_msat:
        raise BadRequest(f"the destination asks for {target.amount_msat} msat, not {amount}", param="amount")


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    if not cursor.isdecimal():
        raise BadRequest(f"{cursor!r} is no cursor of this rail")
    return int(cursor)
