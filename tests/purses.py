"""Purses of ecash for tests: the plugin's own rail on a real mint, a real clock and client, its store in memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import arbstr_wallet_cashu
import httpx
from arbstr_wallet_cashu._nutshell import Nutshell
from arbstr_wallet_cashu._rail import CashuRail
from arbstr_wallet_cashu._tokens import read
from mints import Lossy

from arbstr_core.api import (
    InvoiceTarget,
    Msat,
    Paid,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailUnavailable,
    Store,
    TokenTarget,
    Unknown,
)
from arbstr_core.plugins import LoopClock
from arbstr_core.storage import Cipher, Database, PluginStore
from arbstr_core.testing import KitTools, MemoryStore, configure, kit_tools

T = TypeVar("T")

SAT = 1000
_NO_TLS = ssl.create_default_context()
"""Made once: nothing here is encrypted, and a client makes one for itself in 20 ms."""


def table(*mints: Nutshell | Lossy, **more: Any) -> dict[str, Any]:
    """`[plugins.wallet_cashu]` for mints that play at money: they are called m0, m1, ..."""
    named = {f"m{at}": {"url": mint.url} for at, mint in enumerate(mints)}
    return {"network": "regtest", "invoices": "mainnet", "poll_ms": 50, "mints": named, **more}


def tools_on(store: Store | None = None, **more: Any) -> KitTools:
    """Tools with a real clock and a real client."""
    http = httpx.AsyncClient(trust_env=False, timeout=20, verify=_NO_TLS)
    return kit_tools(http=http, clock=LoopClock(), store=store or MemoryStore(), **more)


class Wallet:
    """A rail, and the steps that the tests share. Nothing goes on by itself: `round` does what the watch does."""

    def __init__(self, rail: CashuRail, tools: KitTools) -> None:
        self.rail = rail
        self.tools = tools
        self.store = tools.store
        self.purse = rail.purse
        self._keys = 0

    def key(self, what: str) -> str:
        """A key that was not used yet."""
        self._keys += 1
        return f"{what}-{self._keys}"

    async def fund(self, sat: int, mint: int = 0) -> None:
        """Have so much at a mint whose invoices are paid by themselves."""
        await self.purse.open()
        place = self.purse.places.all[mint]
        await place.ready()
        key = self.key("fund")
        job = await self.rail.invoices._quote(place, sat, "", key)
        await self.purse.book.change(lambda draft: self.rail.invoices._write(draft, f"invoice:{key}", job))
        await self.collect()

    async def collect(self) -> None:
        """Take the coins of every invoice that is paid."""
        await self.rail.invoices.poll(all_now=True)

    async def round(self) -> None:
        """All that the watch does, once."""
        await self.purse.open()
        await self.rail.watch.round()

    async def held(self, mint: int | None = None) -> int:
        """What it can spend, in sat."""
        balance = await self.rail.balance()
        assert balance.in_flight_msat == 0, f"{balance.in_flight_msat} msat are on their way"
        if mint is None:
            return balance.spendable_msat // SAT
        return balance.places[self.purse.places.all[mint].url] // SAT

    async def pay(self, target: PaymentTarget, key: str, *, limit: int | None = None) -> Payment:
        """Pay for at most what the rail quotes."""
        amount = target.amount_msat
        most = (await self.rail.quote(target, amount)).fee_limit_msat if limit is None else Msat(limit * SAT)
        return await self.rail.pay(target, amount, fee_limit=most, key=key)

    async def look(self, target: PaymentTarget, key: str) -> Payment:
        """What became of a payment."""
        return await self.rail.lookup(PaymentRef(key=key, target=target, fee_limit_msat=Msat(0)))

    async def token(self, sat: int, key: str = "", **more: Any) -> str:
        """A token that was issued."""
        key = key or self.key("token")
        target = self.token_target(sat, key, **more)
        paid = await self.ended(target, key, await self.pay(target, key))
        assert isinstance(paid, Paid), f"a token should be issued: {paid!r}"
        return paid.token

    def token_target(self, sat: int, reference: str, **more: Any) -> TokenTarget:
        """Where a token is to go."""
        return TokenTarget(reference=reference, amount_msat=Msat(sat * SAT), network=self.rail.network, **more)

    async def invoice_of(self, mint: Nutshell | Lossy, sat: int) -> InvoiceTarget:
        """Somebody else's invoice, made by a mint, read by this rail."""
        said = await self.tools.http.post(f"{mint.url}/v1/mint/quote/bolt11", json={"unit": "sat", "amount": sat})
        target = await self.rail.decode(said.json()["request"])
        assert isinstance(target, InvoiceTarget), "an invoice was decoded"
        return target

    async def ended(self, target: PaymentTarget, key: str, first: Payment) -> Payment:
        """The end of a payment, by looking."""
        for _ in range(20):
            if not isinstance(first, Unknown):
                return first
            first = await self.look(target, key)
        raise AssertionError(f"the payment does not end: {first!r}")

    async def again(self, step: Callable[[], Awaitable[T]]) -> T:
        """As the kernel does: the same call with the same key, until there is an answer."""
        for _ in range(3_000):
            try:
                return await step()
            except RailUnavailable:
                await asyncio.sleep(0.02)
        raise AssertionError("asked again and again, and the rail is not available")


@asynccontextmanager
async def wallet(*mints: Nutshell | Lossy, store: Store | None = None, **more: Any) -> AsyncIterator[Wallet]:
    """A wallet at these mints; on a store that was used before, the same wallet after a restart."""
    secrets = more.pop("secrets", None)
    tools = tools_on(store, secrets=secrets)
    try:
        config = configure(arbstr_wallet_cashu, table(*mints, **more))
        yield Wallet(CashuRail(config, tools), tools)
    finally:
        await tools.aclose()


@asynccontextmanager
async def shared(url: str, folder: Path) -> AsyncIterator[list[Store]]:
    """One plugin's store in the database at `url`, as two processes have it."""
    databases = []
    for name in ("a", "b"):
        (folder / name).mkdir()
        databases.append(Database.open(url, data_dir=folder / name, clock=LoopClock()))
    try:
        yield [PluginStore(db, Cipher(bytes(range(32))), "wallet_cashu") for db in databases]
    finally:
        for db in databases:
            await db.close()


def worth(token: str) -> int:
    """The sum of a token's coins, in sat."""
    return sum(coin.amount for coin in read(token).coins)
