"""A ledger, rails, and who compares them, for tests: a simulated rail that says what a test wants, or any other."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import arbstr_wallet_simulated as simulated
import msgspec
from arbstr_wallet_simulated._config import Config
from arbstr_wallet_simulated._journal import Journal
from arbstr_wallet_simulated._rail import SimulatedRail

from arbstr_core.api import Amount, Msat, RailBalance, RailCost, RailState, RailStatus, RailUnavailable, WalletRail
from arbstr_core.flow import Office, Reconcile, SolvencyFlow
from arbstr_core.rails import Rails
from arbstr_core.storage import Database
from arbstr_core.testing import FakeClock, MemoryStore, configure, kit_tools
from arbstr_core.types import Deposit, Outgoing
from arbstr_core.vault import (
    HoldRequest,
    Limits,
    NewAgent,
    NewPayment,
    NewRequest,
    PaymentKind,
    Purpose,
    RequestKind,
    Requests,
    Treasury,
    Vault,
    schema,
)

SAT = 1000
RAIL = "wallet_simulated"


class Rail(SimulatedRail):
    """The simulated one, which a test can have say other things."""

    silent = False
    state = RailState.READY
    paid: tuple[RailCost, ...] = ()

    async def balance(self) -> RailBalance:
        if self.silent:
            raise RailUnavailable("the node is away")
        return await super().balance()

    async def status(self) -> RailStatus:
        return RailStatus(state=self.state, detail="as the test says")

    async def payments(self, since: str) -> AsyncIterator[Outgoing]:
        async for outgoing in super().payments(since):
            outside = outgoing.key.startswith("outside")
            yield msgspec.structs.replace(outgoing, key="") if outside else outgoing

    async def costs(self, since: str) -> AsyncIterator[RailCost]:
        for cost in self.paid[int(since or 0) :]:
            yield cost


class World:
    """A ledger, one rail, and who compares them."""

    def __init__(self, folder: Path, *, working_ppm: int = 0) -> None:
        self.clock = FakeClock()
        self.tools = kit_tools(clock=self.clock, store=MemoryStore())
        self.db = Database.open("sqlite:///arbstr.db", data_dir=folder, clock=self.clock, schemas=[schema()])
        self.vault = Vault(self.db, boot_id="boot")
        self.treasury = Treasury(self.db, boot_id="boot")
        self.requests = Requests(self.db)
        self.office = Office(self.vault, self.treasury, self.clock)
        self.working_ppm = working_ppm
        self.plug(Rail(self.config(), self.journal(), self.clock))

    def config(self) -> Config:
        return Config(balance=Amount(Msat(0)))

    def journal(self) -> Journal:
        return Journal(self.tools.store, 0)

    def plug(self, *rails: WalletRail) -> None:
        """From now on these are the enabled rails."""
        self.rail = rails[0] if rails else None
        self.rails = Rails(rails)
        self.reconcile = Reconcile(
            self.vault,
            self.treasury,
            self.requests,
            self.rails,
            self.office,
            self.clock,
            working_ppm=self.working_ppm,
        )
        self.flow = SolvencyFlow(self.vault, self.treasury, self.rails, self.reconcile, lambda prefix: f"{prefix}1")

    async def check(self, realm: str = "sim") -> Any:
        self.clock.advance(60)
        found = await self.reconcile.check()
        assert found is not None
        return found[realm]

    async def agent(self, name: str = "a", *, fund: int = 0, realm: str = "sim", rail: str = RAIL) -> str:
        limits = Limits(max_charge_msat=10**12, daily_msat=10**12, max_fee_msat=10**9, payouts_unapproved_msat=10**12)
        new = NewAgent(
            id=f"ag_{name}",
            name=name,
            realm=realm,
            token_hash=hashlib.sha256(name.encode()).digest(),
            limits=limits,
            fund_msat=fund,
            rail=rail,
        )
        return (await self.vault.create_agent(new)).id

    async def outside(self, command: str, **given: str) -> Any:
        made = simulated.arbstr_commands(configure(simulated, {"balance": "0 sat"}), self.tools)
        return await {each.name: each for each in made}[command].run(given)

    async def comes(self, msat: int, *, agent: str | None, id: str = "rq_1", credit: bool = True) -> None:
        """Somebody pays an invoice of ours; nobody hears of it yet without `credit`."""
        purpose = Purpose.CAPITAL if agent is None else Purpose.DEPOSIT
        new = NewRequest(
            id=id,
            kind=RequestKind.INVOICE,
            purpose=purpose,
            realm="sim",
            rail=RAIL,
            amount_msat=msat,
            agent=agent,
        )
        await self.requests.open(new)
        assert self.rail is not None
        invoice = await self.rail.invoice(Msat(msat), "", key=id)
        await self.treasury.answer(id, text=invoice.text, reference=invoice.reference, expires_ms=invoice.expires_ms)
        await self.outside("settle-invoice", invoice=invoice.text)
        if credit:
            await self.credit(agent)

    async def credit(self, agent: str | None) -> None:
        """The rail's deposits are read on."""
        assert self.rail is not None
        since = await self.treasury.place(RAIL, "deposits")
        turn = await self.office.sure()
        seen = since
        async with aclosing(self.rail.deposits(since)) as deposits:
            async for deposit in deposits:
                seen = await self._credited(turn, deposit, agent)
                if len((await self.journal().book()).deposits) == int(seen):
                    return

    async def _credited(self, turn: Any, deposit: Deposit, agent: str | None) -> str:
        await self.treasury.credit(turn, RAIL, "sim", deposit, owner=agent, stream=True)
        return deposit.cursor

    async def lose(self) -> None:
        """The rail forgets all it has."""
        self.tools.store = MemoryStore()
        self.plug(Rail(self.config(), self.journal(), self.clock))

    async def leaves(self, msat: int, *, key: str) -> str:
        """The rail is made to pay by somebody else."""
        assert self.rail is not None
        made = await self.outside("make-invoice", amount=f"{msat}msat")
        target = await self.rail.decode(made["invoice"])
        await self.rail.pay(target, Msat(msat), fee_limit=Msat(0), key=key)
        return target.reference

    async def payout(self, id: str, agent: str, msat: int, **more: Any) -> None:
        """An agent's payout, written down and not sent."""
        request = HoldRequest(
            id=id, agent=agent, ceilings=(msat,), candidates=b"[]", model="", kind="payout", body_digest=id.encode()
        )
        where = {"realm": "sim", "reference": id, "rails": (RAIL,), "target": b"{}", **more}
        new = NewPayment(
            id=id,
            kind=PaymentKind.PAYOUT,
            agent=agent,
            amount_msat=msat,
            fee_msat=0,
            destination="somebody",
            **where,
        )
        await self.treasury.open_payout(new, request)

    async def dispatched(self, id: str) -> Any:
        found = await self.requests.payment(id)
        assert found is not None
        return await self.treasury.dispatch(await self.office.sure(), found, fee_limit_msat=0)


def story(folder: Path, what: Callable[[World], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        world = World(folder, **more)
        try:
            await what(world)
            verified = await world.vault.verify()
            assert (verified.ok, verified.sum_msat) == (True, 0), verified.first_bad
        finally:
            await world.db.close()

    asyncio.run(whole())
