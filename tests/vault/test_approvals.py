"""Approvals: who is asked, what a grant lifts, when it ends, and that nobody goes around it. On both databases."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from limiting import PLENTY, agent, asked, granted, later, refused, story_of
from msgspec.structs import replace
from vault import paying

from arbstr_core.types import Conflict, NotFound
from arbstr_core.vault import ApprovalNeeded, ApprovalState, Granted, RefusalReason, _events, body_digest

LIMITS = {"max_charge_msat": 1_000, "approval_seconds": 60}
BODY = b"a body's digest"


async def needed(bench, vault, *ceilings, **more):
    """A hold that needs an approval."""
    answer = await vault.hold(asked(bench, *ceilings, **({"body_digest": BODY} | more)))
    assert isinstance(answer, ApprovalNeeded), answer
    return answer


async def approved(bench, vault, *ceilings, **more):
    """As `needed`, and an operator grants it; the approval's id."""
    answer = await needed(bench, vault, *ceilings, **more)
    await vault.decide(answer.id, grant=True, actor="operator:eve")
    return answer.id


async def state(vault, id):
    return (await vault.approval(id)).state


async def told(vault):
    return [event.event for event in reversed(await vault.events())]


def test_a_call_above_the_largest_charge_waits_for_an_operator(any_bench):
    async def story(vault):
        answer = await needed(any_bench, vault, 2_000, 5_000)
        assert (answer.needed_msat, answer.left_msat) == (2_000, 1_000)
        assert answer.expires_ms == any_bench.clock.ms + 60_000
        found = await vault.approval(answer.id)
        assert (found.agent, found.agent_name, found.kind, found.state) == ("ag_alice", "alice", "call", "pending")
        assert (found.ceiling_msat, found.models, found.limits_version) == (5_000, ("m",), 1)
        assert (found.decided_ms, found.decided_by, found.hold_id) == (None, None, None)
        # Nothing is held, and the same again is the same.
        assert (await vault.agent("alice")).held_msat == 0
        assert await needed(any_bench, vault, 2_000, 5_000) == answer
        assert [each.id for each in await vault.approvals(state=ApprovalState.PENDING)] == [answer.id]

    story_of(any_bench, story, **LIMITS)


def test_a_grant_lets_the_same_call_through_once(any_bench):
    async def story(vault):
        id = await approved(any_bench, vault, 2_000)
        call = await granted(any_bench, vault, 2_000, body_digest=BODY)
        assert await state(vault, id) is ApprovalState.HELD
        assert (await vault.approval(id)).hold_id == call
        # Twice at one time it is not.
        assert (await needed(any_bench, vault, 2_000)).id == id
        await vault.settle(any_bench.settlement(call, 1_500))
        assert await state(vault, id) is ApprovalState.USED
        assert (await needed(any_bench, vault, 2_000)).id != id
        assert await told(vault) == ["approval_required", "approval_granted", "approval_required"]

    story_of(any_bench, story, **LIMITS)


def test_a_release_gives_the_grant_back(any_bench):
    async def story(vault):
        id = await approved(any_bench, vault, 2_000)
        for _ in range(3):
            call = await granted(any_bench, vault, 2_000, body_digest=BODY)
            await vault.release(call, b"{}")
            assert await state(vault, id) is ApprovalState.GRANTED
            assert (await vault.approval(id)).hold_id == call

    story_of(any_bench, story, **LIMITS)


def test_t20_an_operator_is_not_asked_for_more_than_there_is(any_bench):
    """T20: nothing is reserved beyond the balance."""

    async def story(vault):
        assert (await refused(any_bench, vault, 2_001, body_digest=BODY))[:2] == ("insufficient", 2_000)
        assert await vault.approvals() == []
        await approved(any_bench, vault, 2_000)
        await granted(any_bench, vault, 1)
        assert (await refused(any_bench, vault, 2_000, body_digest=BODY))[:2] == ("insufficient", 1_999)

    story_of(any_bench, story, fund=2_000, **LIMITS)


def test_in_one_transaction(any_bench):
    async def story(vault):
        id = await approved(any_bench, vault, 2_000)
        first, second = (asked(any_bench, 2_000, body_digest=BODY) for _ in range(2))
        answers = await asyncio.gather(
            vault.hold(first), vault.hold(second), vault.release(first.id, b"{}"), vault.hold(second)
        )
        assert [type(each).__name__ for each in answers] == ["Granted", "ApprovalNeeded", "Closed", "Granted"]
        assert await state(vault, id) is ApprovalState.HELD

    story_of(any_bench, story, **LIMITS)


@pytest.mark.parametrize("again", [True, False])
def test_the_same_decision_again_is_the_same(any_bench, again):
    async def story(vault):
        id = (await needed(any_bench, vault, 2_000)).id
        first = await vault.decide(id, grant=again, actor="operator:eve")
        assert await vault.decide(id, grant=again, actor="operator:eve") == first
        with pytest.raises(Conflict, match=id):
            await vault.decide(id, grant=not again, actor="operator:eve")
        with pytest.raises(Conflict, match=id):
            await vault.decide(id, grant=again, actor="operator:adam")

    story_of(any_bench, story, **LIMITS)


def test_what_is_denied_may_be_asked_for_again(any_bench):
    async def story(vault):
        first = await needed(any_bench, vault, 2_000)
        await vault.decide(first.id, grant=False, actor="operator:eve")
        second = await needed(any_bench, vault, 2_000)
        assert second.id != first.id
        assert await state(vault, first.id) is ApprovalState.DENIED
        assert await told(vault) == ["approval_required", "approval_denied", "approval_required"]

    story_of(any_bench, story, **LIMITS)


# -- T20 ---------------------------------------------------------------------------------------------------------------


def test_t20_nothing_but_the_largest_charge_is_lifted(any_bench):
    """T20: whoever cannot spend it anyway is refused, and no operator is asked; at the time of use, too."""

    async def story(vault):
        assert (await refused(any_bench, vault, 8_001, body_digest=BODY))[:2] == ("daily", 8_000)
        assert await vault.approvals() == []
        await approved(any_bench, vault, 7_000)
        other = await granted(any_bench, vault, 1_000)
        await granted(any_bench, vault, 1_000)
        assert await refused(any_bench, vault, 7_000, body_digest=BODY) == ("daily", 6_000, "ag_alice")
        await vault.release(other, b"{}")
        await granted(any_bench, vault, 7_000, body_digest=BODY)

    story_of(any_bench, story, fund=9_000, daily_msat=8_000, **LIMITS)


def test_t20_no_other_limit_is_lifted(any_bench):
    """T20: a limit that is set after the grant counts, too."""

    async def story(vault):
        id = await approved(any_bench, vault, 2_000)
        for limits, reason in [
            ({"models": ("other",)}, "model"),
            ({"expires_ms": 1}, "expired"),
            ({"concurrent": 0}, "concurrent"),
            ({"per_minute": 0}, "rate"),
            ({"daily_msat": 0}, "daily"),
            ({"hourly_msat": 0}, "hourly"),
        ]:
            await vault.set_limits("ag_alice", replace(PLENTY, **(LIMITS | limits)))
            assert (await refused(any_bench, vault, 2_000, body_digest=BODY))[0] == reason
            assert await state(vault, id) is ApprovalState.GRANTED

    story_of(any_bench, story, **LIMITS)


def test_t20_a_grant_ends_with_the_limits_it_was_asked_under(any_bench):
    """T20: the policy changed in between."""

    async def story(vault):
        first = await approved(any_bench, vault, 2_000)
        await vault.set_limits("ag_alice", replace(PLENTY, **LIMITS, daily_msat=5_000))
        second = await needed(any_bench, vault, 2_000)
        assert second.id != first
        assert await state(vault, first) is ApprovalState.EXPIRED

    story_of(any_bench, story, **LIMITS)


def test_t20_a_grant_is_for_one_body_one_model_and_no_more_than_was_shown(any_bench):
    """T20: another call does not fit under it."""

    async def story(vault):
        id = await approved(any_bench, vault, 2_000, 3_000)
        assert (await needed(any_bench, vault, 2_000, body_digest=b"other")).id != id
        assert (await refused(any_bench, vault, 2_000))[0] == "max_charge"
        answer = await vault.hold(asked(any_bench, 2_500, 3_000, 3_001, body_digest=BODY))
        assert (answer.amount_msat, answer.candidates) == (3_000, 2)
        await vault.release(answer.id, b"{}")
        assert (await needed(any_bench, vault, 3_001)).id != id
        assert await state(vault, id) is ApprovalState.EXPIRED
        second = await approved(any_bench, vault, 2_000, body_digest=b"model")
        assert (await needed(any_bench, vault, 2_000, body_digest=b"model", model="dearer")).id != second

    story_of(any_bench, story, **LIMITS)


def test_t20_too_late_is_too_late(any_bench):
    """T20: approved after it expired, and used after the grant expired."""

    async def story(vault):
        first = await needed(any_bench, vault, 2_000)
        later(any_bench, 60_000)
        with pytest.raises(Conflict, match="expired"):
            await vault.decide(first.id, grant=True, actor="operator:eve")
        assert await state(vault, first.id) is ApprovalState.EXPIRED
        second = await needed(any_bench, vault, 2_000)
        later(any_bench, 59_999)
        await vault.decide(second.id, grant=True, actor="operator:eve")
        later(any_bench, 59_998)
        call = await granted(any_bench, vault, 2_000, body_digest=BODY)
        later(any_bench, 10_000_000)
        await vault.release(call, b"{}")
        assert (await needed(any_bench, vault, 2_000)).id not in (first.id, second.id)
        assert await state(vault, second.id) is ApprovalState.EXPIRED

    story_of(any_bench, story, **LIMITS)


def test_what_nobody_decides_ends_by_itself(any_bench):
    async def story(vault):
        pending = await needed(any_bench, vault, 2_000)
        given = await approved(any_bench, vault, 2_000, body_digest=b"other")
        now = any_bench.clock.ms
        assert await vault.expire_approvals(now) == 0
        # A process whose clock is ahead ends nothing before its time.
        if vault.shared:
            assert await vault.expire_approvals(now + 10**9) == 0
        later(any_bench, 60_000)
        assert await vault.expire_approvals(any_bench.clock.ms) == 2
        assert await vault.expire_approvals(any_bench.clock.ms) == 0
        assert [await state(vault, id) for id in (pending.id, given)] == [ApprovalState.EXPIRED] * 2
        assert (await told(vault))[-2:] == ["approval_expired"] * 2

    story_of(any_bench, story, **LIMITS)


@pytest.mark.parametrize("actor", ["ag_alice", "ag_bob", ""])
def test_t20_an_agent_never_decides(any_bench, actor):
    """T20: the requester is not the approver, nor any other agent."""

    async def story(vault):
        id = (await needed(any_bench, vault, 2_000)).id
        with pytest.raises(ValueError, match="an agent never does"):
            await vault.decide(id, grant=True, actor=actor)
        with pytest.raises(any_bench.refusals):
            any_bench.tamper(
                f"UPDATE approval SET state = 'granted', decided_ms = 1, decided_by = 'ag_alice' WHERE id = '{id}'"
            )

    story_of(any_bench, story, **LIMITS)


def test_t20_the_database_refuses_what_does_not_follow(any_bench):
    """T20: the states and the terms are guarded below the program, too."""

    async def story(vault):
        await needed(any_bench, vault, 2_000)

    story_of(any_bench, story, **LIMITS)
    for change in (
        "state = 'granted'",
        "state = 'held', decided_ms = 1, decided_by = 'operator'",
        "state = 'used', decided_ms = 1, decided_by = 'operator'",
        "ceiling_msat = ceiling_msat + 1",
        "digest = NULL",
        "limits_version = 2",
        "models = '[]'",
    ):
        with pytest.raises(any_bench.refusals):
            any_bench.tamper(f"UPDATE approval SET {change}")
    with pytest.raises(any_bench.refusals):
        any_bench.tamper("DELETE FROM approval")


@pytest.mark.parametrize("grant", [True, False])
def test_t20_of_many_decisions_one_counts(any_bench, grant):
    """T20: two operators decide at the same time; on PostgreSQL at two processes."""

    async def story(vault):
        id = (await needed(any_bench, vault, 2_000)).id

        async def all_decide(other):
            return await asyncio.gather(
                *(
                    (vault, other)[n % 2].decide(id, grant=(n % 2 == 0) == grant, actor=f"operator:{n}")
                    for n in range(8)
                ),
                return_exceptions=True,
            )

        if vault.shared:
            async with any_bench.vault("boot-2") as other:
                results = await all_decide(other)
        else:
            results = await all_decide(vault)
        assert sum(not isinstance(each, Exception) for each in results) == 1
        assert {type(each) for each in results if isinstance(each, Exception)} == {Conflict}

    story_of(any_bench, story, **LIMITS)


def test_t20_of_many_calls_under_one_grant_one_is_held(any_bench):
    """T20: and only as many times as it is given back."""

    async def story(vault):
        await approved(any_bench, vault, 2_000)
        calls = [asked(any_bench, 2_000, body_digest=BODY) for _ in range(20)]
        if vault.shared:
            async with any_bench.vault("boot-2") as other:
                answers = await asyncio.gather(*((vault, other)[n % 2].hold(call) for n, call in enumerate(calls)))
        else:
            answers = await asyncio.gather(*(vault.hold(call) for call in calls))
        assert sum(isinstance(each, Granted) for each in answers) == 1
        assert sum(isinstance(each, ApprovalNeeded) for each in answers) == 19

    story_of(any_bench, story, **LIMITS)


def test_nobody_is_asked_where_the_limits_do_not_say_so(any_bench):
    async def story(vault):
        refusal = await vault.hold(asked(any_bench, 2_000, body_digest=BODY))
        assert (refusal.reason, refusal.approvable) == (RefusalReason.MAX_CHARGE, False)
        await vault.set_limits("ag_alice", replace(PLENTY, **LIMITS))
        refusal = await vault.hold(asked(any_bench, 2_000))
        assert (refusal.reason, refusal.approvable) == (RefusalReason.MAX_CHARGE, True)
        assert await vault.approvals() == []

    story_of(any_bench, story, max_charge_msat=1_000)


def test_every_key_above_whose_charge_it_is_must_ask(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "bob", parent="alice", max_charge_msat=100, approval_seconds=30)
        # alice's own 1,000 are not in the way of 500.
        answer = await needed(any_bench, vault, 500, agent="bob")
        assert (answer.left_msat, answer.expires_ms) == (100, any_bench.clock.ms + 30_000)
        assert await refused(any_bench, vault, 2_000, agent="bob", body_digest=b"x") == ("max_charge", 100, "ag_bob")
        await vault.set_limits("ag_alice", replace(PLENTY, max_charge_msat=1_000, approval_seconds=10))
        answer = await needed(any_bench, vault, 2_000, agent="bob", body_digest=b"x")
        assert answer.expires_ms == any_bench.clock.ms + 10_000
        # The limits above changed: what was asked under the old ones is void.
        void = next(each for each in await vault.approvals(agent="ag_bob") if each.id != answer.id)
        with pytest.raises(Conflict, match="expired"):
            await vault.decide(void.id, grant=True, actor="operator")
        await vault.decide(answer.id, grant=True, actor="operator")
        await granted(any_bench, vault, 2_000, agent="bob", body_digest=b"x")

    story_of(any_bench, story, max_charge_msat=1_000)


def test_a_crash_gives_a_grant_back_or_uses_it_up(any_bench):
    """What a sweep releases was not sent, and may be sent again; what it charges is used."""

    async def story(vault):
        id = await approved(any_bench, vault, 2_000)
        await granted(any_bench, vault, 2_000, body_digest=BODY)
        async with any_bench.vault("boot-2") as other:
            later(any_bench, 10**6)
            await other.sweep_orphans()
        assert await state(vault, id) in (ApprovalState.USED, ApprovalState.GRANTED)
        assert (await vault.agent("alice")).held_msat == 0

    if any_bench.dialect.value == "postgresql":
        story_of(any_bench, story, **LIMITS)
        return

    async def restarted():
        async with any_bench.vault("boot-1") as vault:
            await agent(any_bench, vault, "alice", fund=10**6, **LIMITS)
            id = await approved(any_bench, vault, 2_000)
            await granted(any_bench, vault, 2_000, body_digest=BODY)
        async with any_bench.vault("boot-2") as vault:
            await vault.sweep_orphans()
            assert await state(vault, id) is ApprovalState.USED

    asyncio.run(restarted())


def test_lists_are_paged(any_bench):
    async def story(vault):
        for n in range(5):
            await needed(any_bench, vault, 2_000, body_digest=bytes([n]))
            later(any_bench, 10 * (n % 2))
        everything = [each.id for each in await vault.approvals()]
        first = await vault.approvals(most=2)
        rest = await vault.approvals(before=first[-1].id)
        assert [each.id for each in (*first, *rest)] == everything
        assert len(set(everything)) == 5
        assert await vault.approval("apr_none") is None
        with pytest.raises(NotFound, match="apr_none"):
            await vault.decide("apr_none", grant=True, actor="operator")

    story_of(any_bench, story, **LIMITS)


# -- payouts -----------------------------------------------------------------------------------------------------------


async def payout(bench, vault, msat, **more):
    request = asked(bench, msat, kind="payout", model="lnd", **({"body_digest": BODY} | more))
    return await paying.hold_payout(vault, request)


def test_a_payout_is_held_for_while_it_waits(any_bench):
    async def story(vault):
        answer = await payout(any_bench, vault, 600, id="po_1", fee_msat=10)
        assert isinstance(answer, ApprovalNeeded)
        found = await vault.approval(answer.id)
        assert (found.kind, found.hold_id, found.ceiling_msat) == ("payout", "po_1", 600)
        assert (await vault.agent("alice")).held_msat == 600
        # The same again is the same; another of what is to be paid already is refused.
        assert (await payout(any_bench, vault, 600, id="po_1", fee_msat=10)).id == answer.id
        assert (await payout(any_bench, vault, 600, id="po_2")).reason is RefusalReason.CONFLICT
        await vault.decide(answer.id, grant=True, actor="operator")
        assert isinstance(await payout(any_bench, vault, 600, id="po_1", fee_msat=10), Granted)
        await paying.paid(vault, "po_1", 3)
        assert await state(vault, answer.id) is ApprovalState.USED
        assert (await vault.agent("alice")).available_msat == 10_000 - 593

    story_of(any_bench, funded(any_bench, story), fund=10_000, payouts_unapproved_msat=500)


@pytest.mark.parametrize("how", ["denied", "expired", "cancelled"])
def test_a_payout_that_is_not_approved_frees_its_money(any_bench, how):
    async def story(vault):
        answer = await payout(any_bench, vault, 600, id="po_1")
        if how == "denied":
            await vault.decide(answer.id, grant=False, actor="operator")
        elif how == "expired":
            later(any_bench, 86_400_000)
            assert await vault.expire_approvals(any_bench.clock.ms) == 1
        else:
            await paying.cancel(vault, "po_1")
        assert await state(vault, answer.id) is (ApprovalState.DENIED if how == "denied" else ApprovalState.EXPIRED)
        assert (await vault.agent("alice")).available_msat == 10_000
        with pytest.raises(Conflict, match=answer.id):
            await vault.decide(answer.id, grant=True, actor="operator")

    story_of(any_bench, story, fund=10_000)


def test_a_granted_payout_does_not_expire(any_bench):
    """It may be on its way: only its rail knows."""

    async def story(vault):
        answer = await payout(any_bench, vault, 600, id="po_1")
        await vault.decide(answer.id, grant=True, actor="operator")
        later(any_bench, 10**9)
        assert await vault.expire_approvals(any_bench.clock.ms) == 0
        assert (await vault.agent("alice")).held_msat == 600

    story_of(any_bench, story, fund=10_000)


def test_the_limits_of_payouts(any_bench):
    async def story(vault):
        assert isinstance(await payout(any_bench, vault, 500, body_digest=b"small"), Granted)
        assert isinstance(await payout(any_bench, vault, 501, body_digest=b"large"), ApprovalNeeded)
        refusal = await payout(any_bench, vault, 400, fee_msat=21, body_digest=b"fee")
        assert (refusal.reason, refusal.left_msat) == (RefusalReason.FEE, 20)
        assert (await payout(any_bench, vault, 9_500, body_digest=b"all")).reason is RefusalReason.INSUFFICIENT
        assert (await payout(any_bench, vault, 9_000, body_digest=b"most")).reason is RefusalReason.INSUFFICIENT
        await vault.set_limits("ag_alice", replace(PLENTY, daily_msat=1_002))
        assert (await payout(any_bench, vault, 2, body_digest=b"day")).reason is RefusalReason.DAILY

    story_of(any_bench, story, fund=10_000, payouts_unapproved_msat=500, max_fee_msat=20, per_minute=1, models=("m",))


def funded(bench, story):
    """A rail that has something to pay with."""

    async def wrapped(vault):
        await vault.post(_events.Capital(rail="lnd", msat=10**6), realm="sim", key="capital")
        await story(vault)

    return wrapped


def test_the_digest_of_a_body_says_nothing_and_never_two_things():
    key = bytes(range(32))
    digest = body_digest(key, "chat", b"{}")
    assert len(digest) == 32
    others = [body_digest(key, "chat", b"{ }"), body_digest(key, "cha", b"t{}"), body_digest(bytes(32), "chat", b"{}")]
    assert digest not in others
    assert digest == body_digest(key, "chat", b"{}")


def test_what_is_told_says_what_is_to_be_decided(any_bench):
    async def story(vault):
        answer = await needed(any_bench, vault, 2_000)
        (event,) = await vault.events()
        data = msgspec.json.decode(event.body)
        assert data == {
            "approval": answer.id,
            "agent": "ag_alice",
            "kind": "call",
            "ceiling_msat": 2_000,
            "models": ["m"],
            "expires_ms": answer.expires_ms,
        }

    story_of(any_bench, story, **LIMITS)


@pytest.mark.parametrize("whose", ["alice", "bob"])
def test_only_so_much_waits_for_an_operator(any_bench, whose):
    """The bound is a key's own and all above it; what is decided makes room, and the same again takes none."""

    async def story(vault):
        await agent(any_bench, vault, "bob", parent="alice", **LIMITS)
        found = (await vault.agent(whose)).limits
        await vault.set_limits(f"ag_{whose}", replace(found, pending_approvals=2))
        first = await needed(any_bench, vault, 2_000, agent="bob", body_digest=b"1")
        await needed(any_bench, vault, 2_000, agent="bob", body_digest=b"2")
        assert (await needed(any_bench, vault, 2_000, agent="bob", body_digest=b"1")).id == first.id
        full = (RefusalReason.APPROVALS, 0, f"ag_{whose}")
        assert await refused(any_bench, vault, 2_000, agent="bob", body_digest=b"3") == full
        await vault.decide(first.id, grant=False, actor="operator:eve")
        await needed(any_bench, vault, 2_000, agent="bob", body_digest=b"3")
        assert len(await vault.approvals(state=ApprovalState.PENDING)) == 2

    story_of(any_bench, story, **LIMITS)


def test_who_asks_an_operator_has_asked(any_bench):
    """It counts in the requests of a minute, once for each approval."""

    async def story(vault):
        await needed(any_bench, vault, 2_000)
        await needed(any_bench, vault, 2_000)
        await needed(any_bench, vault, 2_000, body_digest=b"another")
        assert await refused(any_bench, vault, 1) == (RefusalReason.RATE, 0, "ag_alice")
        assert (await vault.verify()).first_bad is None
        later(any_bench, 66_000)
        await granted(any_bench, vault, 1)

    story_of(any_bench, story, **LIMITS, per_minute=2)
