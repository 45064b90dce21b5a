"""What the operator is told is written with what it tells of, and stays until it is delivered. On both databases."""

from __future__ import annotations

import asyncio

import msgspec
from limiting import PLENTY, agent, asked, at, granted, later, refused, story_of
from msgspec.structs import replace

from arbstr_core.vault import ApprovalNeeded, Granted

HOUR_MS = 3_600_000


async def alerts(vault):
    events = [event for event in reversed(await vault.events()) if event.event == "balance_alert"]
    return [msgspec.json.decode(event.body) for event in events]


def test_a_balance_below_the_floor_is_told_once_in_a_while(any_bench):
    async def story(vault):
        first = await granted(any_bench, vault, 500)
        assert await alerts(vault) == []
        await granted(any_bench, vault, 1)
        said = {"agent": "ag_alice", "available_msat": 499, "floor_msat": 500}
        assert await alerts(vault) == [said]
        later(any_bench, HOUR_MS - 1)
        await vault.settle(any_bench.settlement(first, 400))
        await granted(any_bench, vault, 300)
        assert await alerts(vault) == [said]
        later(any_bench, 1)
        second = await granted(any_bench, vault, 1)
        assert [each["available_msat"] for each in await alerts(vault)] == [499, 298]
        # A settle says it, too.
        later(any_bench, HOUR_MS)
        await vault.settle(any_bench.settlement(second, 1))
        assert [each["available_msat"] for each in await alerts(vault)] == [499, 298, 298]

    story_of(any_bench, story, fund=1_000, alert_floor_msat=500)


def test_what_is_given_back_in_the_same_transaction_alarms_nobody(any_bench):
    async def story(vault):
        request = asked(any_bench, 900)
        await asyncio.gather(vault.hold(request), vault.release(request.id, b"{}"))
        assert await alerts(vault) == []

    story_of(any_bench, story, fund=1_000, alert_floor_msat=500)


def test_a_refused_call_alarms_nobody(any_bench):
    async def story(vault):
        assert (await refused(any_bench, vault, 2_000))[0] == "insufficient"
        assert await alerts(vault) == []

    story_of(any_bench, story, fund=1_000, alert_floor_msat=1_000)


def test_each_key_has_its_floor_and_its_pause(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "bob", parent="alice", alert_floor_msat=900, alert_cooldown_seconds=10)
        await granted(any_bench, vault, 200, agent="bob")
        assert [each["agent"] for each in await alerts(vault)] == ["ag_bob"]
        await granted(any_bench, vault, 400, agent="bob")
        assert [each["agent"] for each in await alerts(vault)] == ["ag_bob", "ag_alice"]
        later(any_bench, 10_000)
        await granted(any_bench, vault, 1, agent="bob")
        await granted(any_bench, vault, 1)
        assert [each["agent"] for each in await alerts(vault)] == ["ag_bob", "ag_alice", "ag_bob"]

    story_of(any_bench, story, fund=1_000, alert_floor_msat=500)


def test_a_clock_set_back_does_not_silence_alerts(any_bench):
    async def story(vault):
        await granted(any_bench, vault, 600)
        later(any_bench, -1_000 * HOUR_MS)
        await granted(any_bench, vault, 1)
        assert len(await alerts(vault)) == 2

    story_of(any_bench, story, fund=1_000, alert_floor_msat=500)


def test_a_new_floor_counts_for_calls_that_are_open(any_bench):
    async def story(vault):
        first = await granted(any_bench, vault, 100)
        await vault.set_limits("ag_alice", replace(PLENTY, alert_floor_msat=2_000))
        await vault.settle(any_bench.settlement(first, 50))
        # Only calls held for under a floor are looked at, and the floor is that of now.
        assert [each["floor_msat"] for each in await alerts(vault)] == [2_000]

    story_of(any_bench, story, fund=1_000, alert_floor_msat=1)


def test_alerts_and_events_survive_a_restart(any_bench):
    async def story():
        async with any_bench.vault("boot-1") as vault:
            at(any_bench, any_bench.clock.ms)
            limits = {"max_charge_msat": 100, "approval_seconds": 60}
            await agent(any_bench, vault, "alice", fund=1_000, alert_floor_msat=1_000, **limits)
            await granted(any_bench, vault, 1)
            assert isinstance(await vault.hold(asked(any_bench, 200, body_digest=b"x")), ApprovalNeeded)
        async with any_bench.vault("boot-2") as vault:
            await granted(any_bench, vault, 1)
            assert len(await alerts(vault)) == 1
            first = await vault.next_event()
            assert first.event == "balance_alert"
            await vault.not_delivered(first.seq, "the answer was 500", wait_ms=2_000)
            again = await vault.next_event()
            assert (again.seq, again.attempts, again.last_error) == (first.seq, 1, "the answer was 500")
            assert again.due_ms == any_bench.clock.ms + 2_000
        async with any_bench.vault("boot-3") as vault:
            assert await vault.next_event() == again
            await vault.delivered(first.seq)
            await vault.delivered(first.seq)
            second = await vault.next_event()
            assert second.event == "approval_required"
            done = [event for event in await vault.events() if event.delivered_ms is not None]
            assert [(event.seq, event.attempts) for event in done] == [(first.seq, 2)]
            await vault.not_delivered(first.seq, "late news of another process", wait_ms=1)
            assert [event for event in await vault.events() if event.delivered_ms is not None] == done
            await vault.delivered(second.seq)
            assert await vault.next_event() is None
            assert await vault.events(undelivered=True) == []

    asyncio.run(story())


def test_what_is_rolled_back_is_not_told(any_bench):
    """One poisoned operation of a batch: the others, and what they tell, go through once."""

    async def story(vault):
        calls = [vault.hold(asked(any_bench, 100)) for _ in range(6)]
        bad = vault.settle(any_bench.settlement("req_none", 1))
        answers = await asyncio.gather(*calls, bad, return_exceptions=True)
        assert sum(isinstance(answer, Granted) for answer in answers) == 6
        assert len(await alerts(vault)) == 1

    story_of(any_bench, story, fund=1_000, alert_floor_msat=1_000)


def test_events_are_paged(any_bench):
    async def story(vault):
        for n in range(5):
            await vault.hold(asked(any_bench, 200, body_digest=bytes([n])))
        everything = [event.seq for event in await vault.events()]
        first = await vault.events(most=2)
        rest = await vault.events(before=first[-1].seq)
        assert [event.seq for event in (*first, *rest)] == everything == sorted(everything, reverse=True)
        assert len(everything) == 5

    story_of(any_bench, story, max_charge_msat=100, approval_seconds=60)
