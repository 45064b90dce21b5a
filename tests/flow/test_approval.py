"""Calls that an operator decides on: they wait as long as their callers asked to, and start again with the grant."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from exchanges import CALLER, bench, good
from house import until
from msgspec.structs import replace as changed

from arbstr_core.flow import Approvals, CallFlow
from arbstr_core.flow.approval import patience
from arbstr_core.journal import Journal
from arbstr_core.plugins import LoopClock
from arbstr_core.testing import a_call
from arbstr_core.types import ApprovalDenied, ApprovalRequired, LimitExceeded
from arbstr_core.vault import ApprovalState, Limits, Vault

LIMITS = Limits(max_charge_msat=1, daily_msat=10**9, approval_seconds=60)


class Room:
    def __init__(self, made, approvals, asked):
        self.made = made
        self.vault = made.vault
        self.approvals = approvals
        self.elsewhere = Vault(made.database, boot_id="elsewhere")
        self.asked = asked
        rooms = replace(made.rooms, approvals=approvals, body_key=bytes(32))
        self.flow = CallFlow(rooms, None, Journal(None, rooms.clock))
        self.number = 0

    async def call(self, *, wait=None, body=None):
        """One call to its end; what it was charged."""
        self.number += 1
        call = changed(a_call(stream=False, output_limit=100), id=f"req_{self.number}")
        if wait is not None:
            call = changed(call, hints={"prefer": f"respond-async, wait={wait}"})
        exchange = self.flow.begin(call, CALLER)
        try:
            await exchange.open()
            await exchange.body()
        finally:
            await exchange.close()
        return (await self.vault.receipt(call.id)).charged_msat

    async def pending(self):
        """The approval that waits, once there is one."""

        async def look():
            return await self.vault.approvals(state=ApprovalState.PENDING)

        return (await until(look))[0]


@asynccontextmanager
async def room(folder, limits=LIMITS, **more):
    asked = []

    async def does(call):
        asked.append(call)
        return await good(call)

    async with bench(folder, does) as made:
        await made.vault.set_limits("ag_a", limits)
        opened = Room(made, Approvals(made.vault, made.rooms.clock, **more), asked)
        yield opened
        assert await opened.flow.drain(5) == 0


def test_a_call_that_does_not_wait_is_told_of_its_approval(tmp_path):
    async def story():
        async with room(tmp_path) as here:
            with pytest.raises(ApprovalRequired, match="apr_") as needed:
                await here.call()
            pending = await here.pending()
            assert (needed.value.approval, needed.value.expires_ms) == (pending.id, pending.expires_ms)
            assert needed.value.needed_msat == pending.ceiling_msat > 1
            # The same again is the same, and once it is granted it goes through.
            with pytest.raises(ApprovalRequired, match=pending.id):
                await here.call()
            assert here.asked == []
            await here.vault.decide(pending.id, grant=True, actor="operator")
            assert await here.call() > 0
            assert (await here.vault.approval(pending.id)).state is ApprovalState.USED
            with pytest.raises(ApprovalRequired):
                await here.call()
            assert len(here.asked) == 1

    asyncio.run(story())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_call_that_waits_starts_again_with_the_grant(tmp_path, elsewhere):
    """Decided here it is woken at once; decided by another process it looks now and then."""

    async def story():
        async with room(tmp_path, look_seconds=0.02 if elsewhere else 600) as here:
            call = asyncio.create_task(here.call(wait=300))
            pending = await here.pending()
            decide = here.elsewhere.decide if elsewhere else here.vault.decide
            await decide(pending.id, grant=True, actor="operator")
            assert await call > 0
            assert (await here.vault.approval(pending.id)).hold_id == "req_1"
            assert len(here.asked) == 1

    asyncio.run(story())


def test_a_call_that_is_denied_is_refused_at_once(tmp_path):
    async def story():
        async with room(tmp_path, look_seconds=600) as here:
            call = asyncio.create_task(here.call(wait=300))
            pending = await here.pending()
            await here.vault.decide(pending.id, grant=False, actor="operator")
            with pytest.raises(ApprovalDenied, match=f"an operator has denied it .approval {pending.id}"):
                await call
            assert here.asked == []

    asyncio.run(story())


def test_nobody_waits_longer_than_it_asked_to(tmp_path):
    async def story():
        async with room(tmp_path, look_seconds=0.01) as here:
            with pytest.raises(ApprovalRequired):
                await here.call(wait=1)
            assert (await here.pending()).state is ApprovalState.PENDING

    asyncio.run(story())


class Desk:
    """A vault as far as whoever waits knows it. `meanwhile` happens between a look and its answer."""

    def __init__(self):
        self.looks = Counter()
        self.states = {}
        self.meanwhile = lambda id: None

    def tell(self, decided):
        self.decided = decided

    def grant(self, id):
        self.states[id] = ApprovalState.GRANTED
        self.decided(id)

    async def approval(self, id):
        self.looks[id] += 1
        found = SimpleNamespace(state=self.states.get(id, ApprovalState.PENDING))
        self.meanwhile(id)
        return found


def waits_for(approvals, id):
    return asyncio.create_task(approvals.wait(SimpleNamespace(id=id), "ag_a", until=float("inf")))


def test_a_decision_wakes_only_those_that_wait_for_it():
    """A hundred decisions while a hundred wait are a hundred looks, not ten thousand."""

    async def story():
        desk = Desk()
        approvals = Approvals(desk, LoopClock(), most_waiting=100, look_seconds=600)
        waiting = [waits_for(approvals, f"apr_{number}") for number in range(20) for _ in range(2)]
        await asyncio.sleep(0)
        for number in range(20):
            desk.grant(f"apr_{number}")
            await asyncio.sleep(0)
        assert {await each for each in waiting} == {ApprovalState.GRANTED}
        assert set(desk.looks.values()) == {4}
        assert approvals._told == {}

    asyncio.run(story())


def test_a_decision_that_comes_while_it_is_looked_is_heard():
    async def story():
        desk = Desk()
        approvals = Approvals(desk, LoopClock(), look_seconds=600)
        desk.meanwhile = lambda id: desk.grant(id) if desk.looks[id] == 1 else None
        assert await asyncio.wait_for(waits_for(approvals, "apr_1"), 60) is ApprovalState.GRANTED
        assert desk.looks["apr_1"] == 2

    asyncio.run(story())


def test_so_many_connections_of_one_agent_wait(tmp_path):
    async def story():
        async with room(tmp_path, most_waiting=2, look_seconds=600) as here:
            waiting = [asyncio.create_task(here.call(wait=300)) for _ in range(5)]
            done, waits = await asyncio.wait(waiting, timeout=2, return_when=asyncio.FIRST_COMPLETED)
            while len(done) < 3:
                more, waits = await asyncio.wait(waits, timeout=2, return_when=asyncio.FIRST_COMPLETED)
                done |= more
            assert all(isinstance(each.exception(), ApprovalRequired) for each in done)
            # A grant is for one call: of those that wait one goes through, the other waits for it, and then anew.
            pending = await here.pending()
            await here.vault.decide(pending.id, grant=True, actor="operator")
            served, waits = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            assert [each.result() > 0 for each in served] == [True]
            here.flow.stop()
            (last,) = waits
            with pytest.raises(ApprovalRequired):
                await last

    asyncio.run(story())


def test_a_caller_that_leaves_waits_no_longer(tmp_path):
    async def story():
        async with room(tmp_path, most_waiting=1, look_seconds=600) as here:
            call = asyncio.create_task(here.call(wait=300))
            pending = await here.pending()
            call.cancel()
            await asyncio.wait({call})
            assert call.cancelled()
            again = asyncio.create_task(here.call(wait=300))
            await asyncio.sleep(0)
            await here.vault.decide(pending.id, grant=True, actor="operator")
            assert await again > 0

    asyncio.run(story())


def test_a_server_that_stops_lets_those_go_that_wait(tmp_path):
    async def story():
        async with room(tmp_path, look_seconds=600) as here:
            call = asyncio.create_task(here.call(wait=300))
            await here.pending()
            here.flow.stop()
            with pytest.raises(ApprovalRequired):
                await call

    asyncio.run(story())


def test_nothing_is_asked_where_the_limits_do_not_say_so(tmp_path):
    async def story():
        async with room(tmp_path, changed(LIMITS, approval_seconds=None)) as here:
            with pytest.raises(LimitExceeded) as refused:
                await here.call(wait=300)
            assert (refused.value.limit, refused.value.left_msat) == ("max_charge", 1)
            assert await here.vault.approvals() == []

    asyncio.run(story())


def test_what_nobody_decides_is_ended_in_the_background(tmp_path):
    async def story():
        async with room(tmp_path, changed(LIMITS, approval_seconds=1), tend_seconds=0.01) as here:
            with pytest.raises(ApprovalRequired):
                await here.call()
            pending = await here.pending()
            tending = asyncio.create_task(here.approvals.tend())

            async def ended():
                return (await here.vault.approval(pending.id)).state is ApprovalState.EXPIRED

            await until(ended)
            tending.cancel()
            await asyncio.wait({tending})

    asyncio.run(story())


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 0),
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ("Wait = 10;x=y", 10),
        ('wait="30"', 30),
        ("wait=99999", 600),
        ("wait=abc", 0),
        ("await=10", 0),
        ("wait=1.5", 0),
        ("wait=-1", 0),
        ("wait=99999999999", 0),
    ],
)
def test_what_prefer_says(prefer, seconds):
    assert patience(prefer) == seconds
