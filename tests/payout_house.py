"""Payouts as `serve` has them, without the server: the doors' flow, the vault, the sender, and rails of any kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx

from arbstr_core.api import Clock, WalletRail
from arbstr_core.flow import (
    Ask,
    Office,
    PayoutFlow,
    PayoutRooms,
    Preparing,
    SellerFlow,
    SellerRooms,
    Sender,
    SenderRules,
)
from arbstr_core.rails import Addresses, Rails, Rules
from arbstr_core.storage import Cipher, Database
from arbstr_core.types import Caller, Msat
from arbstr_core.vault import (
    History,
    HoldRequest,
    Limits,
    NewAgent,
    Requests,
    SellerShare,
    Settlement,
    Treasury,
    Vault,
    _events,
    schema,
)

FUND = 1_000_000_000
FREE = Limits(max_charge_msat=10**12, daily_msat=10**13, payouts_unapproved_msat=10**12)
MakeRails = Callable[[Any, Cipher], Awaitable[Sequence[WalletRail]]]


def nothing_there(request: httpx.Request) -> httpx.Response:
    """No address answers."""
    return httpx.Response(404)


class PayoutHouse:
    """One arbstr's life. `database` may be one that dies."""

    def __init__(
        self,
        database: Any,
        clock: Clock,
        rails: Sequence[WalletRail],
        cipher: Cipher,
        *,
        boot: str = "one",
        realm: str = "sim",
        http: httpx.AsyncClient | None = None,
        rules: SenderRules | None = None,
        ecash_below: int = 1_000_000,
    ) -> None:
        database = cast(Database, database)
        self.clock = clock
        self.realm = realm
        self.cipher = cipher
        self.rails = Rails(rails)
        self.vault = Vault(database, boot_id=boot)
        self.treasury = Treasury(database, boot_id=boot)
        self.requests = Requests(database)
        self.office = Office(self.vault, self.treasury, clock, alone=True)
        self.sender = Sender(
            *(self.vault, self.treasury, self.requests, self.rails, self.office, cipher, clock), rules=rules
        )
        self.http = http or httpx.AsyncClient(transport=httpx.MockTransport(nothing_there))
        addresses = Addresses(self.http)
        self.preparing = Preparing(
            self.rails, self.requests, addresses, clock, Rules(ecash_below_msat=Msat(ecash_below))
        )
        self._made = 0
        self.boot = boot
        self.flow = PayoutFlow(
            PayoutRooms(
                vault=self.vault,
                treasury=self.treasury,
                requests=self.requests,
                history=History(database),
                preparing=self.preparing,
                cipher=cipher,
                clock=clock,
                ids=self._id,
                body_key=bytes(32),
            )
        )

    def _id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self.boot}{self._made:08x}"

    async def agent(self, name: str = "alice", *, fund: int = FUND, limits: Limits = FREE) -> Caller:
        """An agent, and behind its money as much on each rail."""
        for rail in self.rails.all:
            key = f"capital {rail.name} {name}"
            await self.vault.post(_events.Capital(rail=rail.name, msat=fund), realm=self.realm, key=key)
        new = NewAgent(
            id=f"ag_{name}", name=name, realm=self.realm, token_hash=name.encode(), limits=limits, fund_msat=fund,
            rail=self.rails.all[0].name,
        )  # fmt: skip
        await self.vault.create_agent(new)
        return self.caller(name)

    def caller(self, name: str = "alice") -> Caller:
        """Who it is at the doors."""
        return Caller(agent=f"ag_{name}", name=name, realm=self.realm, enabled=True)

    async def pay(self, to: str, *, key: str | None = None, by: str = "alice", **more: Any) -> dict[str, Any]:
        """Ask for a payout."""
        return await self.flow.open(self.caller(by), Ask(to=to, **more), key)

    async def show(self, id: str, by: str = "alice") -> dict[str, Any]:
        """How one stands."""
        return await self.flow.payout(self.caller(by), id)

    async def round(self) -> None:
        """All that is due, until no rail is being asked."""
        await self.sender.round()
        await self.sender.settled()

    async def spent(self, by: str = "alice", fund: int = FUND) -> tuple[int, int]:
        """(what has left the account, what is held)."""
        found = await self.vault.agent(f"ag_{by}")
        assert found is not None
        return fund - found.posted_msat, found.held_msat


class Shop(PayoutHouse):
    """A house whose calls a seller, bob, serves."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sellers = SellerFlow(
            SellerRooms(
                treasury=self.treasury,
                requests=self.requests,
                preparing=self.preparing,
                rails=self.rails,
                office=self.office,
                cipher=self.cipher,
                clock=self.clock,
                ids=self._id,
            )
        )

    async def sold(self, msat: int) -> None:
        """A call that he served, with a margin of 7 msat."""
        id = self._id("req_")
        await self.vault.hold(HoldRequest(id=id, agent="ag_alice", ceilings=(msat + 7,), candidates=b"[]", model="m"))
        share = SellerShare(seller="bob", msat=msat)
        await self.vault.settle(Settlement(id=id, charge_msat=msat + 7, costs=(), receipt=b"{}", seller=share))

    async def put(self, to: str = "ecash", name: str = "bob", **more: Any) -> dict[str, Any]:
        """How he is paid."""
        said = {"threshold_msat": 100_000, "every_seconds": 86_400, "realm": None, "enabled": True} | more
        return await self.sellers.put(name, destination=to, actor="operator", **said)

    async def balance(self) -> int:
        """What he has earned."""
        (only,) = (await self.sellers.sellers())["data"]
        return int(only["balance_msat"])

    async def paid(self) -> list[tuple[int, str]]:
        """What he was paid, the newest first."""
        return [(each.amount_msat, each.state.value) for each in await self.requests.payments()]

    async def go(self, seconds: float = 0) -> int:
        """After so long, what happens by itself; how many payments were opened."""
        clock: Any = self.clock
        if seconds:
            clock.ms += int(seconds * 1000)
        opened = await self.sellers.round()
        await self.round()
        return opened


@asynccontextmanager
async def open_database(folder: Path, clock: Clock) -> AsyncIterator[Database]:
    """The database in `folder`."""
    database = Database.open("sqlite:///arbstr.db", data_dir=folder, clock=clock, schemas=[schema()])
    try:
        yield database
    finally:
        await database.close()
