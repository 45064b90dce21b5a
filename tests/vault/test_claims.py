"""A request that comes again within ten minutes is told of the call that it was made for, and gets its answer."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from arbstr_core.vault import Claim, Claimed, Granted, HoldState, Limits, RefusalReason

MINUTES = 60_000
DIGEST = b"d" * 16


def told(bench, story, **more):
    async def whole():
        async with bench.vault() as vault:
            await bench.agent(vault, **more)
            await bench.agent(vault, "bob")
            return await story(vault)

    return asyncio.run(whole())


def asked(bench, *, retry=False, digest=DIGEST, body=None, agent="ag_alice"):
    claim = Claim(digest=digest, body=body, retry=retry)
    return msgspec.structs.replace(bench.request(100, agent=agent), claim=claim)


def test_a_retry_is_told_of_the_first_while_it_runs_and_when_it_has_ended(bench):
    async def story(vault):
        first = asked(bench)
        await vault.hold(first)
        assert await vault.hold(asked(bench, retry=True)) == Claimed(id=first.id, state=HoldState.HELD)
        await vault.settle(bench.settlement(first.id, 50))
        assert await vault.hold(asked(bench, retry=True)) == Claimed(id=first.id, state=HoldState.SETTLED)
        assert (await vault.agent("alice")).available_msat == 9_950

    told(bench, story)


def test_together_in_one_batch_only_the_first_is_held(bench):
    async def story(vault):
        requests = [asked(bench, retry=True) for _ in range(64)]
        answers = await asyncio.gather(*(vault.hold(request) for request in requests))
        assert [type(answer) for answer in answers] == [Granted] + [Claimed] * 63
        assert {answer.id for answer in answers} == {requests[0].id}

    told(bench, story)


def test_what_came_to_nothing_is_asked_anew(bench):
    async def story(vault):
        first = asked(bench)
        await vault.hold(first)
        await vault.release(first.id, b"{}")
        second = asked(bench, retry=True)
        assert isinstance(await vault.hold(second), Granted)
        assert await vault.hold(asked(bench, retry=True)) == Claimed(id=second.id, state=HoldState.HELD)

    told(bench, story)


def test_asking_the_same_twice_on_purpose_is_two_calls(bench):
    async def story(vault):
        first, second = asked(bench), asked(bench)
        assert isinstance(await vault.hold(first), Granted)
        assert isinstance(await vault.hold(second), Granted)
        assert await vault.hold(asked(bench, retry=True)) == Claimed(id=second.id, state=HoldState.HELD)

    told(bench, story)


def test_a_key_of_the_callers_own_is_for_one_body(bench):
    async def story(vault):
        first = asked(bench, body=b"one")
        await vault.hold(first)
        assert await vault.hold(asked(bench, body=b"one")) == Claimed(id=first.id, state=HoldState.HELD)
        assert await vault.hold(asked(bench, body=b"two")) == Claimed(id=first.id, state=None)

    told(bench, story)


def test_nobody_is_told_of_anothers_call(bench):
    async def story(vault):
        await vault.hold(asked(bench))
        assert isinstance(await vault.hold(asked(bench, retry=True, agent="ag_bob")), Granted)
        assert isinstance(await vault.hold(asked(bench, retry=True, digest=b"e" * 16)), Granted)

    told(bench, story)


@pytest.mark.parametrize("start", [0, 9 * MINUTES, 10 * MINUTES - 1])
def test_a_claim_is_good_for_ten_minutes(bench, start):
    async def story(vault):
        bench.clock.ms += start - bench.clock.ms % (10 * MINUTES)
        first = asked(bench)
        await vault.hold(first)
        bench.clock.ms += 10 * MINUTES - 1
        await vault.drop_old_claims()
        assert isinstance(await vault.hold(asked(bench, retry=True)), Claimed)
        bench.clock.ms += 1
        assert isinstance(await vault.hold(asked(bench, retry=True)), Granted)

    told(bench, story)


def test_answers_are_kept_for_ten_minutes(bench):
    async def story(vault):
        first = asked(bench)
        await vault.hold(first)
        settlement = msgspec.structs.replace(bench.settlement(first.id, 50), replay=b"sealed")
        await vault.settle(settlement)
        assert await vault.replay(first.id) == b"sealed"
        bench.clock.ms += 10 * MINUTES
        await vault.drop_old_claims()
        assert await vault.replay(first.id) == b"sealed"
        bench.clock.ms += 10 * MINUTES
        await vault.drop_old_claims()
        assert await vault.replay(first.id) is None
        assert (await vault.verify()).ok

    told(bench, story)
    assert bench.rows("SELECT count(*) FROM claim") == [(0,)]


def test_one_whose_answer_was_not_kept_is_asked_for_anew_once(bench):
    """Many wait for the same call; the first of them to ask takes its place, and the others are told of that one."""

    async def story(vault):
        first = asked(bench, body=b"one")
        await vault.hold(first)
        await vault.settle(bench.settlement(first.id, 50))
        anew = [asked(bench, body=b"one") for _ in range(8)]
        anew = [
            msgspec.structs.replace(each, claim=msgspec.structs.replace(each.claim, after=first.id)) for each in anew
        ]
        answers = await asyncio.gather(*(vault.hold(each) for each in anew))
        assert isinstance(answers[0], Granted)
        assert answers[1:] == [Claimed(id=anew[0].id, state=HoldState.HELD)] * 7
        assert await vault.hold(asked(bench, body=b"two")) == Claimed(id=anew[0].id, state=None)

    told(bench, story)


def test_a_key_that_may_not_call_gets_no_kept_answer(bench):
    async def story(vault):
        first = asked(bench, body=b"one")
        await vault.hold(first)
        await vault.settle(bench.settlement(first.id, 50))
        assert isinstance(await vault.hold(asked(bench, body=b"one")), Claimed)
        await vault.set_enabled("ag_alice", False)
        assert (await vault.hold(asked(bench, body=b"one"))).reason is RefusalReason.DISABLED
        await vault.set_enabled("ag_alice", True)
        await vault.set_limits("ag_alice", Limits(max_charge_msat=5_000, daily_msat=8_000, models=("other",)))
        assert (await vault.hold(asked(bench, body=b"one"))).reason is RefusalReason.MODEL
        # As many as may be open at one time: the first of them is what a retry waits for.
        await vault.set_limits("ag_alice", Limits(max_charge_msat=5_000, daily_msat=8_000, concurrent=1))
        await vault.hold(asked(bench, body=b"two", digest=b"e" * 16))
        assert isinstance(await vault.hold(asked(bench, body=b"two", digest=b"e" * 16)), Claimed)

    told(bench, story)
