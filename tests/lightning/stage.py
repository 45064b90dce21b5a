"""A rail in front of our node, with time that passes when a test says so, and a store that outlives the rail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import arbstr_wallet_lnd

from arbstr_core.api import InvoiceTarget, Msat, Payment, PaymentRef, Unknown, WalletRail
from arbstr_core.testing import FakeClock, KitTools, MemoryStore, configure, kit_tools
from lightning.book import SUCCEEDED
from lightning.node import FakeLnd
from lightning.world import SEND, rail_at, secrets_for, table

AMOUNT = 21_000
FEE_LIMIT = Msat(2_000)
T = TypeVar("T")


class Stage:
    """The node, the rail in front of it, and what a test does with both."""

    def __init__(self, node: FakeLnd, clock: FakeClock, table: dict[str, Any]) -> None:
        self.node = node
        self.clock = clock
        self.store = MemoryStore()
        self.secrets = secrets_for(node)
        self.table = table
        self.tools: KitTools
        self.rail: WalletRail

    async def begin(self) -> None:
        """A rail, on what the store has."""
        self.tools = kit_tools(clock=self.clock, store=self.store, secrets=self.secrets)
        self.rail = rail_at(self.node, self.tools, **self.table)
        await self.rail.start()

    async def end(self) -> None:
        """The rail is closed."""
        await self.rail.aclose()
        await self.tools.aclose()

    async def restart(self) -> None:
        """Another rail on the same store."""
        await self.end()
        await self.begin()

    async def target(self, **more: Any) -> InvoiceTarget:
        """Somebody's invoice, decoded."""
        target = await self.rail.decode(self.node.asks(AMOUNT, **more))
        assert isinstance(target, InvoiceTarget)
        return target

    async def pay(self, target: InvoiceTarget, key: str = "pay-1", fee_limit: int = FEE_LIMIT) -> Payment:
        """Pay it."""
        return await self.rail.pay(target, target.amount_msat, fee_limit=Msat(fee_limit), key=key)

    async def look(self, target: InvoiceTarget, key: str = "pay-1") -> Payment:
        """What became of it."""
        return await self.rail.lookup(PaymentRef(key=key, target=target, fee_limit_msat=FEE_LIMIT, sent_ms=1))

    async def found(self, target: InvoiceTarget, key: str = "pay-1") -> Payment:
        """What became of it, once it is known."""
        for _ in range(6_000):
            payment = await self.look(target, key)
            if not isinstance(payment, Unknown):
                return payment
            await asyncio.sleep(0.01)
        raise AssertionError(f"still unknown: {payment}")

    async def found_on_its_way(self, target: InvoiceTarget, key: str = "pay-1") -> bool:
        """True once the node can be asked again, and says that it is."""
        for _ in range(6_000):
            if await self.look(target, key) == Unknown(reason="it is on its way"):
                return True
            await asyncio.sleep(0.01)
        return False

    async def accept_node(self) -> Any:
        """The operator takes the node as it is."""
        made = arbstr_wallet_lnd.arbstr_commands(configure(arbstr_wallet_lnd, table(self.node)), self.tools)
        return await {each.name: each for each in made}["accept-node"].run({})

    def sends(self) -> int:
        """How many requests to pay came in at the node."""
        return len(self.node.sent(SEND))

    def arrived(self, target: InvoiceTarget) -> int:
        """How much the payee has, in msat."""
        sent = self.node.book.payments.get(target.reference)
        return sent.value_msat if sent is not None and sent.status == SUCCEEDED else 0

    def paid(self) -> int:
        """How many payments succeeded at the node."""
        return sum(each.status == SUCCEEDED for each in self.node.book.payments.values())


@asynccontextmanager
async def a_stage(**table: Any) -> AsyncIterator[Stage]:
    """A stage for one test; `table` is more of the rail's configuration."""
    clock = FakeClock()
    node = FakeLnd(clock)
    await node.start()
    stage = Stage(node, clock, table)
    await stage.begin()
    try:
        yield stage
    finally:
        await stage.end()
        await node.die()


def play(scenario: Callable[[Stage], Awaitable[T]], **table: Any) -> T:
    """Run a test's scenario on a stage."""

    async def main() -> T:
        async with a_stage(**table) as stage:
            return await scenario(stage)

    return asyncio.run(main())
