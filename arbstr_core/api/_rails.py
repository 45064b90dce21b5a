"""What moves bitcoin: the contract of a wallet rail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from arbstr_core.api._providers import Living
from arbstr_core.types import (
    Deposit,
    Invoice,
    Msat,
    Network,
    NotSupported,
    Payment,
    PaymentTarget,
    RailCapability,
    RailCost,
    RailQuote,
    RailStatus,
    Unit,
)


class WalletRail(Living, ABC):
    """A way to move bitcoin. All amounts are msat; a rail of whole sats says so in `unit`.

    `key` makes a call idempotent: the same key again is the same invoice, payment or deposit, never a second one.
    """

    name: str
    network: Network
    unit: Unit
    capabilities: frozenset[RailCapability] = frozenset()

    @abstractmethod
    async def decode(self, target: str) -> PaymentTarget:
        """Read a destination; raises BadRequest where it is not one this rail pays."""

    @abstractmethod
    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        """The most that paying `amount` to `target` can cost."""

    @abstractmethod
    async def invoice(self, amount: Msat, memo: str, *, key: str) -> Invoice:
        """Ask for `amount`."""

    @abstractmethod
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        """Pay once. `Failed` needs evidence that no money left or will leave; anything else is `Unknown`."""

    @abstractmethod
    async def lookup(self, key: str) -> Payment:
        """What became of the payment with `key`: how `Unknown` ends."""

    @abstractmethod
    def deposits(self, since: str) -> AsyncIterator[Deposit]:
        """Money that came in after the cursor `since` (empty: from the beginning), then what comes in from now on."""

    @abstractmethod
    async def balance(self) -> Msat:
        """What the rail can spend now."""

    @abstractmethod
    async def status(self) -> RailStatus:
        """Whether it can be used. Never raises for a rail that is merely down."""

    async def cancel(self, reference: str) -> None:
        """Take an invoice back; needs the capability `cancel`."""
        raise NotSupported(f"{self.name} cannot cancel an invoice")

    async def receive(self, token: str, *, key: str) -> Deposit:
        """Redeem an ecash token; needs the capability `ecash`."""
        raise NotSupported(f"{self.name} takes no ecash")

    async def reclaim(self, reference: str, *, key: str) -> Deposit:
        """Take back a token nobody claimed; needs the capability `ecash`."""
        raise NotSupported(f"{self.name} issues no ecash")

    async def costs(self, since: str) -> AsyncIterator[RailCost]:
        """Fees the rail paid on its own account after the cursor `since`; none unless overridden."""
        none: tuple[RailCost, ...] = ()
        for cost in none:
            yield cost
