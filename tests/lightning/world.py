"""The other side of the rail in its conformance suite: our node, everybody who pays it, and everybody it pays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import arbstr_wallet_lnd
from arbstr_wallet_lnd import _lnd_pb2 as pb

from arbstr_core.api import Invoice, InvoiceTarget, Msat, PaymentTarget, WalletRail
from arbstr_core.testing import Ending, KitTools, LoopClock, OtherSide, configure
from lightning.book import FAILED, SUCCEEDED
from lightning.node import FakeLnd, Fault, Way

SEND = "/routerrpc.Router/SendPaymentV2"
CERTIFICATE, MACAROON = "file:tls.cert", "file:arbstr.macaroon"
ENDINGS = tuple(Ending)


class Lightning(OtherSide):
    """One node, where every payment ends in one way."""

    def __init__(self, node: FakeLnd, ending: Ending) -> None:
        self.node = node
        self._ending = ending
        if ending is Ending.FAILED:
            node.default = Way(end="failed", reason=pb.INCORRECT_PAYMENT_DETAILS)
        elif ending in (Ending.UNKNOWN_THEN_PAID, Ending.UNKNOWN_THEN_FAILED):
            node.default = Way(end="held")

    async def asks(self, amount: Msat) -> str:
        """An invoice of somebody else; where replies are lost, the next one is."""
        if self._ending is Ending.REPLY_LOST:
            self.node.faults.append(Fault(SEND, when="after"))
        return self.node.asks(amount)

    async def arrived(self, target: PaymentTarget) -> Msat:
        """What the payee has."""
        assert isinstance(target, InvoiceTarget)
        sent = self.node.book.payments.get(target.reference)
        return Msat(sent.value_msat if sent is not None and sent.status == SUCCEEDED else 0)

    async def pays(self, invoice: Invoice) -> None:
        """Somebody pays ours."""
        await self.node.pays(invoice.reference)

    async def resolve(self) -> None:
        """Everything that is held ends."""
        reason = pb.TIMEOUT if self._ending is Ending.UNKNOWN_THEN_FAILED else None
        for payment_hash, sent in list(self.node.book.payments.items()):
            if sent.status not in (SUCCEEDED, FAILED):
                await self.node.resolve(payment_hash, reason=reason)

    async def cut(self) -> bool:
        """The node loses power."""
        await self.node.die()
        return True

    async def mend(self) -> None:
        """And has it again."""
        await self.node.start()


@asynccontextmanager
async def other(ending: Ending) -> AsyncIterator[Lightning]:
    """The other side, for one test."""
    node = FakeLnd(LoopClock())
    await node.start()
    try:
        yield Lightning(node, ending)
    finally:
        await node.die()


def table(node: FakeLnd, **more: Any) -> dict[str, Any]:
    """`[plugins.wallet_lnd]` for a rail at `node`; None leaves a key out."""
    said = {
        "address": node.address,
        "cert": CERTIFICATE,
        "macaroon": MACAROON,
        "network": node.network,
        "wait_seconds": 0.3,
        **more,
    }
    return {key: value for key, value in said.items() if value is not None}


def secrets_for(node: FakeLnd) -> dict[str, str | bytes]:
    """What the references in `table` point to."""
    return {CERTIFICATE: node.certificate, MACAROON: node.macaroon()}


def rail_at(node: FakeLnd, tools: KitTools, **more: Any) -> WalletRail:
    """The rail that the plugin makes for `node`."""
    (rail,) = arbstr_wallet_lnd.arbstr_wallet_rails(configure(arbstr_wallet_lnd, table(node, **more)), tools)
    return rail
