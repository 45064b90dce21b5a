"""Owns the LND rail: the contract of a wallet rail, over one node."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable

from arbstr_core.api import (
    BadRequest,
    Deposit,
    Invoice,
    InvoiceTarget,
    Msat,
    Outgoing,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailBalance,
    RailCapability,
    RailQuote,
    RailStatus,
    Tools,
    Unit,
    WalletRail,
    read_bolt11,
    same_amount,
)
from arbstr_wallet_lnd import _calls as calls
from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._channel import Channel
from arbstr_wallet_lnd._config import STEM, Config
from arbstr_wallet_lnd._credentials import Credentials
from arbstr_wallet_lnd._deposits import Deposits
from arbstr_wallet_lnd._errors import NodeError
from arbstr_wallet_lnd._invoices import Invoices
from arbstr_wallet_lnd._journal import Journal
from arbstr_wallet_lnd._node import Node, unavailable
from arbstr_wallet_lnd._outgoing import outgoing
from arbstr_wallet_lnd._payments import Payments
from arbstr_wallet_lnd._pin import Pins

_MSAT = 1_000
_LINK = "lightning:"


class LndRail(WalletRail):
    """Lightning through one LND."""

    name = STEM
    unit = Unit.MSAT
    capabilities = frozenset(
        {RailCapability.INVOICE, RailCapability.BOLT11, RailCapability.CANCEL, RailCapability.FEE_LIMIT}
    )

    def __init__(self, config: Config, tools: Tools, *, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.network = config.network
        self._config = config
        self._clock = tools.clock
        credentials = Credentials(tools, certificate=config.cert, macaroon=config.macaroon)
        self._channel = Channel(
            config.address, credentials, server_name=config.server_name, seconds=config.call_seconds
        )
        pins, self._journal = Pins(tools.store), Journal(tools.store)
        self._node = Node(config, self._channel, credentials, pins, tools.clock)
        self._invoices = Invoices(config, self._channel, self._node, tools.store, tools.clock, random)
        self._deposits = Deposits(self._channel, self._node, self._invoices, tools.store, tools.clock, tools.log)
        self._payments = Payments(config, self._channel, self._node, self._journal, pins, tools.clock, tools.log)

    async def aclose(self) -> None:
        """End the streams and the connection. A payment on its way goes on without them."""
        self._deposits.close()
        await self._channel.aclose()

    async def decode(self, target: str) -> InvoiceTarget:
        """Read an invoice, without the node. Raises BadRequest with the remedy."""
        try:
            said = read_bolt11(target)
        except ValueError as bad:
            raise BadRequest(f"this is no Lightning invoice: {bad}") from None
        if said.network is not self.network:
            raise BadRequest(f"the invoice is on {said.network}, and this rail pays on {self.network}")
        if not said.amount_msat:
            raise BadRequest("the invoice names no amount; ask for one that does")
        if said.expires_ms <= self._clock.now_ms():
            raise BadRequest("the invoice has expired; ask for a new one")
        return InvoiceTarget(
            text=_bare(target),
            reference=said.payment_hash,
            amount_msat=said.amount_msat,
            network=said.network,
            expires_ms=said.expires_ms,
            memo=said.description,
            description_hash=said.description_hash,
            payee=said.payee,
        )

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        """The fee limit of the configuration; what the way will really take is not known before it is gone."""
        same_amount(self._invoice_target(target), amount)
        limit = self._config.fee_limit_of(amount)
        return RailQuote(amount_msat=amount, fee_limit_msat=limit, expected_fee_msat=limit)

    async def invoice(self, amount: Msat, memo: str, *, key: str, expires_seconds: int = 3600) -> Invoice:
        """Ask for `amount`; the same key again is the same invoice."""
        return await self._invoices.invoice(amount, memo, key=key, seconds=expires_seconds)

    async def cancel(self, reference: str) -> None:
        """Take an invoice back."""
        await self._invoices.cancel(reference)

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        """Pay once, within the fee limit."""
        invoice = self._invoice_target(target)
        same_amount(invoice, amount)
        if fee_limit < 0:
            raise BadRequest(f"a fee limit of {fee_limit} msat is below 0")
        said = read_bolt11(invoice.text)
        assert (said.payment_hash, said.amount_msat) == (invoice.reference, amount), (
            "the target is not what its text says"
        )
        return await self._payments.pay(invoice, fee_limit, key)

    async def lookup(self, ref: PaymentRef) -> Payment:
        """What became of a payment."""
        return await self._payments.lookup(ref)

    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        """Invoices paid, by the index the node gave them."""
        async for deposit in self._deposits.after(since):
            yield deposit

    async def payments(self, since: str) -> AsyncIterator[Outgoing]:
        """What left, by the node's own numbers."""
        async for each in outgoing(self._node, self._journal, since):
            yield each

    async def balance(self) -> RailBalance:
        """What the channels hold: on our side, in payments on their way, and in channels that are closing.

        LND says that an invoice is paid a moment before it is on our side, or longer while the peer is away: till then
        it is on its way.
        """
        await self._node.ours()
        try:
            held = await self._channel.call(calls.CHANNEL_BALANCE, pb.ChannelBalanceRequest())
            pending = await self._channel.call(calls.PENDING_CHANNELS, pb.PendingChannelsRequest())
        except NodeError as failed:
            raise unavailable(failed) from None
        return RailBalance(
            spendable_msat=Msat(held.local_balance.msat),
            in_flight_msat=Msat(held.unsettled_remote_balance.msat + held.unsettled_local_balance.msat),
            closing_msat=Msat(pending.total_limbo_balance_sat * _MSAT),
        )

    async def status(self) -> RailStatus:
        """Whether the node is there, unlocked, the right one, whole and synced."""
        return await self._node.status()

    def _invoice_target(self, target: PaymentTarget) -> InvoiceTarget:
        if not isinstance(target, InvoiceTarget):
            raise BadRequest(f"{self.name} pays Lightning invoices, and issues no ecash")
        return target


def _bare(text: str) -> str:
    """The invoice as the node takes it: without what a link puts before it."""
    bare = text.strip()
    return bare[len(_LINK) :] if bare[: len(_LINK)].lower() == _LINK else bare
