"""A rail whose world outside does what a test says, and arbstr's treasury in front of it, on a real database."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from house import until

from arbstr_core.accounts import L402, Accounts
from arbstr_core.api import (
    BadRequest,
    Bounds,
    Deposit,
    DepositKind,
    Failed,
    Invoice,
    Msat,
    Network,
    Paid,
    Payment,
    PaymentRef,
    PaymentTarget,
    RailCapability,
    RailLimits,
    RailQuote,
    RailState,
    RailStatus,
    TokenFacts,
    Unit,
    WalletRail,
)
from arbstr_core.flow import Bills, DepositFlow, Incoming, Keys, Office, Sender, SenderRules, Singles, Teller
from arbstr_core.plugins import LoopClock
from arbstr_core.rails import Rails
from arbstr_core.storage import Cipher, Database
from arbstr_core.types import Caller
from arbstr_core.vault import AgentRecord, History, Limits, NewAgent, Requests, Treasury, Vault, schema

RULES = SenderRules(stop_seconds=0.01, idle_seconds=0.05)
WIDE = Limits(max_charge_msat=10**9, daily_msat=10**12)


class Till(WalletRail):
    """Its journal outlives every restart of arbstr: what came in, and for which key."""

    network = Network.SIM

    def __init__(
        self, name: str = "till", *, unit: Unit = Unit.MSAT, smallest: int = 10, largest: int = 10**12
    ) -> None:
        self.name = name
        self.unit = unit
        self.capabilities = frozenset({RailCapability.INVOICE, RailCapability.ECASH})
        self.came: list[Deposit] = []
        self.invoices: dict[str, Invoice] = {}
        self.calls: list[str] = []
        self.fails: list[BaseException | None] = []
        """what the next calls raise, one each"""
        self.lies: Callable[[Invoice], Invoice] = lambda invoice: invoice
        self.spent: set[str] = set()
        """tokens that somebody else has redeemed"""
        self.before: Callable[[], Awaitable[None]] | None = None
        """what each of its calls waits for"""
        self.told = asyncio.Event()
        self._bounds = Bounds(smallest_msat=Msat(smallest), largest_msat=Msat(largest))
        self.issued: dict[str, Paid | Failed] = {}
        """what became of payments, by key"""
        self.says: list[Payment] = []
        """what the next payments say in the place of what became of them"""
        self.fee = 0
        """what making a token takes at most, and half of it in the end"""

    async def _call(self, what: str) -> None:
        self.calls.append(what)
        if self.before is not None:
            await self.before()
        raised = self.fails.pop(0) if self.fails else None
        if raised is not None:
            raise raised

    async def limits(self) -> RailLimits:
        return RailLimits(invoices=self._bounds)

    async def invoice(self, amount: Msat, memo: str, *, key: str, expires_seconds: int = 3600) -> Invoice:
        await self._call(f"invoice {key}")
        expires_ms = LoopClock().now_ms() + expires_seconds * 1000
        made = Invoice(text=f"sim {key}", reference=digest(key), amount_msat=amount, expires_ms=expires_ms)
        self.invoices.setdefault(key, made)
        return self.lies(self.invoices[key])

    async def appraise(self, token: str) -> TokenFacts:
        if not token.startswith("tok-"):
            raise BadRequest("it is no token of this mint: send one that begins with tok-")
        return TokenFacts(reference=digest(token), mint="till", amount_msat=Msat(int(token.split("-")[1])))

    async def receive(self, token: str, *, key: str) -> Deposit:
        await self._call(f"receive {key}")
        reference = digest(token)
        for deposit in self.came:
            if deposit.reference == reference:
                if deposit.key != key:
                    raise BadRequest("the token was spent before: send another")
                return deposit
        if token in self.spent:
            raise BadRequest("the token was spent before: send another")
        facts = await self.appraise(token)
        came = self.take(facts.amount_msat, reference, key=key, kind=DepositKind.TOKEN)
        await self._call(f"received {key}")
        return came

    def pays(self, invoice: str) -> Deposit:
        """Somebody pays an invoice, for as often as this is called."""
        key = invoice.removeprefix("sim ")
        return self.take(self.invoices[key].amount_msat, digest(key), key=key)

    def take(self, msat: int, reference: str, *, key: str = "", kind: DepositKind = DepositKind.INVOICE) -> Deposit:
        """Money has come in."""
        cursor = str(len(self.came) + 1)
        came = Deposit(reference=reference, amount_msat=Msat(msat), kind=kind, cursor=cursor, key=key)
        self.came.append(came)
        self.told.set()
        return came

    async def quote(self, target: PaymentTarget, amount: Msat) -> RailQuote:
        return RailQuote(amount_msat=amount, fee_limit_msat=Msat(self.fee))

    async def pay(self, target: PaymentTarget, amount: Msat, *, fee_limit: Msat, key: str) -> Payment:
        await self._call(f"pay {key}")
        said = self.says.pop(0) if self.says else None
        if key not in self.issued:
            token = f"tok-{amount}-{target.reference}"
            paid = Paid(fee_msat=Msat(self.fee // 2), evidence="the till's book", token=token)
            self.issued[key] = said if isinstance(said, Failed) else paid
        await self._call(f"paid {key}")
        return said or self.issued[key]

    async def lookup(self, ref: PaymentRef) -> Payment:
        await self._call(f"look {ref.key}")
        return self.issued.get(ref.key) or Failed(reason="it was never asked for", evidence="the till's book")

    async def status(self) -> RailStatus:
        return RailStatus(state=RailState.READY)

    @property
    def balance_msat(self) -> int:
        """What it has, by its own book."""
        went = [each for each in self.issued.values() if isinstance(each, Paid)]
        out = sum(int(each.token.split("-")[1]) + each.fee_msat for each in went)
        return sum(each.amount_msat for each in self.came) - out

    async def deposits(self, since: str) -> AsyncIterator[Deposit]:
        at = int(since or 0)
        while True:
            self.told.clear()
            while at < len(self.came):
                await self._call(f"deposit {at + 1}")
                at += 1
                yield self.came[at - 1]
            await self.told.wait()


# What is not here is not asked for.
Till.__abstractmethods__ = frozenset()


def digest(text: str) -> str:
    """What the till calls an invoice or a token."""
    return hashlib.sha256(text.encode()).hexdigest()


class Fuse:
    """Blows at the step with this number, counted from 1: a commit, or a call of a rail. From then on nothing goes on,
    as in a process that was killed; with `done` the step itself was carried out, and nobody heard of it."""

    def __init__(self, at: int, *, done: bool) -> None:
        self.blown = asyncio.Event()
        self._at = at
        self._done = done
        self._count = 0

    def guard(self, db: Database, *rails: Till) -> None:
        """From now on each of their steps counts."""
        submit = db.submit

        def fused(operation: Any) -> Any:
            if self._blows() and not (self._done and self._count == self._at):
                return asyncio.get_running_loop().create_future()
            found = submit(operation)
            if not self.blown.is_set():
                return found
            return self._unheard(found)

        db.submit = fused  # type: ignore[method-assign]
        for rail in rails:
            rail.before = self._step

    def mend(self, *rails: Till) -> None:
        """Nothing counts any more."""
        for rail in rails:
            rail.before = None

    def _blows(self) -> bool:
        self._count += 1
        if self._count >= self._at:
            self.blown.set()
        return self.blown.is_set()

    def _unheard(self, found: asyncio.Future[Any]) -> asyncio.Future[Any]:
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Until it is done the database is not closed.
        found.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return never

    async def _step(self) -> None:
        if self._blows():
            await asyncio.Event().wait()


class Counter:
    """The rooms that take money in, put together, and an agent named alice."""

    def __init__(self, db: Database, rails: Rails, boot: str, *, idle_seconds: float, alone: bool) -> None:
        clock = LoopClock()
        self.vault = Vault(db, boot_id=boot)
        self.treasury = Treasury(db, boot_id=boot)
        self.requests = Requests(db)
        self.office = office = Office(self.vault, self.treasury, clock, alone=alone)
        cipher = Cipher(bytes(range(32)))
        history = History(db)
        self.incoming = Incoming(rails, self.requests, self.treasury, history, office, cipher, clock, wait_seconds=0.01)

        async def nobody(token: bytes) -> Caller | None:
            return None

        ids = iter(range(1, 10_000))
        keys = Keys(self.vault, Accounts(nobody), rails, defaults=WIDE, ids=lambda kind: f"{kind}{next(ids)}")
        self.teller = Teller(
            rails,
            self.requests,
            cipher,
            clock,
            ids=lambda kind: f"{kind}{boot}{next(ids)}",
            serving=True,
            elsewhere=self.treasury,
        )
        self.sender = Sender(self.vault, self.treasury, self.requests, rails, office, cipher, clock, rules=RULES)
        self.bills = Bills(self.teller, self.requests, rails, self.vault, L402(bytes(32)), clock)
        self.singles = Singles(
            rails,
            self.requests,
            self.treasury,
            self.teller,
            self.bills,
            cipher,
            clock,
            alone=alone,
            idle_seconds=idle_seconds,
        )
        self.flow = DepositFlow(self.teller, rails, self.requests, self.treasury, history, keys)

    async def agent(self, name: str = "alice", parent: str | None = None) -> Caller:
        """A new agent."""
        found = await self.vault.agent(name)
        if found is None:
            token = digest(name).encode()[:32]
            new = NewAgent(id=f"ag_{name}", name=name, realm="sim", token_hash=token, limits=WIDE, parent=parent)
            found = await self.vault.create_agent(new)
        return Caller(agent=found.id, name=found.name, realm="sim")

    async def has(self, name: str, msat: int) -> AgentRecord:
        """The agent, once it has so much."""

        async def rich() -> AgentRecord | None:
            found = await self.vault.agent(name)
            return found if found is not None and found.posted_msat == msat else None

        return await until(rich, 30)

    async def told(self, rail: Till) -> None:
        """Wait until the ledger has read all that a rail says."""

        async def read() -> bool:
            return (await self.treasury.place(rail.name, "deposits") or "0") == str(len(rail.came))

        await until(read, 30)


@asynccontextmanager
async def counter(
    folder: Path,
    *rails: Till,
    boot: str = "b1",
    runs: bool = True,
    fuse: Fuse | None = None,
    idle_seconds: float = 60.0,
    url: str = "sqlite:///arbstr.db",
) -> AsyncIterator[Counter]:
    """arbstr takes money in until the end of the block, or until the fuse has blown; on PostgreSQL beside others."""
    db = Database.open(url, data_dir=folder, clock=LoopClock(), schemas=[schema()])
    if fuse is not None:
        fuse.guard(db, *rails)
    made = Counter(db, Rails(rails), boot, idle_seconds=idle_seconds, alone=url.startswith("sqlite"))
    works = (made.incoming.run, made.sender.run, made.singles.run) if runs else ()
    tasks = [asyncio.create_task(work()) for work in works]
    try:
        yield made
        if fuse is None:
            assert (await made.vault.verify()).first_bad is None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if fuse is None:
            await made.office.leave()
        else:
            fuse.mend(*rails)
        await db.close()


def told(folder: Path, story: Callable[[Counter, Till], Awaitable[Any]], **more: Any) -> None:
    """Run a story of one counter with one till."""

    async def main() -> None:
        till = Till(**more)
        async with counter(folder, till) as made:
            await story(made, till)

    asyncio.run(main())
