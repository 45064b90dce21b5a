"""The sender on a real database, with rails that do as they are told; time stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from arbstr_core.api import (
    BadRequest,
    Clock,
    Conflict,
    Failed,
    InvoiceTarget,
    Msat,
    Network,
    Paid,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailBalance,
    RailCapability,
    RailQuote,
    RailState,
    RailStatus,
    Unit,
    Unknown,
    WalletRail,
)
from arbstr_core.flow import Office, Sender, SenderRules
from arbstr_core.rails import Rails
from arbstr_core.storage import Cipher, Database
from arbstr_core.vault import (
    ApprovalNeeded,
    Granted,
    HoldRequest,
    Limits,
    NewAgent,
    NewPayment,
    PaymentKind,
    PaymentRecord,
    Requests,
    Treasury,
    Vault,
    _events,
    schema,
)

FUND = 10_000_000
EVIDENCE = "the double says so"
FREE = Limits(max_charge_msat=10**9, daily_msat=10**12, payouts_unapproved_msat=10**9)
Act = Payment | BaseException | Callable[[PaymentRef], Payment]


class StillClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.ms = 1_750_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Double(WalletRail):
    """A rail whose answers are told beforehand; beyond them everything is paid, for a fee of 1 msat. It keeps what it
    was asked for."""

    network = Network.SIM
    unit = Unit.MSAT
    capabilities = frozenset(RailCapability)

    def __init__(self, name: str = "lnd") -> None:
        self.name = name
        self.pays: deque[Act] = deque()
        self.looks: deque[Act] = deque()
        self.paid: list[str] = []
        """keys that `pay` was called with"""
        self.looked: list[str] = []
        self.taken_back: list[str] = []
        self.cancels: deque[BaseException] = deque()
        self.state = RailState.READY
        self.fee = 10

    async def decode(self, target: str) -> PaymentTarget:
        raise BadRequest(f"{target!r} is nothing to pay")

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        return RailQuote(amount_msat=amount, fee_limit_msat=Msat(self.fee))

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        self.paid.append(key)
        ref = PaymentRef(key=key, target=target, fee_limit_msat=fee_limit)
        return _said(self.pays.popleft() if self.pays else PAID, ref)

    async def lookup(self, ref: PaymentRef) -> Payment:
        self.looked.append(ref.key)
        return _said(self.looks.popleft() if self.looks else Unknown(reason="on its way"), ref)

    async def cancel(self, reference: str) -> None:
        self.taken_back.append(reference)
        if self.cancels:
            raise self.cancels.popleft()

    async def deposits(self, since: str) -> AsyncIterator[Any]:
        for none in ():
            yield none

    async def payments(self, since: str) -> AsyncIterator[Any]:
        for none in ():
            yield none

    async def balance(self) -> RailBalance:
        return RailBalance(spendable_msat=Msat(10**12))

    async def status(self) -> RailStatus:
        return RailStatus(state=self.state, detail="as it was told")

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


PAID = Paid(fee_msat=Msat(1), evidence=EVIDENCE)
FAILED = Failed(reason="no route", evidence=EVIDENCE)
UNKNOWN = Unknown(reason="on its way")
PAID_ELSEWHERE = Conflict("the invoice is paid")


def _said(act: Act, ref: PaymentRef) -> Payment:
    if isinstance(act, BaseException):
        raise act
    return act(ref) if callable(act) else act


def invoice(reference: str, msat: int = 1_000, *, expires_ms: int = 2_000_000_000_000) -> InvoiceTarget:
    """Somebody's invoice."""
    return InvoiceTarget(
        text=f"ln{reference}",
        reference=reference,
        amount_msat=Msat(msat),
        network=Network.SIM,
        expires_ms=expires_ms,
    )


class Scene:
    """A sender with its rails; a rail that is not among `rails` any more has left the configuration."""

    def __init__(
        self, database: Database, clock: Clock, rails: list[WalletRail], boot: str, *, alone: bool = True
    ) -> None:
        self.clock: Any = clock
        self.vault = Vault(database, boot_id=boot)
        self.treasury = Treasury(database, boot_id=boot)
        self.requests = Requests(database)
        self.cipher = Cipher(bytes(32))
        self.office = Office(self.vault, self.treasury, clock, alone=alone)
        self.rails = rails
        self.database = database
        self.sender = self._sender()
        self._made = 0

    def _sender(self, rules: SenderRules | None = None) -> Sender:
        rails = Rails(self.rails)
        return Sender(
            *(self.vault, self.treasury, self.requests, rails, self.office, self.cipher, self.clock), rules=rules
        )

    def again(self, *rails: WalletRail, rules: SenderRules | None = None) -> None:
        """The same after a restart, with these rails."""
        self.rails = list(rails) or self.rails
        self.sender = self._sender(rules)

    async def agent(self, name: str = "alice", *, fund: int = FUND, limits: Limits = FREE) -> str:
        """An agent whose payouts need nobody, with money on each rail behind it."""
        for rail in self.rails:
            await self.vault.post(_events.Capital(rail=rail.name, msat=fund), realm="sim", key=f"{rail.name} {name}")
        new = NewAgent(
            id=f"ag_{name}", name=name, realm="sim", token_hash=name.encode(), limits=limits, fund_msat=fund, rail="lnd"
        )
        return (await self.vault.create_agent(new)).id

    async def open(
        self,
        reference: str,
        msat: int = 1_000,
        *,
        agent: str = "ag_alice",
        fee: int = 10,
        waits: bool = False,
        **more: Any,
    ) -> str:
        """A payout to somebody's invoice, held for; its id. `waits`: an operator has to let it go."""
        self._made += 1
        target = more.pop("target", None) or invoice(reference, msat)
        id = f"pay_{self.clock.now_ms():012x}{self._made:016x}"
        hold = HoldRequest(
            id=id,
            agent=agent,
            ceilings=(msat + fee,),
            candidates=b"[]",
            model="invoice",
            kind="payout",
            body_digest=reference.encode(),
            fee_msat=fee,
        )
        meant: dict[str, Any] = {
            "id": id,
            "kind": PaymentKind.PAYOUT,
            "realm": "sim",
            "agent": agent,
            "amount_msat": msat,
            "fee_msat": fee,
            "destination": f"ln{reference}",
            "target": msgspec.json.encode(target),
            "reference": reference,
            "rails": tuple(rail.name for rail in self.rails),
        }
        said = await self.treasury.open_payout(NewPayment(**meant | more), hold)
        assert isinstance(said, ApprovalNeeded if waits else Granted), said
        return id

    async def round(self, seconds: float = 0) -> None:
        """After so long, all that is due, until no rail is being asked."""
        self.clock.ms += int(seconds * 1000)
        await self.sender.round()
        await self.sender.settled()

    async def payment(self, id: str) -> PaymentRecord:
        found = await self.requests.payment(id)
        assert found is not None
        return found

    async def state(self, id: str) -> str:
        return (await self.payment(id)).state.value

    async def spent(self, agent: str = "ag_alice", fund: int = FUND) -> tuple[int, int]:
        """(what has left its account, what is held)."""
        found = await self.vault.agent(agent)
        assert found is not None
        return fund - found.posted_msat, found.held_msat


@asynccontextmanager
async def scene(folder: Path, *rails: WalletRail, boot: str = "one") -> AsyncIterator[Scene]:
    """On a database in `folder`; in the end the ledger must be well."""
    clock = StillClock()
    database = Database.open("sqlite:///arbstr.db", data_dir=folder, clock=clock, schemas=[schema()])
    try:
        made = Scene(database, clock, list(rails) or [Double()], boot)
        await made.agent()
        yield made
        assert (await made.vault.verify()).first_bad is None
    finally:
        await database.close()


def told(folder: Path, story: Callable[[Scene], Any], *rails: WalletRail) -> None:
    """Run a story."""

    async def whole() -> None:
        async with scene(folder, *rails) as made:
            await story(made)

    asyncio.run(whole())
