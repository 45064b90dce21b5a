"""Owns what stands around a rail in its suite: the other side of its payments, and how both are brought to life."""

from __future__ import annotations

import asyncio
import enum
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import msgspec

from arbstr_core.api import (
    Clock,
    Deposit,
    Invoice,
    Msat,
    NotSupported,
    Outgoing,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailCapability,
    TokenTarget,
    Unknown,
    WalletRail,
)
from arbstr_core.testing._store import MemoryStore
from arbstr_core.testing._tools import KitTools, kit_tools

AMOUNT = Msat(21_000)
"""What the suite moves at a time: whole sats, so that every rail can."""
DEADLINE = 60.0
_NO_FEE = Msat(0)
_LOOKUPS = 600
_PAUSE = 0.1


class Ending(enum.StrEnum):
    """How payments end in a world: `unknown_then_...` once they were unknown; `reply_lost` is paid, and the rail is not
    told so by the reply to its own call."""

    PAID = "paid"
    FAILED = "failed"
    UNKNOWN_THEN_PAID = "unknown_then_paid"
    UNKNOWN_THEN_FAILED = "unknown_then_failed"
    REPLY_LOST = "reply_lost"


class OtherSide(ABC):
    """Everybody but the rail: the node or mint behind it, who pays it, and whom it pays. Its life is one test; it
    outlives a rail that is made anew on the same store."""

    @abstractmethod
    async def asks(self, amount: Msat) -> str:
        """A new destination for `amount`, as text, that the rail can decode and pay."""

    @abstractmethod
    async def arrived(self, target: PaymentTarget) -> Msat:
        """What has come in at an invoice's destination by now, in all; whatever the rail says of it."""

    @abstractmethod
    async def pays(self, invoice: Invoice) -> None:
        """Pay an invoice that the rail made; raises BadRequest where it can no longer be paid."""

    async def resolve(self) -> None:  # noqa: B027 - nothing to do where it ends by itself
        """Let what is unknown come to its end now; the rail finds it out by `lookup`."""

    async def token(self, amount: Msat) -> str:
        """A token of somebody else, of a mint that the rail takes; for rails with `ecash`."""
        raise NotSupported("this world has no ecash")

    async def foreign_token(self, amount: Msat) -> str:
        """A token of a mint that the rail does not take; for rails with `ecash`."""
        raise NotSupported("this world has no ecash")

    async def claims(self, token: str) -> Msat:
        """Redeem a token that the rail issued: what it was worth, the mint's fee included. BadRequest where it is
        spent."""
        raise NotSupported("this world has no ecash")

    async def cut(self) -> bool:
        """Break the rail's connections, and take none until `mend`; False where it has none to break."""
        return False

    async def mend(self) -> None:  # noqa: B027 - nothing to do where nothing was cut
        """Take connections again."""


class WalletWorld(msgspec.Struct, frozen=True, kw_only=True):
    """A rail, and the world around it that a test needs.

    `other(ending)` brings up the other side, where every payment ends as `ending`; `endings` are those it can do, PAID
    and FAILED and one that is unknown first among them. `make(tools, other)` returns a rail that has at least 1000 sat
    to spend there.
    """

    other: Callable[[Ending], AbstractAsyncContextManager[OtherSide]]
    make: Callable[[KitTools, Any], WalletRail]
    endings: tuple[Ending, ...]


class Scene:
    """One rail of a world, and the steps that the tests share."""

    def __init__(self, rail: WalletRail, other: OtherSide, clock: Clock) -> None:
        self.rail = rail
        self.other = other
        self.clock = clock

    async def target(self) -> PaymentTarget:
        """A destination the rail can pay: an invoice, where it pays those."""
        if RailCapability.BOLT11 in self.rail.capabilities:
            return await self.rail.decode(await self.other.asks(AMOUNT))
        return a_token(self.rail, "a-token")

    async def limit(self, target: PaymentTarget) -> Msat:
        """The fee that the rail quotes at most."""
        return (await self.rail.quote(target, AMOUNT)).fee_limit_msat

    async def pay(self, target: PaymentTarget, key: str, *, fee_limit: Msat | None = None) -> Payment:
        """Pay, and where the rail is not sure at once, look until it is."""
        limit = await self.limit(target) if fee_limit is None else fee_limit
        payment = await self.rail.pay(target, AMOUNT, fee_limit=limit, key=key)
        return await self.end(target, key, limit) if isinstance(payment, Unknown) else payment

    async def look(self, target: PaymentTarget, key: str, limit: Msat = _NO_FEE) -> Payment:
        """Look once."""
        return await self.rail.lookup(PaymentRef(key=key, target=target, fee_limit_msat=limit, sent_ms=1))

    async def end(self, target: PaymentTarget, key: str, limit: Msat = _NO_FEE) -> Payment:
        """Look until it is known."""
        found: Payment = Unknown(reason="not looked up yet")
        for _ in range(_LOOKUPS):
            found = await self.look(target, key, limit)
            if not isinstance(found, Unknown):
                break
            await self.clock.sleep(_PAUSE)
        return found

    async def held(self) -> int:
        """What the rail holds once nothing is on its way any more."""
        for _ in range(_LOOKUPS):
            balance = await self.rail.balance()
            if not balance.in_flight_msat:
                return balance.spendable_msat
            await self.clock.sleep(_PAUSE)
        raise AssertionError(f"everything has ended, and {balance.in_flight_msat} msat are still in flight")


class RailScenes:
    """How the tests of the suite bring a world up."""

    def tools(self, **more: Any) -> KitTools:
        """The tools a rail gets; `more` goes to `kit_tools`. A rail with a real node behind it wants a real clock and
        client: `return kit_tools(clock=LoopClock(), http=httpx.AsyncClient(), **more)`."""
        return kit_tools(**more)

    def _run(
        self, world: WalletWorld, scenario: Callable[[Scene], Awaitable[None]], ending: Ending = Ending.PAID
    ) -> None:
        async def main() -> None:
            async with world.other(ending) as other, self._living(world, other, MemoryStore()) as scene:
                await scenario(scene)

        asyncio.run(main())

    @asynccontextmanager
    async def _living(self, world: WalletWorld, other: OtherSide, store: MemoryStore) -> AsyncIterator[Scene]:
        tools = self.tools(store=store)
        try:
            rail = world.make(tools, other)
            await rail.start()
            try:
                yield Scene(rail, other, tools.clock)
            finally:
                await rail.aclose()
        finally:
            await tools.aclose()


def a_token(rail: WalletRail, reference: str) -> TokenTarget:
    """A destination for a token worth what the suite moves."""
    return TokenTarget(reference=reference, amount_msat=AMOUNT, network=rail.network)


async def next_deposits(rail: WalletRail, since: str, count: int) -> list[Deposit]:
    """The next `count` deposits after `since`; fails where they do not come in time."""
    found: list[Deposit] = []

    async def collect() -> None:
        async with aclosing(rail.deposits(since)) as deposits:  # type: ignore[type-var]
            async for deposit in deposits:
                found.append(deposit)
                if len(found) == count:
                    return

    try:
        await asyncio.wait_for(collect(), DEADLINE)
    except TimeoutError:
        raise AssertionError(f"waited for {count} deposits after {since!r}, and only {found!r} came") from None
    assert len(found) == count, f"the stream of deposits ended after {len(found)} of {count}"
    assert len({each.reference for each in found}) == len(found), f"a deposit came twice: {found!r}"
    return found


async def payments_since(rail: WalletRail, since: str) -> list[Outgoing]:
    """What left after `since`, by the rail's records."""
    found: list[Outgoing] = []

    async def collect() -> None:
        found.extend([outgoing async for outgoing in rail.payments(since)])

    try:
        await asyncio.wait_for(collect(), DEADLINE)
    except TimeoutError:
        raise AssertionError("payments() does not end at the last one") from None
    return found
