"""Rails against the ledger: what is found, what is booked, what freezes, and what a restored ledger does first."""

from __future__ import annotations

from pathlib import Path

import pytest
from arbstr_wallet_simulated._journal import Journal
from reconciling import RAIL, SAT, Rail, World, story

from arbstr_core.api import Msat, RailBalance, RailCost, RailState
from arbstr_core.flow._solvency import Cover, RailSeen, judge
from arbstr_core.testing import MemoryStore
from arbstr_core.types import BadRequest, Conflict
from arbstr_core.vault import HoldRequest, Job, Owed, PaymentState, Sent, Vault


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
        # What the operator has lost of his own he has no more: what is at a node is lent by those who are owed.
        (seen(90), owed(100, equity=50, lnd=90, prepaid__n=10), 100_000, Cover.COVERED, 90),
        (seen(90), owed(100, equity=50, lnd=90, prepaid__n=5), 200_000, Cover.BELOW, 95),
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


def test_what_a_node_paid_before_arbstr_came_is_its_operators(tmp_path: Path) -> None:
    """Nobody asked for it here, so there is no key; later payments without one are looked into, where money lacks."""

    async def what(world: World) -> None:
        world.plug(Rail(world.config(), Journal(world.tools.store, 100 * SAT), world.clock))
        await world.leaves(30 * SAT, key="outside-0")
        found = await world.check()
        assert (found.lost_msat, found.rails[0].problem) == (0, "")
        await world.check()
        await world.flow.capital(RAIL, 60 * SAT)
        await world.leaves(10 * SAT, key="outside-1")
        found = await world.check()
        assert (found.lost_msat, found.rails[0].surplus_msat) == (0, 0)
        await world.leaves(5 * SAT, key="outside-2")
        found = await world.check()
        assert (found.lost_msat, found.rails[0].ledger_msat, found.rails[0].surplus_msat) == (5 * SAT, 55 * SAT, 0)

    story(tmp_path, what)
