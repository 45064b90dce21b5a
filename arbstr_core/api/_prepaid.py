"""A provider that is paid beforehand: it keeps some of our money at each of its nodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from arbstr_core.api._providers import Provider
from arbstr_core.types import Bolt11Request, Credited, EcashRequest, FundingDenied, Msat, Network, NodeFunds, Swept


class Prepaid(Provider):
    """A provider that holds our money at its nodes. It asks for money to be moved; the kernel moves it.

    `network` is whose money its nodes take: their offers are sold to agents of that realm alone. Every call with a
    `key` can come again after a crash, and is the same then: what it needs for that it journals in `tools.store`
    before it acts. RailUnavailable says that a node cannot be asked now; any exception is no answer, and never a no.
    """

    network: Network

    @abstractmethod
    async def funds(self) -> Sequence[NodeFunds]:
        """What is at each node, and what it should be. Asked every second; from memory."""

    @abstractmethod
    async def funding(
        self, node: str, amount: Msat, *, key: str, bolt11: bool, mints: Sequence[str]
    ) -> Bolt11Request | EcashRequest:
        """How to bring `amount` to `node`. An invoice is for exactly that amount, and the node credits it to us.

        `bolt11` says that an invoice can be paid, `mints` are those at which ecash can be issued. RailUnavailable says
        why it goes in no way that both sides have.
        """

    @abstractmethod
    async def funded(self, node: str, proof: str, *, key: str) -> Credited | FundingDenied:
        """`funding(key=key)` was done: `proof` is the invoice's preimage (may be empty), or the token. Hands it over,
        and returns once the node has said what became of it."""

    @abstractmethod
    async def sweep(self, node: str, *, key: str) -> Swept | None:
        """Take everything back from `node`; None where there is nothing worth it. The token is in the journal before
        it is returned, and the same for the same key."""

    @abstractmethod
    async def done(self, node: str, *, key: str) -> None:
        """The kernel is done with `key`: it is booked, or nothing will come of it. Its record may go. Known or not."""
