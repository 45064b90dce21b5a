"""A rail of another process: what it is called and what it takes is known here, and nothing of it can be asked.

A process that serves calls and holds no wallet writes down what it wants of such a rail, and the treasury answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NoReturn

from arbstr_core.api import (
    Deposit,
    Msat,
    Network,
    Outgoing,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailBalance,
    RailCapability,
    RailQuote,
    RailState,
    RailStatus,
    Unit,
    WalletRail,
)
from arbstr_core.types import RailUnavailable


class Elsewhere(WalletRail):
    """See the module. It makes invoices, as far as anybody here can tell."""

    capabilities = frozenset({RailCapability.INVOICE})

    def __init__(self, name: str, network: Network, unit: Unit) -> None:
        self.name = name
        self.network = network
        self.unit = unit

    async def decode(self, target: str) -> PaymentTarget:
        """Not here."""
        self._refuse()

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        """Not here."""
        self._refuse()

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        """Not here."""
        self._refuse()

    async def lookup(self, ref: PaymentRef) -> Payment:
        """Not here."""
        self._refuse()

    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        """None that anybody here hears of."""
        nothing: tuple[Deposit, ...] = ()
        for deposit in nothing:
            yield deposit

    async def payments(self, since: str) -> AsyncIterator[Outgoing]:
        """The same."""
        nothing: tuple[Outgoing, ...] = ()
        for outgoing in nothing:
            yield outgoing

    async def balance(self) -> RailBalance:
        """Not here."""
        self._refuse()

    async def status(self) -> RailStatus:
        """The treasury knows."""
        return RailStatus(state=RailState.DOWN, detail="the treasury has it, in another process")

    def _refuse(self) -> NoReturn:
        raise RailUnavailable(f"{self.name} is the treasury's, in another process: ask there")
