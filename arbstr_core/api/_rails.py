"""What moves bitcoin: the contract of a wallet rail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from arbstr_core.api._providers import Living
from arbstr_core.types import (
    BadRequest,
    Deposit,
    Invoice,
    InvoiceTarget,
    Msat,
    Network,
    NotSupported,
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
    TokenFacts,
    Unit,
)


class WalletRail(Living, ABC):
    """A way to move bitcoin. All amounts are msat; a rail of whole sats says so in `unit`.

    A `key` makes a call idempotent: the same key again is the same invoice, payment or deposit, never a second one,
    before and after a restart. Keys are at most 80 characters of `A-Za-z0-9_.:-`. The kernel commits its own intent
    before each call with a key, and comes back with the same key until the end is known: what the rail needs to survive
    a crash between two of its own steps it journals in `tools.store` before the step.

    BadRequest refuses what was given, for good and before anything left; its message names the remedy. RailUnavailable
    says that the rail cannot be asked now. Anything else that `pay` raises, and a cancelled `pay`, is Unknown.
    """

    name: str
    network: Network
    unit: Unit
    capabilities: frozenset[RailCapability] = frozenset()
    invoice_network: Network | None = None
    """What its invoices, and those it pays, are written for, where that is not `network`: a rail that plays at money
    may write mainnet's."""

    @abstractmethod
    async def decode(self, target: str) -> PaymentTarget:
        """Read a destination, offline where that can be. Raises BadRequest where it is not one this rail pays: not
        whole, of another network, without an amount, finer than `unit`, expired."""

    @abstractmethod
    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        """The most that paying `amount` to `target` can cost; moves nothing, and sends no probe.

        Raises BadRequest where `amount` is not the target's, or outside `limits`; RailUnavailable.
        """

    @abstractmethod
    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        """Pay once. `Failed` needs evidence that no money left or will leave; anything else is `Unknown`.

        May return Unknown while the payment is on its way, and need not wait for its end; `lookup` finds that, and
        sends nothing itself. The same key again goes on with the same payment: the rail looks first, and sends again
        only what cannot leave twice; so a sender that was killed and does not know whether it sent may ask again.

        A rail with `fee_limit` never pays more than `fee_limit`, and 0 means no fee at all. A token is durable in the
        rail's own records before it is returned. Never raises for what the other side does.
        """

    @abstractmethod
    async def lookup(self, ref: PaymentRef) -> Payment:
        """What became of a payment: how `Unknown` ends. The same end for ever, once it is one.

        A payment the rail has no record of is Failed only with evidence that it can never start: after that `pay`
        with its key must not pay. No other process has a `pay` for `ref` open when this is called.
        """

    @abstractmethod
    def deposits(self, since: str) -> AsyncIterator[Deposit]:
        """Money that came in after the cursor `since` (empty: from the beginning), then what comes in from now on.

        Every invoice paid, token redeemed, token taken back, once each and in an order that does not change. It ends
        only where the rail is closed: it reconnects by itself, and a clean end of a stream at a node is no end.
        """

    @abstractmethod
    def payments(self, since: str) -> AsyncIterator[Outgoing]:
        """What left, or may leave, after the cursor `since` by the records of the node or the mint; ends at the last.

        With these the ledger is compared, and rebuilt after a backup was restored. Payments that failed are not in it.
        """

    @abstractmethod
    async def balance(self) -> RailBalance:
        """What the rail holds now. Raises RailUnavailable where it cannot be asked."""

    @abstractmethod
    async def status(self) -> RailStatus:
        """Whether it can be used. Never raises for a rail that is merely down, and answers within seconds."""

    async def limits(self) -> RailLimits:
        """What it moves at a time; no limits unless overridden. From memory."""
        return RailLimits()

    async def invoice(self, amount: Msat, memo: str, *, key: str, expires_seconds: int = 3600) -> Invoice:
        """Ask for `amount`; needs the capability `invoice`. Not payable for longer than asked, where the rail can say.

        Raises BadRequest where `amount` is outside `limits` or finer than `unit`, RailUnavailable.
        """
        raise NotSupported(f"{self.name} makes no invoices")

    async def cancel(self, reference: str) -> None:
        """Take an invoice back; needs the capability `cancel`. Once it has returned, nobody can pay it any more.

        Cancelled twice is cancelled. Raises Conflict where it is paid or being paid, RailUnavailable where that is
        not known.
        """
        raise NotSupported(f"{self.name} cannot cancel an invoice")

    async def appraise(self, token: str) -> TokenFacts:
        """Read a token without redeeming it, and without asking a mint that is not in `limits().mints`; needs `ecash`.

        Raises BadRequest where it is malformed, or of a foreign mint or unit, or locked to somebody else.
        """
        raise NotSupported(f"{self.name} takes no ecash")

    async def receive(self, token: str, *, key: str) -> Deposit:
        """Redeem a token; needs `ecash`. Its money is the rail's alone when this returns.

        Raises BadRequest where it never will be (malformed, foreign, spent), RailUnavailable where that is not known:
        then the same key and token again go on with it.
        """
        raise NotSupported(f"{self.name} takes no ecash")

    async def reclaim(self, ref: PaymentRef, *, key: str) -> Deposit:
        """Take back the token that `ref` was paid with; needs `ecash`. Raises Conflict where somebody has claimed it,
        RailUnavailable where that is not known."""
        raise NotSupported(f"{self.name} issues no ecash")

    async def ecash_request(self, amount: Msat, memo: str) -> str:
        """A text by which a wallet knows which token to send (NUT-18), good for the header `X-Cashu` of a 402 (NUT-24);
        needs `ecash`."""
        raise NotSupported(f"{self.name} takes no ecash")

    async def costs(self, since: str) -> AsyncIterator[RailCost]:
        """Fees the rail paid on its own account after the cursor `since`, up to now; none unless overridden.

        What belongs to a payment or a deposit is in its own fee, and not here.
        """
        none: tuple[RailCost, ...] = ()
        for cost in none:
            yield cost


def same_amount(target: PaymentTarget, amount: Msat) -> None:
    """Raises BadRequest where `amount` is not what `target` asks for: the first line of every `quote` and `pay`."""
    if amount != target.amount_msat:
        asks = "the invoice" if isinstance(target, InvoiceTarget) else "the token"
        raise BadRequest(f"{asks} is for {target.amount_msat} msat, not {amount}", param="amount_msat")
