"""The treasury of an arbstr that buys at one node, on a real database and a real mint, without doors: it can die at any
step that leaves a trace outside of it, and live again on what it left.

A step is a transaction of the database (each plugin's store is in it), or a request to the node or the mint: right
before it, and right after, when nobody has heard of it yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import arbstr_providers_routstr
import arbstr_wallet_cashu
import httpx
from arbstr_providers_routstr import RoutstrProvider
from arbstr_providers_routstr._node import Node as Ours
from arbstr_wallet_cashu._nutshell import Nutshell
from arbstr_wallet_cashu._rail import CashuRail
from mints import outstanding
from purses import Wallet, table

from arbstr_core.api import ArbstrError, Network, Outbound, Reply
from arbstr_core.flow import Bringing, Incoming, Office, Sender, Sweeping, TopUp
from arbstr_core.flow._prepaid import account_of
from arbstr_core.net import Guard, UpstreamPools, origins_in
from arbstr_core.rails import Rails
from arbstr_core.storage import Cipher, Database, PluginStore
from arbstr_core.testing import KitTools, LoopClock, configure, kit_tools
from arbstr_core.vault import Capital, History, Requests, RequestState, Treasury, Vault, schema
from routstr.node import SAT, Node
from routstr.stage import NO_TLS

MOST_ROUNDS = 60


class Died(BaseException):
    """The process is dead."""


class Death:
    """Comes at step `at`, counted from 1; at none where that is 0. From then on nothing is done any more."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.steps = 0
        self.where = ""

    @property
    def came(self) -> bool:
        return bool(self.where)

    def step(self, what: str) -> None:
        if self.came:
            raise Died
        self.steps += 1
        if self.steps == self.at:
            self.where = what
            raise Died


class Shifted(LoopClock):
    """The machine's time, and what was skipped."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + int(self.skipped * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped


class _Database:
    """A database whose transactions are steps."""

    def __init__(self, inner: Database, death: Death) -> None:
        self._inner = inner
        self._death = death

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def submit(self, operation: Any) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._submitted(operation))

    async def _submitted(self, operation: Any) -> Any:
        what = type(operation).__name__
        self._death.step(f"before {what}")
        done = await self._inner.submit(operation)
        self._death.step(f"after {what}")
        return done


class _Http(httpx.AsyncBaseTransport):
    """Requests that are steps."""

    def __init__(self, death: Death) -> None:
        self._death = death
        self._inner = httpx.AsyncHTTPTransport(verify=NO_TLS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        what = f"{request.method} {request.url.path}"
        self._death.step(f"before {what}")
        answer = await self._inner.handle_async_request(request)
        await answer.aread()
        self._death.step(f"after {what}")
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class Life:
    """From a start to its end."""

    def __init__(self, books: Books, death: Death, pools: UpstreamPools) -> None:
        self.death = death
        self.books = books
        clock, cipher = books.clock, Cipher(bytes(range(32)))
        db: Any = _Database(books.database, death)
        boot = f"boot-{next(books.boots)}"
        upstream = pools.client(Guard(frozenset(origins_in([node.url for node in books.nodes]))))

        async def send(outbound: Outbound) -> Reply:
            death.step("before a call")
            reply = await upstream.send(outbound)
            death.step("after a call")
            return reply

        def tools(stem: str) -> KitTools:
            http = httpx.AsyncClient(transport=_Http(death), timeout=20)
            return kit_tools(upstream=send, http=http, clock=clock, store=PluginStore(db, cipher, stem))

        self.kits = [tools("wallet_cashu"), tools("providers_routstr")]
        self.rail = CashuRail(configure(arbstr_wallet_cashu, table(books.mint)), self.kits[0])
        self.wallet = Wallet(self.rail, self.kits[0])
        self.provider = RoutstrProvider(configure(arbstr_providers_routstr, books.table()), self.kits[1])
        self.vault, self.treasury, self.requests = Vault(db, boot_id=boot), Treasury(db, boot_id=boot), Requests(db)
        rails = Rails([self.rail])
        office = Office(self.vault, self.treasury, clock, alone=True)
        self.sender = Sender(self.vault, self.treasury, self.requests, rails, office, cipher, clock)
        self.incoming = Incoming(rails, self.requests, self.treasury, History(db), office, cipher, clock)
        ids = books.ids
        bringing = Bringing(
            *(self.treasury, self.requests, rails, office, cipher, clock),
            ids=ids,
            working_ppm=0,
        )
        sweeping = Sweeping(self.vault, self.treasury, self.requests, rails, cipher, ids=ids)
        self.topup = TopUp(
            [self.provider], self.vault, self.treasury, office, clock, bringing=bringing, sweeping=sweeping
        )

    def ours(self, node: Node) -> Ours:
        """A node as the provider knows it."""
        return self.provider.nodes[node.name]

    async def round(self) -> None:
        """All that goes on in the background, once, a while later."""
        self.books.clock.skipped += 7
        await self.provider.tend()
        await self.topup.round()
        await self.topup.settled()
        await self.sender.round()
        await self.sender.settled()
        await self.incoming._begin()
        while self.incoming._open:
            await asyncio.wait(tuple(self.incoming._open.values()))

    async def until(self, right: Callable[[], Awaitable[bool]]) -> None:
        """Go on until it is right, and nothing is under way."""
        for _ in range(MOST_ROUNDS):
            with contextlib.suppress(ArbstrError):
                await self.round()
                if self.death.came:
                    raise Died
                if await right() and await self.resting():
                    return
        asked = [(each.id, each.state, each.reason) for each in await self.requests.list()]
        sent = [(each.id, each.state, each.reason, each.handed) for each in await self.requests.payments()]
        funds = [each for each in await self.provider.funds() if each.funding or each.sweeping or each.reserved_msat]
        raise AssertionError(f"it does not come to rest: {self.topup.problems()}, {asked}, {sent}, {funds}")

    async def resting(self) -> bool:
        """Whether nothing is under way."""
        funds = await self.provider.funds()
        asked = await self.requests.list(state=RequestState.ASKED)
        due = await self.treasury.due_payments(self.books.clock.now_ms() + 10**9)
        return not (asked or due or any(each.funding or each.sweeping or each.reserved_msat for each in funds))

    async def aclose(self) -> None:
        """After a death what is still being done ends at its next step: a connection in the making is not cut."""
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not own and "Server" not in repr(task.get_coro())]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=10)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for kit in self.kits:
            await kit.aclose()


class Books:
    """What outlives a death: the database, the mint, the nodes."""

    def __init__(self, database: Database, clock: Shifted, mint: Nutshell, theirs: Wallet) -> None:
        self.database = database
        self.clock = clock
        self.mint = mint
        self.theirs = theirs
        self.nodes: list[Node] = []
        self.boots = itertools.count()
        self.before = outstanding(mint)
        self.capital = 0
        self._ids = itertools.count()

    def ids(self, prefix: str) -> str:
        """An id that nobody had."""
        return f"{prefix}{next(self._ids):08d}"

    def table(self) -> dict[str, Any]:
        """`[plugins.providers_routstr]`."""
        return {
            "network": "regtest",
            # Those of earlier stories have nothing of ours any more, and their lists are not read again.
            "nodes": [node.url for node in self.nodes[-1:]],
            "pay": ["ecash"],
            "wait_seconds": 0,
            "idle_minutes": 100_000,
        }

    async def node(self) -> Node:
        """Another node, which has not heard of us."""
        made = Node(rail=self.theirs.rail, mint=self.mint.url)
        await made.server.start()
        self.nodes.append(made)
        return made

    @asynccontextmanager
    async def life(self, death: Death | None = None) -> AsyncIterator[Life]:
        """One life; a death in it ends the block."""
        async with UpstreamPools(connect_seconds=5) as pools:
            life = Life(self, death or Death(), pools)
            try:
                yield life
            except Died:
                return
            finally:
                await life.aclose()

    async def found(self, sat: int) -> None:
        """The operator's capital, at the mint and in the ledger."""
        async with self.life() as life:
            await life.wallet.fund(sat)
            event = Capital(rail=life.rail.name, msat=sat * SAT)
            await life.vault.post(event, realm=Network.REGTEST.value, key="capital")
        self.capital = sat * SAT

    async def right(self, life: Life, *, claimed: int = 0) -> dict[str, int]:
        """Ecash at the mint, balances at nodes and what was spent are what was put in, and the ledger says the same, to
        the msat. Its assets."""
        assets = (await life.treasury.owed())["regtest"].assets
        purse = (await life.rail.balance()).spendable_msat
        at_nodes = {account_of("providers_routstr", node.name): node.held for node in self.nodes}
        assert {name: msat for name, msat in assets.items() if name.startswith("prepaid:") and msat} == {
            f"prepaid:{name}": held for name, held in at_nodes.items() if held
        }
        assert assets["wallet_cashu"] == purse
        assert not any(msat for name, msat in assets.items() if name.startswith("transit:")), assets
        assert sum(msat for name, msat in assets.items() if name.startswith("claim:")) == claimed, assets
        assert outstanding(self.mint) - self.before == await life.wallet.held() + await self.theirs.held()
        verified = await life.vault.verify()
        assert verified.first_bad is None
        return assets


@asynccontextmanager
async def books(folder: Path, mint: Nutshell, theirs: Wallet) -> AsyncIterator[Books]:
    """On a database in `folder`. `theirs` is the purse of the nodes."""
    clock = Shifted()
    database = Database.open("sqlite:///arbstr.db", data_dir=folder, clock=clock, schemas=[schema()])
    made = Books(database, clock, mint, theirs)
    try:
        yield made
    finally:
        for node in made.nodes:
            await node.server.stop()
        await database.close()
