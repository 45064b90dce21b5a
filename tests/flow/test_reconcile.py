"""Rails against the ledger: what is found, what is booked, what freezes, and what a restored ledger does first."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import arbstr_wallet_simulated as simulated
import pytest
from arbstr_wallet_simulated._config import Config
from arbstr_wallet_simulated._journal import Journal
from arbstr_wallet_simulated._rail import SimulatedRail

from arbstr_core.api import Amount, Msat, RailBalance, RailCost, RailState, RailStatus, RailUnavailable
from arbstr_core.flow import Office, Reconcile, SolvencyFlow
from arbstr_core.flow._solvency import Cover, RailSeen, judge
from arbstr_core.rails import Rails
from arbstr_core.storage import Database
from arbstr_core.testing import FakeClock, MemoryStore, configure, kit_tools
from arbstr_core.types import BadRequest, Conflict, Deposit
from arbstr_core.vault import (
    HoldRequest,
    Job,
    Limits,
    NewAgent,
    NewPayment,
    NewRequest,
    Owed,
    PaymentKind,
    PaymentState,
    Purpose,
    RequestKind,
    Requests,
    Sent,
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

    def plug(self, *rails: SimulatedRail) -> None:
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

    async def agent(self, name: str = "a", *, fund: int = 0) -> str:
        limits = Limits(max_charge_msat=10**12, daily_msat=10**12, max_fee_msat=10**9, payouts_unapproved_msat=10**12)
        new = NewAgent(
            id=f"ag_{name}",
            name=name,
            realm="sim",
            token_hash=hashlib.sha256(name.encode()).digest(),
            limits=limits,
            fund_msat=fund,
            rail=RAIL,
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

    async def payout(self, id: str, agent: str, msat: int) -> None:
        """An agent's payout, written down and not sent."""
        request = HoldRequest(
            id=id, agent=agent, ceilings=(msat,), candidates=b"[]", model="", kind="payout", body_digest=id.encode()
        )
        new = NewPayment(
            id=id,
            kind=PaymentKind.PAYOUT,
            realm="sim",
            agent=agent,
            amount_msat=msat,
            fee_msat=0,
            destination="somebody",
            target=b"{}",
            reference=id,
            rails=(RAIL,),
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


def test_a_realm_that_has_what_it_owes_is_covered(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent()
        await world.comes(50 * SAT, agent=agent)
        found = await world.check()
        assert (found.cover, found.least_msat, found.owed_msat) == (Cover.COVERED, 50 * SAT, 50 * SAT)
        assert found.rails[0].surplus_msat == 0
        said = await world.flow.solvency()
        assert said["realms"][0]["state"] == "covered"
        assert said["realms"][0]["below"] == 0
        assert said["frozen"] == []

    story(tmp_path, what)


def test_simulated_money_that_was_made_counts_as_held(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent(fund=70 * SAT)
        await world.comes(5 * SAT, agent=agent)
        found = await world.check()
        assert (found.cover, found.made_msat, found.least_msat) == (Cover.COVERED, 70 * SAT, 75 * SAT)
        assert found.rails[0].surplus_msat == 0

    story(tmp_path, what)


def test_the_third_check_below_freezes_what_goes_out_and_only_that(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent()
        await world.comes(50 * SAT, agent=agent)
        await world.lose()
        for below in (1, 2):
            assert (await world.check()).cover is Cover.BELOW
            said = await world.flow.solvency()
            assert (said["realms"][0]["state"], said["realms"][0]["below"]) == ("suspect", below)
            assert said["frozen"] == []
        await world.check()
        said = await world.flow.solvency()
        assert said["realms"][0]["state"] == "frozen"
        assert said["frozen"][0]["scope"] == "realm:sim"
        assert "hold 0 msat at most, and have to hold 50000 msat" in said["frozen"][0]["reason"]
        await world.payout("pay_1", agent, 10 * SAT)
        assert "is frozen" in (await world.dispatched("pay_1")).reason
        call = HoldRequest(id="req_1", agent=agent, ceilings=(SAT,), candidates=b"[]", model="m")
        assert (await world.vault.hold(call)).amount_msat == SAT
        await world.vault.release("req_1", b"{}")

    story(tmp_path, what)


def test_a_thaw_lets_money_leave_until_three_more_checks_are_below(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent()
        await world.comes(50 * SAT, agent=agent)
        await world.lose()
        for _ in range(3):
            await world.check()
        thawed = await world.flow.freeze(realm="sim", rail=None, reason="I know", actor="olga", frozen=False)
        assert thawed == {"scope": "realm:sim", "frozen": False, "changed": True}
        await world.payout("pay_1", agent, 10 * SAT)
        assert isinstance(await world.dispatched("pay_1"), Sent)
        await world.check()
        assert (await world.flow.solvency())["realms"][0]["below"] == 1
        again = await world.flow.freeze(realm="sim", rail=None, reason="I know", actor="olga", frozen=False)
        assert again["changed"] is False

    story(tmp_path, what)


def test_a_check_that_is_well_ends_the_row(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent()
        await world.comes(50 * SAT, agent=agent)
        whole, empty = world.rail, Rail(world.config(), Journal(MemoryStore(), 0), world.clock)
        for rail, below in ((empty, 1), (empty, 2), (whole, 0), (empty, 1), (empty, 2)):
            assert rail is not None
            world.plug(rail)
            await world.check()
            assert (await world.flow.solvency())["realms"][0]["below"] == below
        assert await world.treasury.frozen() == []

    story(tmp_path, what)


def test_a_rail_that_does_not_answer_is_no_evidence_and_ends_no_row(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent()
        await world.comes(50 * SAT, agent=agent)
        empty = Rail(world.config(), Journal(MemoryStore(), 0), world.clock)
        world.plug(empty)
        await world.check()
        await world.check()
        empty.silent = True
        for _ in range(4):
            assert (await world.check()).cover is Cover.UNKNOWN
        said = (await world.flow.solvency())["realms"][0]
        assert (said["below"], said["rails"][0]["spendable_msat"]) == (2, None)
        assert await world.treasury.frozen() == []
        empty.silent = False
        await world.check()
        assert [each.scope for each in await world.treasury.frozen()] == ["realm:sim"]

    story(tmp_path, what)


def test_money_on_a_rail_that_is_not_enabled_is_unknown(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        await world.comes(50 * SAT, agent=await world.agent())
        world.plug()
        found = await world.check()
        assert (found.cover, found.rails[0].state, found.rails[0].name) == (Cover.UNKNOWN, "absent", RAIL)

    story(tmp_path, what)


@pytest.mark.parametrize("state", [RailState.WRONG_NODE, RailState.ROLLED_BACK])
def test_a_rail_that_is_not_the_one_it_was_is_frozen(tmp_path: Path, state: RailState) -> None:
    async def what(world: World) -> None:
        assert isinstance(world.rail, Rail)
        world.rail.state = state
        await world.check()
        [frozen] = await world.treasury.frozen()
        assert frozen.scope == f"rail:{RAIL}"
        assert state.value in frozen.reason

    story(tmp_path, what)


def test_a_rails_own_costs_are_booked_once(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        await world.comes(50 * SAT, agent=None)
        assert isinstance(world.rail, Rail)
        costs = [RailCost(reference=f"swap{n}", amount_msat=Msat(n), reason="swap", cursor=str(n)) for n in (1, 2)]
        free = RailCost(reference="free", amount_msat=Msat(0), reason="swap", cursor="3")
        world.rail.paid = (*costs, free)
        for _ in range(2):
            found = await world.check()
            assert (found.rails[0].ledger_msat, found.rails[0].problem) == (50 * SAT - 3, "")
        assert await world.treasury.place(RAIL, "costs") == "3"

    story(tmp_path, what)


def test_a_cost_above_what_the_ledger_has_is_told_and_waits(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        assert isinstance(world.rail, Rail)
        world.rail.paid = (RailCost(reference="swap", amount_msat=Msat(7), reason="swap", cursor="1"),)
        assert "its cost swap" in (await world.check()).rails[0].problem
        await world.comes(50 * SAT, agent=None)
        found = await world.check()
        assert (found.rails[0].problem, found.rails[0].ledger_msat) == ("", 50 * SAT - 7)

    story(tmp_path, what)


def test_what_left_unasked_waits_in_suspense_and_the_operator_is_told(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        await world.comes(50 * SAT, agent=await world.agent())
        await world.check()
        reference = await world.leaves(20 * SAT, key="pay_of_another:1")
        for _ in range(2):
            found = await world.check()
            assert (found.lost_msat, found.rails[0].ledger_msat, found.rails[0].surplus_msat) == (20 * SAT, 30 * SAT, 0)
        assert found.cover is Cover.BELOW
        events = [event for event in await world.vault.events() if event.event == "left_unasked"]
        assert len(events) == 1
        assert reference in events[0].body.decode()

    story(tmp_path, what)


def test_payments_that_the_ledger_sent_are_no_surprise(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent()
        await world.comes(50 * SAT, agent=agent)
        await world.payout("pay_1", agent, 10 * SAT)
        assert isinstance(await world.dispatched("pay_1"), Sent)
        await world.leaves(10 * SAT, key="pay_1:1")
        found = await world.check()
        assert (found.lost_msat, found.rails[0].problem) == (0, "")
        assert await world.treasury.place(RAIL, "payments") == "1"

    story(tmp_path, what)


def test_a_restored_ledger_pays_nothing_until_rails_were_walked(tmp_path: Path) -> None:
    """A payment that the backup holds for one not sent is looked up, one that it does not know goes to suspense."""

    async def what(world: World) -> None:
        agent = await world.agent()
        await world.comes(50 * SAT, agent=agent)
        await world.payout("pay_1", agent, 10 * SAT)
        await world.vault.mark_restored("backup.db")
        assert "has not been compared" in (await world.dispatched("pay_1")).reason
        await world.leaves(10 * SAT, key="pay_1:1")
        await world.leaves(5 * SAT, key="pay_2:1")
        found = await world.check()
        assert (found.lost_msat, found.rails[0].walked) == (5 * SAT, True)
        payment = await world.requests.payment("pay_1")
        assert payment is not None
        assert payment.state is PaymentState.UNKNOWN
        await world.payout("pay_3", agent, 10 * SAT)
        assert isinstance(await world.dispatched("pay_3"), Sent)

    story(tmp_path, what)


def test_a_restored_ledger_waits_for_a_rail_that_is_away(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent()
        await world.comes(50 * SAT, agent=agent)
        await world.payout("pay_1", agent, 10 * SAT)
        await world.vault.mark_restored("backup.db")
        assert isinstance(world.rail, Rail)
        world.rail.state = RailState.DOWN
        assert (await world.check()).rails[0].walked is False
        assert "has not been compared" in (await world.dispatched("pay_1")).reason
        world.rail.state = RailState.READY
        assert (await world.check()).rails[0].walked is True
        assert isinstance(await world.dispatched("pay_1"), Sent)

    story(tmp_path, what)


def test_capital_is_what_two_checks_found_beyond_the_ledger(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        agent = await world.agent()
        with pytest.raises(Conflict):
            await world.flow.capital(RAIL, None)
        await world.comes(50 * SAT, agent=agent)
        await world.check()
        with pytest.raises(BadRequest):
            await world.flow.capital(RAIL, None)
        await world.comes(8 * SAT, agent=agent, id="rq_2", credit=False)
        with pytest.raises(BadRequest):
            # It may be a deposit that nobody has credited yet.
            await world.flow.capital(RAIL, None)
        await world.credit(agent)
        assert isinstance(world.rail, Rail)
        store = world.tools.store
        rich = Rail(world.config(), Journal(store, 30 * SAT), world.clock)
        world.plug(rich)
        await world.check()
        with pytest.raises(BadRequest):
            await world.flow.capital(RAIL, 31 * SAT)
        booked = await world.flow.capital(RAIL, None)
        assert booked["amount_msat"] == 30 * SAT
        found = await world.check()
        assert (found.equity_msat, found.rails[0].surplus_msat) == (30 * SAT, 0)

    story(tmp_path, what)


def test_another_process_that_moves_money_compares(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        other = Vault(world.db, boot_id="other")
        assert await other.take_job(Job.TREASURY, seconds=1_000) is not None
        assert await world.reconcile.check() is None
        assert await world.treasury.solvency() == []

    story(tmp_path, what)


def test_scopes_are_known(tmp_path: Path) -> None:
    async def what(world: World) -> None:
        for wrong in ({"realm": None, "rail": None}, {"realm": "sim", "rail": RAIL}, {"realm": "mars", "rail": None}):
            with pytest.raises(BadRequest):
                await world.flow.freeze(**wrong, reason="r", actor="olga", frozen=True)
        done = await world.flow.freeze(realm=None, rail=RAIL, reason="r", actor="olga", frozen=True)
        assert done["scope"] == f"rail:{RAIL}"
        said = await world.flow.solvency(now=True)
        assert said["frozen"][0]["reason"] == "r"
        assert said["realms"][0]["checked_ms"] is None

    story(tmp_path, what)


def seen(spendable: int, in_flight: int = 0, closing: int = 0) -> RailSeen:
    balance = RailBalance(spendable_msat=Msat(spendable), in_flight_msat=Msat(in_flight), closing_msat=Msat(closing))
    return RailSeen(name="lnd", state=RailState.READY, balance=balance)


def owed(agents: int, *, equity: int = 0, **assets: int) -> Owed:
    named = {name.replace("__", ":"): msat for name, msat in assets.items()}
    return Owed(
        realm="mainnet",
        agents_msat=agents,
        sellers_msat=0,
        calls_msat=0,
        suspense_msat=0,
        equity_msat=equity,
        assets=named,
    )


@pytest.mark.parametrize(
    ("rail", "what", "working_ppm", "cover", "needed"),
    [
        (seen(100), owed(100), 0, Cover.COVERED, 100),
        (seen(60, 30, 10), owed(100), 0, Cover.WAITING, 100),
        (seen(60, 30, 9), owed(100), 0, Cover.BELOW, 100),
        # The operator's own money is at a node: what is owed stays on the rail.
        (seen(99), owed(100, equity=50, prepaid__n=50), 0, Cover.BELOW, 100),
        (seen(100), owed(100, equity=50, prepaid__n=50), 0, Cover.COVERED, 100),
        # A fifth of what is owed may work at nodes, and does; more than that is no cover.
        (seen(80), owed(100, prepaid__n=10, transit__n=10), 200_000, Cover.COVERED, 80),
        (seen(70), owed(100, prepaid__n=30), 200_000, Cover.BELOW, 80),
        (seen(90), owed(100, prepaid__n=10, claim__n=0), 0, Cover.BELOW, 100),
    ],
)
def test_the_judgement(rail: RailSeen, what: Owed, working_ppm: int, cover: Cover, needed: int) -> None:
    found = judge(what, [rail], working_ppm=working_ppm)
    assert (found.cover, found.needed_msat) == (cover, needed)
    assert bool(found.reason) == (cover is not Cover.COVERED)


def test_what_is_on_its_way_is_neither_surplus_nor_lack() -> None:
    found = judge(owed(90, lnd=100), [seen(90, 20)], working_ppm=0).rails[0]
    assert found.surplus_msat == 0
    assert judge(owed(90, lnd=100), [seen(80, 5)], working_ppm=0).rails[0].surplus_msat == -15
    assert judge(owed(90, lnd=100), [seen(130, 5)], working_ppm=0).rails[0].surplus_msat == 30
