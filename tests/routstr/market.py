"""A served arbstr that buys at nodes, with real ecash on both sides; and what must be true of it at rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbstr_wallet_cashu._nutshell import Nutshell
from house import Served, Setup, serving, until, write
from mints import outstanding
from purses import Wallet, wallet

from routstr.node import SAT, Node

PLUGINS = ("providers_routstr", "policy_price", "wallet_cashu")


def setup(folder: Path, mint: Nutshell, *nodes: Node, more: str = "", tables: str = "") -> Setup:
    """A configuration that buys at these nodes with ecash of this mint."""
    urls = ", ".join(f'"{node.url}"' for node in nodes)
    return write(
        folder,
        f"""
[market]
refresh_seconds = 1
[vault]
check_seconds = 1
[dispatch.breaker]
open_seconds = 0.01
most_open_seconds = 0.01
[plugins.wallet_cashu]
network = "regtest"
invoices = "mainnet"
poll_ms = 50
[plugins.wallet_cashu.mints.home]
url = "{mint.url}"
[plugins.providers_routstr]
network = "regtest"
nodes = [{urls}]
pay = ["ecash"]
poll_seconds = 1
{more}
{tables}
""",
        plugins=PLUGINS,
    )


@dataclass
class Market:
    """What a test has in hand."""

    served: Served
    mint: Nutshell
    nodes: Sequence[Node]
    purses: Sequence[Wallet]
    before: int
    """what the mint owed before"""
    capital: int = 0

    async def brings(self, sat: int) -> None:
        """The operator's own money comes in: to the mint's invoice, which is paid by itself."""
        new = {"amount_msat": sat * SAT, "realm": "regtest"}
        answer = await self.served.admin.post("/admin/deposits", json=new)
        assert answer.is_success, answer.text
        self.capital += sat * SAT

        async def there() -> bool:
            return self.ledger().get("equity:operator", 0) >= sat * SAT

        await until(there, 60)

    async def agent(self, sat: int = 1_000) -> dict[str, Any]:
        """An agent with so much of that."""
        return await self.served.agent(fund=sat * SAT, realm="regtest")

    async def command(self, name: str, **given: str) -> Any:
        """A command of the plugin."""
        answer = await self.served.admin.post(f"/admin/plugins/providers_routstr/{name}", json=given)
        assert answer.is_success, answer.text
        return answer.json()

    def prepaid(self, node: Node) -> str:
        """The account of what lies at a node."""
        return f"asset:prepaid:providers_routstr/{node.name}"

    def ledger(self) -> dict[str, int]:
        """Every account that has anything, msat."""
        query = (
            "SELECT a.name, sum(CASE WHEN (e.side = 'debit') = (a.kind IN ('asset', 'cost', 'clearing')) "
            "THEN e.amount_msat ELSE -e.amount_msat END) FROM entry e JOIN account a ON a.id = e.account_id GROUP BY 1"
        )
        return {name: msat for name, msat in self.served.setup.rows(query) if msat}

    async def purse(self) -> int:
        """What our rail can spend, msat, once nothing of it is on its way."""

        async def resting() -> dict[str, Any] | None:
            found = (await self.served.admin.post("/admin/plugins/wallet_cashu/balance", json={})).json()
            return None if found.get("in_flight_msat") else found

        return int((await until(resting, 60))["spendable_msat"])

    async def settled(self, *, claims: bool = False) -> dict[str, int]:
        """Once nothing moves any more: ecash at the mint, balances at nodes, and what was spent are what was put in,
        and the ledger says so. Its accounts."""

        async def right() -> dict[str, int] | None:
            ledger = self.ledger()
            at_nodes = {self.prepaid(node): node.held for node in self.nodes if node.held}
            ours = {name: msat for name, msat in ledger.items() if name.startswith("asset:prepaid:")}
            moving = [name for name in ledger if name.startswith("asset:transit:")]
            purse = await self.purse()
            agrees = ours == at_nodes and not moving and ledger.get("asset:wallet_cashu", 0) == purse
            return ledger if agrees else None

        try:
            ledger = await until(right, 60)
        except AssertionError:
            shown = [{node.name: (node.held, node.spent)} for node in self.nodes]
            raise AssertionError(f"{self.ledger()}, {await self.purse()}, {shown}") from None
        held = sum([await purse.held() for purse in self.purses])
        assert outstanding(self.mint) - self.before == held + await self.purse() // SAT
        costs = sum(msat for name, msat in ledger.items() if name.startswith("cost:"))
        claimed = sum(msat for name, msat in ledger.items() if name.startswith("asset:claim:"))
        assert claims or not claimed, ledger
        at_nodes = sum(node.held for node in self.nodes)
        assert await self.purse() + at_nodes + costs + claimed == self.capital, ledger
        await self.served.verified()
        return ledger


@asynccontextmanager
async def trading(
    folder: Path, mint: Nutshell, *nodes: Node, capital: int = 5_000, more: str = "", tables: str = ""
) -> AsyncIterator[Market]:
    """arbstr and these nodes, each with a purse of its own at the mint; and the operator's capital."""
    before = outstanding(mint)
    async with AsyncExitStack() as stack:
        purses = []
        for node in nodes:
            purse = await stack.enter_async_context(wallet(mint))
            await purse.fund(100)
            purses.append(purse)
            node.rail, node.mint = purse.rail, mint.url
            await node.server.start()
            stack.push_async_callback(node.server.stop)
        made = setup(folder, mint, *nodes, more=more, tables=tables)
        served = await stack.enter_async_context(serving(made))
        market = Market(served, mint, nodes, purses, before)
        if capital:
            await market.brings(capital)
        yield market
