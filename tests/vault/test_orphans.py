"""Holds whose process is gone or forgot them, what a heartbeat says of the others, and what is corrected afterwards."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import msgspec
import psycopg
import pytest
from vault import paying

from arbstr_core.storage import Database
from arbstr_core.types import Conflict
from arbstr_core.vault import HoldState, Limits, LiveHolds, NewAgent, Vault, schema

LEASE = 30
DAY_MS = 86_400_000
CLOCK = """CREATE TABLE told_time (ms bigint NOT NULL);
INSERT INTO told_time VALUES (0);
CREATE OR REPLACE FUNCTION arbstr_now() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT ms FROM told_time'"""
"""The database's clock says what a table says."""


class Ground:
    """One database, any number of processes on it, and the clock that counts."""

    def __init__(self, bench, url):
        self.bench = bench
        self.url = url
        self.stack = AsyncExitStack()
        self.processes = []
        self._clock = None
        if url is not None:
            # The database's clock counts; that of the process is years off, and nobody may look at it.
            asyncio.run(self.open(url, "made").close())
            self._clock = psycopg.connect(url, autocommit=True)
            self._clock.execute(CLOCK)
        self.at(20_300 * DAY_MS)

    def open(self, url, name):
        folder = self.bench.folder / name
        folder.mkdir(exist_ok=True)
        return Database.open(url, data_dir=folder, clock=self.bench.clock, schemas=[schema()])

    def at(self, ms):
        self.now = ms
        if self._clock is None:
            self.bench.clock.ms = ms
        else:
            self._clock.execute("UPDATE told_time SET ms = %s", (ms,))

    def later(self, seconds):
        self.at(self.now + int(seconds * 1000))

    async def process(self, boot, **more):
        """A process of its own on PostgreSQL; on SQLite the one before is gone."""
        if self.url is None:
            await self.stack.aclose()
        db = self.open("sqlite:///arbstr.db", ".") if self.url is None else self.open(self.url, boot)
        self.stack.push_async_callback(db.close)
        vault = Vault(db, boot_id=boot, lease_seconds=LEASE, **more)
        self.processes.append(vault)
        await vault.heartbeat(LiveHolds())
        return vault

    async def rows(self, vault, query):
        return await vault._db.read(lambda connection: [tuple(r) for r in connection.exec_driver_sql(query)])

    async def receipt(self, vault, id):
        return json.loads((await vault.receipt(id)).body)


@pytest.fixture(params=["sqlite", "postgresql"])
def ground(request, bench):
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    made = Ground(bench, url)
    yield made
    if made._clock is not None:
        made._clock.close()


def run(ground, story):
    async def wrapped():
        async with ground.stack:
            vault = await ground.process("first")
            await ground.bench.agent(vault, fund=100_000, daily=100_000)
            await story(vault)
            last = ground.processes[-1]
            if last.shared:
                while await last.seal():
                    pass
            assert (await last.verify()).first_bad is None

    asyncio.run(wrapped())


def request(ground, *ceilings, seen=0, **more):
    made = ground.bench.request(*ceilings)
    return msgspec.structs.replace(made, seen_msat=seen, **more)


async def spent(vault):
    agent = await vault.agent("alice")
    assert agent.held_msat == 0
    return 100_000 - agent.posted_msat


@pytest.mark.parametrize(
    ("more", "full", "state", "charge"),
    [
        ({"dispatched": False, "seen": 70}, False, HoldState.RELEASED, 0),
        ({"dispatched": False, "seen": 70}, True, HoldState.RELEASED, 0),
        ({"seen": 0}, False, HoldState.SETTLED, 0),
        ({"seen": 70}, False, HoldState.SETTLED, 70),
        ({"seen": 70}, True, HoldState.SETTLED, 1_000),
    ],
)
def test_what_an_orphan_costs(ground, more, full, state, charge):
    async def story(vault):
        asked = request(ground, 1_000, **more)
        await vault.hold(asked)
        ground.later(3 * LEASE)
        other = await ground.process("second", charge_orphans_in_full=full)
        assert await other.sweep_orphans() == 1
        assert await other.sweep_orphans() == 0
        found = await other.receipt(asked.id)
        assert (found.state, found.charged_msat) == (state, charge)
        assert (await ground.receipt(other, asked.id))["ending"] == "orphaned"
        assert await spent(other) == charge

    run(ground, story)


def test_a_heartbeat_says_what_an_orphan_is_charged(ground):
    """The most that was seen counts, never more than the hold, and a hold that is named has been sent."""

    async def story(vault):
        held = [request(ground, 1_000, seen=100, dispatched=False) for _ in range(4)]
        for each in held:
            await vault.hold(each)
        ids = [each.id for each in held]
        for said in ([(ids[0], 400), (ids[1], 50), (ids[2], 999_999)], [(ids[0], 300), (ids[1], 120)]):
            ground.later(10)
            assert (await vault.heartbeat(LiveHolds(ids=frozenset(ids), seen=tuple(said)))).ended == 0
        ground.later(3 * LEASE)
        other = await ground.process("second")
        assert await other.sweep_orphans() == 4
        charges = [(await other.receipt(name)).charged_msat for name in ids]
        assert charges == [400, 120, 1_000, 0]

    run(ground, story)


def test_a_heartbeat_of_what_has_ended_changes_nothing(ground):
    async def story(vault):
        asked = request(ground, 1_000)
        await vault.hold(asked)
        seen = LiveHolds(ids=frozenset({asked.id}), seen=((asked.id, 500), ("req_unknown", 5)))
        closed, _ = await asyncio.gather(vault.settle(ground.bench.settlement(asked.id, 7)), vault.heartbeat(seen))
        assert closed.first
        await vault.heartbeat(seen)
        rows = await ground.rows(vault, "SELECT state, seen_msat, seen_ms FROM hold")
        assert rows == [("settled", 0, None)]

    run(ground, story)


def test_payouts_and_reservations_of_others_are_nobodys_orphans(ground):
    """T6 and P5: what is held for a payout ends by evidence, whatever became of the process."""

    async def story(vault):
        await vault.hold(request(ground, 1_000, kind="reservation", body_digest=b"reservation"))
        await paying.hold_payout(vault, request(ground, 1_000, kind="payout", body_digest=b"payout"))
        ground.later(10 * LEASE)
        assert (await vault.heartbeat(LiveHolds())).ended == 0
        ground.later(10 * LEASE)
        other = await ground.process("second")
        assert await other.sweep_orphans() == 0
        assert (await other.agent("alice")).held_msat == 2_000

    run(ground, story)


def test_a_hold_in_no_exchange_for_a_minute_is_ended_by_its_own_process(ground):
    async def story(vault):
        forgotten, live = request(ground, 1_000, seen=30), request(ground, 1_000)
        await vault.hold(forgotten)
        await vault.hold(live)
        both = LiveHolds(ids=frozenset({forgotten.id, live.id}), seen=((forgotten.id, 40), (live.id, 0)))
        one = LiveHolds(ids=frozenset({live.id}), seen=((live.id, 0),))
        ground.later(50)
        assert (await vault.heartbeat(both)).ended == 0
        for _ in range(5):
            ground.later(11)
            assert (await vault.heartbeat(one)).ended == 0
        ground.later(11)
        assert (await vault.heartbeat(one)).ended == 1
        found = await vault.receipt(forgotten.id)
        assert (found.state, found.charged_msat) == (HoldState.SETTLED, 40)
        assert (await vault.receipt(live.id)).state is HoldState.HELD

    run(ground, story)


def test_t14_no_stale_sweep_frees_a_live_call(ground):
    """T14: a call outlives every time-out, its clock jumps by days, and it is charged exactly once, exactly."""

    async def story(vault):
        asked = request(ground, 5_000, seen=10)
        await vault.hold(asked)
        for turn in range(40):
            ground.later(LEASE * 0.9 if turn % 10 else 2 * DAY_MS / 1000)
            live = LiveHolds(ids=frozenset({asked.id}), seen=((asked.id, 10 * turn),))
            assert (await vault.heartbeat(live)).ended == 0
            assert await vault.sweep_orphans() == 0
            if ground.url is not None:
                other = await ground.process(f"other-{turn}") if turn % 13 == 0 else vault
                assert await other.sweep_orphans() == 0
        # Named in no heartbeat with what it used, but open: still not stale.
        ground.later(2 * DAY_MS / 1000)
        assert (await vault.heartbeat(LiveHolds(ids=frozenset({asked.id})))).ended == 0
        closed = await vault.settle(ground.bench.settlement(asked.id, 4_321))
        assert (closed.first, closed.charged_msat) == (True, 4_321)
        assert await spent(vault) == 4_321

    run(ground, story)


# -- leases, on a database that several processes share ---------------------------------------------------------------


@pytest.fixture
def shared(bench, postgres_url):
    made = Ground(bench, postgres_url)
    yield made
    made._clock.close()


def test_nobody_sweeps_a_process_that_lives(shared):
    async def story(vault):
        asked = request(shared, 1_000, seen=5)
        await vault.hold(asked)
        other = await shared.process("second")
        for seconds, swept in ((LEASE, 0), (LEASE, 0), (0.001, 1)):
            shared.later(seconds)
            assert await other.sweep_orphans() == swept
        assert await spent(vault) == 5

    run(shared, story)


def test_a_renewed_lease_counts_and_a_lapsed_one_is_told(shared):
    async def story(vault):
        asked = request(shared, 1_000, seen=5)
        await vault.hold(asked)
        live = LiveHolds(ids=frozenset({asked.id}), seen=((asked.id, 5),))
        other = await shared.process("second")
        for _ in range(5):
            shared.later(LEASE)
            assert not (await vault.heartbeat(live)).lapsed
            assert await other.sweep_orphans() == 0
        shared.later(LEASE + 0.001)
        assert (await vault.heartbeat(live)).lapsed
        assert not (await vault.heartbeat(live)).lapsed

    run(shared, story)


def test_a_process_that_says_it_ends_is_not_waited_for(shared):
    async def story(vault):
        asked = request(shared, 1_000, seen=5)
        await vault.hold(asked)
        other = await shared.process("second")
        await vault.leave()
        assert await other.sweep_orphans() == 1
        assert (await vault.heartbeat(LiveHolds())).lapsed

    run(shared, story)


def test_two_sweepers_at_once_end_each_orphan_once(shared):
    async def story(vault):
        asked = [request(shared, 10, seen=1) for _ in range(300)]
        await asyncio.gather(*(vault.hold(each) for each in asked))
        shared.later(3 * LEASE)
        others = [await shared.process(name) for name in ("second", "third")]
        assert sum(await asyncio.gather(*(other.sweep_orphans() for other in others))) == 300
        assert await spent(others[0]) == 300

    run(shared, story)


# -- what is known later ----------------------------------------------------------------------------------------------


async def swept(ground, asked):
    """Another process, which has just ended the hold of the first; on SQLite that one is gone."""
    ground.later(3 * LEASE)
    other = await ground.process("second")
    assert await other.sweep_orphans() == 1
    return other


@pytest.mark.parametrize(("late", "paid"), [(300, 300), (40, 40), (0, 0), (1_000, 1_000), (100, 100)])
def test_a_late_settle_gets_the_stored_outcome_and_corrects_it(ground, late, paid):
    async def story(vault):
        asked = request(ground, 1_000, seen=100)
        await vault.hold(asked)
        other = await swept(ground, asked)
        settlement = ground.bench.settlement(asked.id, late, ("groq", 50, True))
        for _ in range(3):
            closed = await other.settle(settlement)
            assert (closed.first, closed.state, closed.charged_msat) == (False, HoldState.SETTLED, paid)
        assert await spent(other) == paid
        assert (await other.receipt(asked.id)).charged_msat == paid
        rows = await ground.rows(
            other,
            """SELECT x.kind, x.amount_msat, y.kind, x.memo FROM transfer x JOIN transfer y ON y.seq = x.refers_to""",
        )
        assert [row[:3] for row in rows] == [("correction", abs(late - 100), "settle")]
        assert json.loads(rows[0][3])["receipt"] == json.loads(ground.bench.settlement("", 0).receipt)
        owed = await ground.rows(
            other,
            """SELECT sum(e.amount_msat) FROM entry e JOIN account a ON a.id = e.account_id
            WHERE a.name = 'payable:groq'""",
        )
        assert owed == [(50,)]
        assert await ground.rows(other, "SELECT sum(used) FROM bucket WHERE kind = 'day'") == [(paid,)]

    run(ground, story)


def test_a_late_release_gives_back_what_was_charged(ground):
    async def story(vault):
        asked = request(ground, 1_000, seen=100)
        await vault.hold(asked)
        other = await swept(ground, asked)
        closed = await other.release(asked.id, b"{}")
        assert (closed.first, closed.charged_msat) == (False, 0)
        assert await spent(other) == 0

    run(ground, story)


def test_the_end_of_a_live_process_is_never_corrected_by_a_second_one(ground):
    async def story(vault):
        asked = request(ground, 1_000, seen=100)
        await vault.hold(asked)
        await vault.settle(ground.bench.settlement(asked.id, 700))
        for again in (1, 1_000):
            closed = await vault.settle(ground.bench.settlement(asked.id, again))
            assert (closed.first, closed.charged_msat) == (False, 700)
        assert (await vault.release(asked.id, b"{}")).charged_msat == 700
        assert await spent(vault) == 700

    run(ground, story)


def test_corrections_are_within_the_old_hold_and_once_a_key(ground):
    async def story(vault):
        asked = request(ground, 1_000)
        await vault.hold(asked)
        with pytest.raises(Conflict, match="open"):
            await vault.correct(asked.id, 5, reason="too early", key="k")
        await vault.settle(ground.bench.settlement(asked.id, 700))
        steps = [("a", 200, 200), ("a", 200, 200), ("b", 5_000, 1_000), ("c", 0, 0), ("d", 40, 40)]
        for key, charge, paid in steps:
            closed = await vault.correct(asked.id, charge, reason="the bill", key=key)
            assert closed.charged_msat == paid
            assert await spent(vault) == paid
        with pytest.raises(Conflict, match="something else"):
            await vault.correct(asked.id, 1, reason="the bill", key="d")
        both = [vault.correct(asked.id, charge, reason="at once", key=f"e{charge}") for charge in (30, 10, 20)]
        assert [closed.charged_msat for closed in await asyncio.gather(*both)] == [30, 10, 20]
        assert await spent(vault) == 20
        assert await ground.rows(vault, "SELECT sum(used) FROM bucket WHERE kind = 'day'") == [(20,)]

    run(ground, story)


@pytest.mark.parametrize(
    ("limits", "fund", "others", "paid"),
    [
        ({"daily_msat": 1_500}, 100_000, 1_000, 500),
        ({"hourly_msat": 1_500}, 100_000, 1_000, 500),
        ({}, 1_000, 900, 100),
        ({}, 1_000, 1_000, 0),
    ],
)
def test_a_correction_passes_neither_a_limit_nor_the_balance(ground, limits, fund, others, paid):
    """P1: what the orphan gave back may have been spent since; then there is nothing more to charge."""

    async def story(vault):
        await vault.create_agent(
            NewAgent(
                id="ag_bob",
                name="bob",
                realm="sim",
                token_hash=b"b" * 32,
                limits=Limits(**{"max_charge_msat": 1_000, "daily_msat": 10_000, **limits}),
                fund_msat=fund,
                rail="simulated",
            )
        )
        asked = request(ground, 1_000, agent="ag_bob")
        await vault.hold(asked)
        await vault.settle(ground.bench.settlement(asked.id, 0))
        other = request(ground, others, agent="ag_bob")
        await vault.hold(other)
        await vault.settle(ground.bench.settlement(other.id, others))
        assert (await vault.correct(asked.id, 1_000, reason="the bill", key="k")).charged_msat == paid

    run(ground, story)


def test_a_child_is_corrected_in_every_window_it_counts_in(ground):
    async def story(vault):
        await vault.create_agent(
            NewAgent(
                id="ag_child",
                name="child",
                realm="sim",
                token_hash=b"c" * 32,
                limits=Limits(max_charge_msat=1_000, daily_msat=1_000, hourly_msat=1_000),
                parent="ag_alice",
            )
        )
        asked = request(ground, 900, agent="ag_child")
        await vault.hold(asked)
        await vault.settle(ground.bench.settlement(asked.id, 600))
        await vault.correct(asked.id, 250, reason="the bill", key="k")
        rows = await ground.rows(vault, "SELECT agent_id, kind, used FROM bucket ORDER BY 1, 2")
        assert rows == [("ag_alice", "day", 250), ("ag_child", "day", 250), ("ag_child", "minute", 250)]
        assert await spent(vault) == 250

    run(ground, story)
