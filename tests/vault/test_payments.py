"""Payments in the vault: held for once, sent under one turn, ended once by evidence, on either database."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from limiting import agent, asked, later, story_of
from vault import paying
from vault.crediting import credited
from vault.paying import EVIDENCE, hold_payout, new_payout, payment, send, treasury, turn

from arbstr_core.storage import Dialect
from arbstr_core.types import Conflict, IdempotencyConflict, InsufficientFunds
from arbstr_core.vault import (
    ApprovalNeeded,
    FailedEnd,
    Granted,
    Known,
    LostTurn,
    NewPayment,
    Over,
    PaidEnd,
    PaymentKind,
    PaymentState,
    SellerRecord,
    SellerShare,
    Sent,
    Settlement,
    Treasury,
    Waits,
    _events,
)

FREE = {"payouts_unapproved_msat": 10**6}


def ask(bench, msat=600, *, fee=10, **more):
    """A payout's hold."""
    request = asked(bench, msat, kind="payout", body_digest=b"d", fee_msat=fee, model="bolt11")
    return msgspec.structs.replace(request, **more)


async def stocked(vault):
    """The ledger knows of money on two rails."""
    for name in ("lnd", "cashu"):
        await vault.post(_events.Capital(rail=name, msat=100_000), realm="sim", key=f"stock {name}")


def told(bench, story, **limits):
    """A story with money on the rails, whose payouts need no operator."""

    async def whole(vault):
        await stocked(vault)
        await story(vault)

    story_of(bench, whole, fund=10_000, **FREE | limits)


async def state(vault, id):
    return (await payment(vault, id)).state


async def end(vault, found, **more):
    failed = FailedEnd(**{"reason": "no route", "evidence": EVIDENCE} | more)
    return await treasury(vault).end(await turn(vault), found, failed)


def test_a_payout_is_held_for_and_written_down_at_once(any_bench):
    async def story(vault):
        request = ask(any_bench)
        assert isinstance(await hold_payout(vault, request), Granted)
        found = await payment(vault, request.id)
        assert (found.state, found.amount_msat, found.fee_held_msat, found.owner) == (
            PaymentState.RESERVED,
            590,
            10,
            "ag_alice",
        )
        assert (await vault.agent("alice")).held_msat == 600
        assert isinstance(await hold_payout(vault, request), Granted)
        await paying.paid(vault, request.id, 4)
        assert (await vault.agent("alice")).available_msat == 10_000 - 594
        assert await state(vault, request.id) is PaymentState.SUCCEEDED

    told(any_bench, story)


def test_what_a_correction_gave_back_may_be_paid_out_that_day(any_bench):
    async def story(vault):
        first, second = ask(any_bench), ask(any_bench)
        await hold_payout(vault, first)
        await paying.paid(vault, first.id, 10)
        await vault.correct(first.id, 200, reason="it was another's", key="k")
        await hold_payout(vault, second)
        await paying.paid(vault, second.id, 10)
        assert await state(vault, second.id) is PaymentState.SUCCEEDED
        # And what it took is not there any more.
        await vault.correct(first.id, 400, reason="it was his after all", key="l")
        third = ask(any_bench, 100)
        assert (await hold_payout(vault, third)).reason == "daily"

    told(any_bench, story, daily_msat=1_000)


def test_what_is_not_granted_is_no_payment(any_bench):
    async def story(vault):
        request = ask(any_bench, 20_000)
        answer = await hold_payout(vault, request)
        assert answer.reason == "insufficient"
        assert any_bench.rows("SELECT count(*) FROM payment") == [(0,)]

    told(any_bench, story)


def test_t4_t16_one_destination_is_paid_once_until_it_has_failed(any_bench):
    """T4 and T16: one reference, two payouts."""

    async def story(vault):
        first, second, third = ask(any_bench), ask(any_bench), ask(any_bench)
        await hold_payout(vault, first, reference="hash")
        with pytest.raises(Conflict, match=f"being paid .reserved. already, as {first.id}"):
            await hold_payout(vault, second, reference="hash")
        await end(vault, await send(vault, first.id))
        await hold_payout(vault, second, reference="hash")
        await paying.paid(vault, second.id, 0)
        with pytest.raises(Conflict, match=f"is paid already, as {second.id}"):
            await hold_payout(vault, third, reference="hash")
        assert (await vault.agent("alice")).held_msat == 0

    told(any_bench, story)


def test_t11_a_key_is_not_shared_with_other_keys_of_the_account(any_bench):
    """T11: two of one account, at the same time, so that neither has seen the other's."""

    async def story(vault):
        await agent(any_bench, vault, "below", parent="alice", **FREE)
        first, other = ask(any_bench), ask(any_bench, agent="ag_below")
        await hold_payout(vault, first, key="k")
        with pytest.raises(IdempotencyConflict, match="another key of this account") as told_so:
            await hold_payout(vault, other, key="k")
        assert first.id not in str(told_so.value)

    told(any_bench, story)


def test_two_at_once_for_one_destination_are_one(any_bench):
    async def story(vault):
        many = [ask(any_bench) for _ in range(8)]
        outcomes = await asyncio.gather(
            *(hold_payout(vault, each, reference="hash") for each in many), return_exceptions=True
        )
        assert sum(isinstance(each, Granted) for each in outcomes) == 1
        assert sum(isinstance(each, Conflict) for each in outcomes) == 7
        assert (await vault.agent("alice")).held_msat == 600

    told(any_bench, story)


def test_the_callers_own_key_names_one_payout(any_bench):
    async def story(vault):
        first, again, other = ask(any_bench), ask(any_bench), ask(any_bench, 700)
        await hold_payout(vault, first, key="k")
        assert await hold_payout(vault, again, key="k") == Known(id=first.id)
        with pytest.raises(IdempotencyConflict, match="used for another payout"):
            await hold_payout(vault, other, key="k")
        assert (await vault.agent("alice")).held_msat == 600

    told(any_bench, story)


def test_a_payout_waits_for_its_operator(any_bench):
    async def story(vault):
        granted, denied, late = (ask(any_bench, body_digest=name) for name in (b"1", b"2", b"3"))
        approvals = [await hold_payout(vault, each) for each in (granted, denied, late)]
        assert all(isinstance(each, ApprovalNeeded) for each in approvals)
        assert await state(vault, granted.id) is PaymentState.CREATED
        found = await payment(vault, granted.id)
        waits = await treasury(vault).dispatch(await turn(vault), found, fee_limit_msat=10)
        assert waits == Waits(reason="it is not to be sent any more")
        await vault.decide(approvals[0].id, grant=True, actor="olga")
        await vault.decide(approvals[1].id, grant=False, actor="olga")
        later(any_bench, 2 * 86_400_000)
        await vault.expire_approvals(any_bench.clock.ms)
        states = [await state(vault, each.id) for each in (granted, denied, late)]
        assert states == [PaymentState.RESERVED, PaymentState.REJECTED, PaymentState.REJECTED]
        assert (await payment(vault, denied.id)).reason == "an operator did not approve it"
        assert (await vault.agent("alice")).held_msat == 600
        await paying.paid(vault, granted.id, 1)

    told(any_bench, story, payouts_unapproved_msat=None)


def test_limits_that_change_meanwhile_end_an_approval(any_bench):
    """T20: what is decided is decided under the limits of that moment."""

    async def story(vault):
        request = ask(any_bench)
        needed = await hold_payout(vault, request)
        found = await vault.agent("alice")
        await vault.set_limits("ag_alice", msgspec.structs.replace(found.limits, daily_msat=1_000))
        with pytest.raises(Conflict):
            await vault.decide(needed.id, grant=True, actor="olga")
        assert await state(vault, request.id) is PaymentState.REJECTED
        assert (await vault.agent("alice")).held_msat == 0

    told(any_bench, story, payouts_unapproved_msat=None)


def test_only_the_one_whose_turn_it_is_may_send_and_end(any_bench):
    """T16: two dispatchers, one payout."""

    async def story(vault):
        request = ask(any_bench)
        await hold_payout(vault, request)
        old = await turn(vault)
        later(any_bench, 61_000)
        other = Treasury(vault._db, boot_id="boot-2")
        vault._boot_id, mine = "boot-2", vault._boot_id
        new = await turn(vault)
        vault._boot_id = mine
        assert new.fence == old.fence + 1
        found = await payment(vault, request.id)
        with pytest.raises(LostTurn):
            await treasury(vault).dispatch(old, found, fee_limit_msat=10)
        sent = await other.dispatch(new, found, fee_limit_msat=10)
        assert isinstance(sent, Sent)
        with pytest.raises(LostTurn):
            await treasury(vault).end(old, sent.payment, PaidEnd(fee_msat=0, evidence=EVIDENCE))
        with pytest.raises(LostTurn):
            await treasury(vault).postpone(old, sent.payment, "?", wait_ms=1, state=PaymentState.UNKNOWN)
        again = await other.dispatch(new, found, fee_limit_msat=10)
        assert again == Waits(reason="it is not to be sent any more")
        await other.end(new, sent.payment, PaidEnd(fee_msat=0, evidence=EVIDENCE))

    told(any_bench, story)


def test_what_is_sent_is_neither_cancelled_nor_sent_again(any_bench):
    async def story(vault):
        request = ask(any_bench)
        await hold_payout(vault, request)
        sent = await send(vault, request.id)
        with pytest.raises(Conflict, match="cannot be cancelled any more"):
            await paying.cancel(vault, request.id)
        for after in (PaymentState.IN_FLIGHT, PaymentState.UNKNOWN, PaymentState.IN_FLIGHT):
            await treasury(vault).postpone(await turn(vault), sent, "nobody answered", wait_ms=9_000, state=after)
            found = await payment(vault, request.id)
            assert (found.state, found.due_ms) == (after, any_bench.clock.ms + 9_000)
        assert (await vault.agent("alice")).held_msat == 600
        assert await treasury(vault).due_payments(any_bench.clock.ms) == []
        ended = await treasury(vault).end(await turn(vault), sent, PaidEnd(fee_msat=3, evidence=EVIDENCE))
        assert ended.state is PaymentState.SUCCEEDED
        # Whoever else says how it ended comes too late.
        again = await end(vault, sent)
        assert (again.state, again.fee_msat) == (PaymentState.SUCCEEDED, 3)

    told(any_bench, story)


def test_nothing_ends_without_evidence(bench):
    async def story(vault):
        await hold_payout(vault, ask(bench, id="po_1"))
        sent = await send(vault, "po_1")
        for unproven in (PaidEnd(fee_msat=0, evidence=" "), FailedEnd(reason="time-out", evidence="")):
            with pytest.raises(ValueError, match="does not end without evidence"):
                await treasury(vault).end(await turn(vault), sent, unproven)

    told(bench, story)


def test_the_next_rail_is_tried_with_evidence_alone(any_bench):
    async def story(vault):
        request = ask(any_bench)
        await hold_payout(vault, request, rails=("cashu", "lnd"))
        sent = await send(vault, request.id)
        assert (sent.rail, sent.rail_key) == ("cashu", f"{request.id}:1")
        failed = await end(vault, sent, next_rail="lnd", fee_msat=7)
        assert (failed.state, failed.rail, failed.attempt, failed.fee_limit_msat) == (
            PaymentState.RESERVED,
            "lnd",
            2,
            7,
        )
        # What was said of the first attempt says nothing of the second.
        late = await treasury(vault).end(await turn(vault), sent, PaidEnd(fee_msat=1, evidence=EVIDENCE))
        assert late.state is PaymentState.RESERVED
        second = await treasury(vault).dispatch(await turn(vault), failed, fee_limit_msat=7)
        assert second.payment.rail_key == f"{request.id}:2"
        done = await treasury(vault).end(await turn(vault), second.payment, PaidEnd(fee_msat=2, evidence="ok"))
        told = [(line["rail"], line["outcome"], line["evidence"]) for line in msgspec.json.decode(done.story)]
        assert told == [("cashu", "failed", EVIDENCE), ("lnd", "paid", "ok")]
        assert (await vault.agent("alice")).available_msat == 10_000 - 592

    told(any_bench, story)


def test_a_rail_that_takes_too_much_is_frozen_and_the_agent_pays_its_limit(any_bench):
    """T10: the fee limit is what is held, and what an agent pays at most."""

    async def story(vault):
        first, second = ask(any_bench, body_digest=b"1"), ask(any_bench, body_digest=b"2")
        await hold_payout(vault, first)
        await hold_payout(vault, second)
        done = await paying.paid(vault, first.id, 25)
        assert "a fee of 25 msat, and 10 were allowed" in done.reason
        assert (await vault.agent("alice")).posted_msat == 10_000 - 600
        frozen = await treasury(vault).frozen()
        assert [each.scope for each in frozen] == ["rail:lnd"]
        found = await payment(vault, second.id)
        waits = await treasury(vault).dispatch(await turn(vault), found, fee_limit_msat=10)
        assert "rail:lnd is frozen" in waits.reason
        assert await treasury(vault).set_frozen("rail:lnd", frozen=False, reason="looked at", actor="olga")
        await paying.paid(vault, second.id, 0)
        events = [row[0] for row in any_bench.rows("SELECT event FROM outbox ORDER BY seq")]
        assert events == ["frozen", "rail_broke_its_word", "thawed"]

    told(any_bench, story)


def test_nothing_leaves_that_the_ledger_does_not_know_to_be_there(any_bench):
    async def story(vault):
        await vault.post(_events.RailCost(rail="lnd", msat=99_000), realm="sim", key="gone")
        first, second = ask(any_bench, body_digest=b"1"), ask(any_bench, body_digest=b"2")
        await hold_payout(vault, first)
        await hold_payout(vault, second)
        await send(vault, first.id)
        found = await payment(vault, second.id)
        waits = await treasury(vault).dispatch(await turn(vault), found, fee_limit_msat=10)
        assert waits == Waits(reason="600 msat are needed on lnd, and 400 are free there by the ledger")
        assert await state(vault, second.id) is PaymentState.RESERVED

    told(any_bench, story)


def test_a_frozen_realm_a_disabled_agent_and_a_restore_hold_it_back(any_bench):
    async def story(vault):
        request = ask(any_bench)
        await hold_payout(vault, request)
        found = await payment(vault, request.id)

        async def why():
            return (await treasury(vault).dispatch(await turn(vault), found, fee_limit_msat=10)).reason

        await treasury(vault).set_frozen("realm:sim", frozen=True, reason="looking", actor="olga")
        assert await why() == "realm:sim is frozen: looking"
        await treasury(vault).set_frozen("realm:sim", frozen=False, reason="", actor="olga")
        await vault.set_enabled("ag_alice", False)
        assert await why() == "ag_alice is disabled; enable it, or cancel the payout"
        await vault.set_enabled("ag_alice", True)
        await vault.mark_restored("backup")
        assert "restored from a backup" in await why()
        restored = await vault.restored_ms()
        await treasury(vault).walked(await turn(vault), "cashu", restored)
        assert "restored from a backup" in await why()
        await treasury(vault).walked(await turn(vault), "lnd", restored)
        await paying.paid(vault, request.id, 0)

    told(any_bench, story)


def test_an_invoice_that_expired_is_given_up_before_it_is_sent(any_bench):
    async def story(vault):
        request = ask(any_bench)
        target = msgspec.json.encode({"type": "invoice", "expires_ms": any_bench.clock.ms + 60_000})
        await hold_payout(vault, request, target=target)
        later(any_bench, 50_001)
        found = await payment(vault, request.id)
        over = await treasury(vault).dispatch(await turn(vault), found, fee_limit_msat=10)
        assert over == Over(reason="the invoice expired before it could be paid")
        assert await state(vault, request.id) is PaymentState.CANCELLED
        assert (await vault.agent("alice")).held_msat == 0

    told(any_bench, story)


def test_an_operator_ends_what_no_rail_will_ever_say(any_bench):
    async def story(vault):
        request = ask(any_bench)
        await hold_payout(vault, request)
        sent = await send(vault, request.id)
        failed = FailedEnd(reason="given up", evidence="olga looked at the node: it was never sent")
        ended = await treasury(vault).resolve(sent, failed, actor="olga")
        assert ended.state is PaymentState.FAILED
        waiting = any_bench.dialect is Dialect.POSTGRESQL
        said = f"SELECT subject FROM {'audit_pending' if waiting else 'audit'} WHERE action = 'payment.failed'"
        assert any_bench.rows(f"{said} AND actor = 'olga'") == [(request.id,)]

    told(any_bench, story)


def test_a_seller_is_paid_what_it_has_earned_and_bears_the_fee(any_bench):
    async def story(vault):
        await earned(any_bench, vault, 500)
        new = of(PaymentKind.SELLER, "dave", 480, 10)
        assert await treasury(vault).open_payment(new) == new.id
        assert await treasury(vault).open_payment(new) == new.id
        with pytest.raises(Conflict, match="under way to dave"):
            await treasury(vault).open_payment(msgspec.structs.replace(new, id="pay_2", reference="2"))
        await paying.paid(vault, new.id, 6)
        assert any_bench.rows("SELECT posted_msat FROM account WHERE name = 'seller:dave'") == [(14,)]
        with pytest.raises(InsufficientFunds):
            await treasury(vault).open_payment(msgspec.structs.replace(new, id="pay_3", reference="3"))

    told(any_bench, story)


@pytest.mark.parametrize("kind", [PaymentKind.SELLER, PaymentKind.TOPUP])
def test_what_left_ends_a_payment_whatever_the_ledger_knew_to_be_there(any_bench, kind):
    """A rail took more than it might, or has paid for something else meanwhile: that it is paid is all the same."""

    async def story(vault):
        await earned(any_bench, vault, 500)
        owner = "dave" if kind is PaymentKind.SELLER else "n"
        await treasury(vault).open_payment(of(kind, owner, 480, 10))
        sent = await send(vault, "pay_1")
        await vault.post(_events.RailCost(rail="lnd", msat=99_700), realm="sim", key="gone")
        end = PaidEnd(fee_msat=30, evidence=EVIDENCE)
        ended = await treasury(vault).end(await turn(vault), sent, end)
        assert ended.state is PaymentState.SUCCEEDED
        assert [each.scope for each in await treasury(vault).frozen()] == ["rail:lnd"]
        assert any_bench.rows("SELECT posted_msat FROM account WHERE name = 'asset:lnd'") == [(0,)]
        assert any_bench.rows("SELECT posted_msat FROM account WHERE name = 'suspense'") == [(210,)]

    told(any_bench, story)


async def earned(bench, vault, msat):
    request = asked(bench, msat)
    await vault.hold(request)
    share = SellerShare(seller="dave", msat=msat)
    await vault.settle(Settlement(id=request.id, charge_msat=msat, costs=(), receipt=b"{}", seller=share))


def of(kind, owner, msat, fee, **more):
    meant = {
        "id": "pay_1",
        "kind": kind,
        "realm": "sim",
        "owner": owner,
        "amount_msat": msat,
        "fee_msat": fee,
        "destination": "there",
        "target": b"{}",
        "reference": "1",
        "rails": ("lnd",),
    }
    return NewPayment(**meant | more)


def test_what_is_put_at_nodes_stays_within_the_operators_own(any_bench):
    async def story(vault):
        # Equity is what was stocked, and this: 300,000 msat.
        new = of(PaymentKind.TOPUP, "node", 150_000, 0)
        await vault.post(_events.Capital(rail="lnd", msat=100_000), realm="sim", key="more")
        await treasury(vault).open_payment(new)
        done = await paying.paid(vault, new.id, 0)
        assert done.handed is None
        assert [each.id for each in await treasury(vault).unhanded()] == [new.id]
        handed = await treasury(vault).hand_over(await turn(vault), done, credited=149_990, said="the node said so")
        assert handed.handed == "credited"
        assert any_bench.rows("SELECT posted_msat FROM account WHERE name = 'asset:prepaid:node'") == [(149_990,)]
        again = await treasury(vault).hand_over(await turn(vault), done, credited=1, said="it changed its mind")
        assert again.handed == "credited"
        too_much = msgspec.structs.replace(new, id="pay_2", reference="2", amount_msat=150_011)
        with pytest.raises(InsufficientFunds, match="may be spent"):
            await treasury(vault).open_payment(too_much)
        # A share of what is owed may work, too, where the operator says so.
        assert await treasury(vault).open_payment(too_much, working_ppm=1_000_000)

    told(any_bench, story)


@pytest.mark.parametrize(
    ("credited", "there", "claimed"), [(100, 100, 0), (97, 97, 0), (None, 0, 100)], ids=["all", "less", "denied"]
)
def test_a_token_for_a_node_is_in_transit_until_the_node_speaks(bench, credited, there, claimed):
    async def story(vault):
        await treasury(vault).open_payment(of(PaymentKind.TOPUP, "n", 100, 5, rails=("cashu",)))
        sent = await send(vault, "pay_1")
        done = await treasury(vault).end(await turn(vault), sent, PaidEnd(fee_msat=1, evidence="e", token=b"sealed"))
        assert balances(bench, "asset:transit:n") == 100
        await treasury(vault).hand_over(await turn(vault), done, credited=credited, said="the node")
        assert balances(bench, "asset:transit:n") == 0
        assert (balances(bench, "asset:prepaid:n"), balances(bench, "asset:claim:n")) == (there, claimed)

    told(bench, story)


def balances(bench, name):
    found = bench.rows(f"SELECT posted_msat FROM account WHERE name = '{name}'")
    return found[0][0] if found else 0


REFUSED = [
    "UPDATE payment SET amount_msat = 1",
    "UPDATE payment SET reference = 'x'",
    "UPDATE payment SET target = '{\"a\":1}'",
    "UPDATE payment SET state = 'reserved' WHERE state = 'unknown'",
    "UPDATE payment SET attempt = 2 WHERE state = 'reserved'",
    "UPDATE payment SET state = 'succeeded', fee_msat = 0, ended_ms = 1, sent_ms = 1 WHERE state = 'reserved'",
    "UPDATE payment SET state = 'failed', ended_ms = 1 WHERE state = 'reserved'",
    "UPDATE payment SET state = 'dispatching', sent_ms = NULL WHERE state = 'reserved'",
    "UPDATE payment SET state = 'reserved', ended_ms = NULL WHERE state = 'failed'",
    "UPDATE payment SET fee_msat = 0 WHERE state = 'succeeded'",
    "UPDATE payment SET fee_limit_msat = 1000 WHERE state = 'reserved'",
    "DELETE FROM payment",
    "UPDATE deposit SET amount_msat = 1",
    "DELETE FROM deposit",
    "UPDATE request SET amount_msat = 1",
    "UPDATE request SET agent_id = 'ag_bob'",
    "UPDATE request SET reference = 'x' WHERE state = 'paid'",
    "UPDATE request SET state = 'open', ended_ms = NULL WHERE state = 'paid'",
    "DELETE FROM request",
    "DELETE FROM frozen",
    "DELETE FROM seller",
]
FOUND = [
    ("UPDATE payment SET fee_msat = 0 WHERE state = 'succeeded'", "payment"),
    ("UPDATE payment SET reference = 'other' WHERE state = 'reserved'", "payment"),
    ("UPDATE payment SET state = 'failed', fee_msat = NULL WHERE state = 'succeeded'", "hold"),
    ("UPDATE deposit SET amount_msat = 1", "deposit"),
    ("UPDATE deposit SET agent_id = 'ag_bob'", "deposit"),
    ("UPDATE frozen SET frozen = 0", "frozen"),
    ("UPDATE seller SET destination = 'thief@example.com'", "seller"),
    ("DELETE FROM payment WHERE state = 'failed'", "payment"),
]


async def everything(bench, vault):
    """Something of every kind."""
    await stocked(vault)
    await agent(bench, vault, "bob")
    ids = [ask(bench, body_digest=name) for name in (b"1", b"2", b"3", b"4")]
    for each in ids:
        await hold_payout(vault, each)
    await paying.paid(vault, ids[0].id, 2)
    await end(vault, await send(vault, ids[1].id))
    unsure = await send(vault, ids[2].id)
    await treasury(vault).postpone(await turn(vault), unsure, "?", wait_ms=1, state=PaymentState.UNKNOWN)
    await credited(vault, "h1", 500)
    await treasury(vault).set_frozen("rail:cashu", frozen=True, reason="r", actor="olga")
    seller = SellerRecord(
        name="dave", realm="sim", destination="dave@example.com", threshold_msat=1, every_seconds=60, enabled=True
    )
    await treasury(vault).set_seller(seller, actor="olga")


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_refuses_what_does_not_follow(bench, statement):
    async def story(vault):
        await everything(bench, vault)
        with pytest.raises(bench.refusals):
            bench.tamper(statement)

    story_of(bench, story, fund=10_000, **FREE)


@pytest.mark.parametrize(("statement", "what"), FOUND)
def test_verify_finds_what_was_changed_behind_its_back(bench, statement, what):
    async def story(vault):
        await everything(bench, vault)

    story_of(bench, story, fund=10_000, **FREE)
    bench.tamper_unguarded(statement)

    async def look():
        async with bench.vault("boot-2") as vault:
            found = await vault.verify()
            assert not found.ok
            assert what in found.first_bad

    asyncio.run(look())


def test_a_payment_is_of_its_owners_realm(bench):
    async def story(vault):
        request = ask(bench)
        with pytest.raises(ValueError, match="what is held is not what it is for"):
            await treasury(vault).open_payout(new_payout(request, amount_msat=1), request)

    told(bench, story)
