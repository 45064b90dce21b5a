"""The sender: a payment is handed to its rail once, ends by evidence alone, and costs what it cost. The threats named
in these tests are ways in which others have lost money with payouts."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest
from mortal import MovedClock
from sending import (
    EVIDENCE,
    FAILED,
    FREE,
    FUND,
    PAID,
    PAID_ELSEWHERE,
    UNKNOWN,
    Double,
    Scene,
    invoice,
    told,
)

from arbstr_core.api import Failed, Msat, Paid, RailState, RailUnavailable
from arbstr_core.flow import SenderRules
from arbstr_core.flow._sealed import proof_of, token_of
from arbstr_core.storage import Database
from arbstr_core.types import Conflict
from arbstr_core.vault import ApprovalState, NewPayment, NewRequest, PaymentKind, Purpose, RequestKind, _events, schema


def test_a_payment_is_sent_once_and_costs_its_amount_and_fee(tmp_path):
    rail = Double()

    async def story(it: Scene):
        id = await it.open("a")
        ended = []
        it.sender.tell(ended.append)
        for _ in range(3):
            await it.round(1)
        assert rail.paid == [f"{id}:1"]
        assert (await it.state(id), await it.spent()) == ("succeeded", (1_001, 0))
        assert [each.id for each in ended] == [id]

    told(tmp_path, story, rail)


@pytest.mark.parametrize("said", [UNKNOWN, TimeoutError("too long"), RailUnavailable("down"), ValueError("a bug")])
def test_t2_what_is_not_known_to_have_failed_stays_held_until_it_is_known(tmp_path, said):
    """T2: others gave the money back after a time-out, and the payment went through an hour later."""
    rail = Double()

    async def story(it: Scene):
        rail.pays.append(said)
        id = await it.open("a")
        await it.round()
        asked = 0
        while it.clock.ms < 1_750_000_000_000 + 3_600_000:
            await it.round(7)
            assert (await it.state(id), await it.spent()) == ("unknown", (0, 1_010))
            asked += 1
        assert 12 <= len(rail.looked) < 40 < asked, "it is looked up ever less often, and never given up"
        rail.looks.append(PAID)
        await it.round(300)
        assert (await it.state(id), await it.spent()) == ("succeeded", (1_001, 0))
        assert rail.paid == [f"{id}:1"]
        (told_of,) = [each for each in await it.vault.events() if each.event == "payment_unknown"]
        assert msgspec.json.decode(told_of.body)["payment"] == id

    told(tmp_path, story, rail)


def test_t2_a_failure_without_evidence_is_none(tmp_path):
    rail = Double()

    async def story(it: Scene):
        rail.pays.append(Failed(reason="timed out", evidence=" "))
        rail.looks.append(FAILED)
        id = await it.open("a")
        await it.round()
        assert await it.state(id) == "unknown"
        await it.round(5)
        assert (await it.state(id), await it.spent()) == ("failed", (0, 0))

    told(tmp_path, story, rail)


def test_t3_a_sender_that_died_goes_on_under_the_same_key(tmp_path):
    """T3: killed between writing down that it sends and hearing what became of it."""
    rail = Double()

    async def story(it: Scene):
        hung = asyncio.Event()

        async def never(*_, **more):
            rail.paid.append(more["key"])
            hung.set()
            await asyncio.Event().wait()

        honest, rail.pay = rail.pay, never
        id = await it.open("a")
        working = asyncio.create_task(it.sender.run())
        await hung.wait()
        working.cancel()
        it.sender._rules = SenderRules(stop_seconds=0.01)
        with contextlib.suppress(asyncio.CancelledError):
            await working
        assert await it.state(id) == "dispatching"
        rail.pay = honest
        it.again()
        await it.round()
        assert rail.paid == [f"{id}:1"] * 2, "the rail knows by the key that it is the same"
        assert (await it.state(id), await it.spent()) == ("succeeded", (1_001, 0))

    told(tmp_path, story, rail)


@pytest.mark.parametrize("said", [UNKNOWN, TimeoutError("too long")])
def test_t4_while_the_first_rail_is_unknown_the_second_gets_no_call(tmp_path, said):
    """T4: others paid over Lightning what ecash had paid already."""
    first, second = Double("cashu"), Double("lnd")

    async def story(it: Scene):
        first.pays.append(said)
        id = await it.open("a")
        for _ in range(50):
            await it.round(300)
        assert (second.paid, second.looked) == ([], [])
        first.looks.append(FAILED)
        await it.round(300)
        assert (await it.payment(id)).attempt == 2
        await it.round()
        assert (first.paid, second.paid) == ([f"{id}:1"], [f"{id}:2"])
        assert (await it.state(id), await it.spent()) == ("succeeded", (1_001, 0))
        story_told = msgspec.json.decode((await it.payment(id)).story)
        assert [(each["rail"], each["outcome"], each["evidence"]) for each in story_told] == [
            ("cashu", "failed", EVIDENCE),
            ("lnd", "paid", EVIDENCE),
        ]

    told(tmp_path, story, first, second)


def test_the_next_rail_costs_no_more_than_is_held_for_its_fee(tmp_path):
    first, dear, third = Double("cashu"), Double("dear"), Double("lnd")

    async def story(it: Scene):
        first.pays.append(FAILED)
        dear.fee = 11
        third.fee = 3
        id = await it.open("a", fee=10)
        await it.round()
        await it.round()
        assert (dear.paid, third.paid) == ([], [f"{id}:2"])
        assert (await it.payment(id)).fee_limit_msat == 3

    told(tmp_path, story, first, dear, third)


def test_t10_a_rail_that_takes_more_than_it_may_is_frozen_and_the_operator_bears_it(tmp_path):
    rail = Double()

    async def story(it: Scene):
        rail.pays.append(Paid(fee_msat=Msat(500), evidence=EVIDENCE))
        first, second = await it.open("a"), await it.open("b")
        it.again(rules=SenderRules(at_once=1))
        await it.round()
        assert (await it.state(first), await it.spent()) == ("succeeded", (1_010, 1_010))
        await it.round()
        assert (await it.state(second), rail.paid) == ("reserved", [f"{first}:1"])
        assert "rail:lnd is frozen" in (await it.payment(second)).reason

    told(tmp_path, story, rail)


def test_a_preimage_that_is_none_freezes_its_rail(tmp_path):
    rail = Double()

    async def story(it: Scene):
        rail.pays.append(Paid(fee_msat=Msat(1), evidence=EVIDENCE, proof="00" * 32))
        id = await it.open("ab" * 32)
        await it.round()
        assert await it.state(id) == "succeeded"
        (frozen,) = await it.treasury.frozen()
        assert (frozen.scope, "preimage" in frozen.reason) == ("rail:lnd", True)

    told(tmp_path, story, rail)


def test_t31_a_rail_at_another_node_sends_nothing_and_fails_nothing(tmp_path):
    rail = Double()

    async def story(it: Scene):
        sent = await it.open("a")
        rail.pays.append(UNKNOWN)
        await it.round()
        waiting = await it.open("b")
        rail.state = RailState.WRONG_NODE
        for _ in range(5):
            await it.round(300)
        assert (await it.state(sent), await it.state(waiting)) == ("unknown", "reserved")
        assert rail.paid == [f"{sent}:1"]
        (frozen,) = await it.treasury.frozen()
        assert (frozen.scope, frozen.reason) == ("rail:lnd", "wrong_node: as it was told")

    told(tmp_path, story, rail)


def test_a_rail_that_is_down_is_waited_for(tmp_path):
    rail = Double()

    async def story(it: Scene):
        rail.state = RailState.LOCKED
        id = await it.open("a")
        await it.round()
        assert (await it.state(id), rail.paid) == ("reserved", [])
        assert (await it.payment(id)).reason == "lnd is locked: as it was told"
        rail.state = RailState.READY
        await it.round(2)
        assert await it.state(id) == "succeeded"

    told(tmp_path, story, rail)


def test_payments_of_a_rail_that_left_the_configuration_stay_unknown(tmp_path):
    rail = Double()

    async def story(it: Scene):
        rail.pays.append(UNKNOWN)
        sent = await it.open("a")
        await it.round()
        waiting = await it.open("b")
        it.again(Double("another"))
        for _ in range(5):
            await it.round(300)
        assert (await it.state(sent), await it.state(waiting)) == ("unknown", "reserved")
        assert "not in the configuration" in (await it.payment(sent)).reason
        assert await it.spent() == (0, 2_020)
        it.again(rail)
        rail.looks.append(PAID)
        await it.round(300)
        assert (await it.state(sent), await it.state(waiting)) == ("succeeded", "succeeded")

    told(tmp_path, story, rail)


def test_t9_who_pays_what_nobody_takes_holds_up_himself_alone(tmp_path):
    """T9: invoices that are held, to use up what may be on its way at one time."""
    rail = Double()

    async def story(it: Scene):
        await it.agent("mallory")
        stuck = asyncio.Event()

        async def held(target, amount, *, fee_limit, key):
            rail.paid.append(key)
            if target.reference.startswith("held"):
                await stuck.wait()
            return PAID

        rail.pay = held
        for number in range(40):
            await it.open(f"held{number}", agent="ag_mallory")
        mine = await it.open("mine")
        await it.sender.round()
        while f"{mine}:1" not in rail.paid:
            await asyncio.sleep(0)
        assert len(rail.paid) == SenderRules().at_once_of_one + 1
        stuck.set()
        await it.sender.settled()
        assert await it.state(mine) == "succeeded"
        for _ in range(6):
            await it.round()
        assert await it.spent("ag_mallory") == (40 * 1_001, 0)

    told(tmp_path, story, rail)


def test_an_invoice_that_expires_before_it_could_be_paid_is_given_up(tmp_path):
    rail = Double()

    async def story(it: Scene):
        rail.state = RailState.DOWN
        id = await it.open("a", target=invoice("a", expires_ms=it.clock.ms + 60_000))
        await it.round()
        rail.state = RailState.READY
        await it.round(55)
        assert (await it.state(id), rail.paid, await it.spent()) == ("cancelled", [], (0, 0))

    told(tmp_path, story, rail)


def _asked_for(it: Scene, agent: str, msat: int = 1_000) -> NewRequest:
    return NewRequest(
        id="dep_1",
        kind=RequestKind.INVOICE,
        purpose=Purpose.DEPOSIT,
        realm="sim",
        rail="lnd",
        amount_msat=msat,
        agent=agent,
        reference="own",
        expires_ms=2_000_000_000_000,
    )


@pytest.mark.parametrize("lost", [0, 3])
def test_t8_our_own_invoice_is_taken_back_and_then_booked(tmp_path, lost):
    """T8: paid from inside and from outside at once, or by a fee that nobody took."""
    rail = Double()

    async def story(it: Scene):
        bob = await it.agent("bob")
        await it.requests.open(_asked_for(it, bob))
        await it.treasury.answer("dep_1", text="lnown", reference="own", expires_ms=2_000_000_000_000)
        rail.cancels.extend([RailUnavailable("down")] * lost)
        id = await it.open("own", fee=0, own_request="dep_1")
        for _ in range(lost + 1):
            await it.round(30)
        assert (rail.paid, rail.taken_back) == ([], ["own"] * (lost + 1))
        assert (await it.state(id), await it.spent(), await it.spent(bob)) == ("succeeded", (1_000, 0), (-1_000, 0))
        request = await it.requests.find("dep_1")
        assert request.state == "paid"

    told(tmp_path, story, rail)


def test_t8_our_own_invoice_that_somebody_else_paid_fails_and_counts_once(tmp_path):
    rail = Double()

    async def story(it: Scene):
        bob = await it.agent("bob")
        await it.requests.open(_asked_for(it, bob))
        await it.treasury.answer("dep_1", text="lnown", reference="own", expires_ms=2_000_000_000_000)
        rail.cancels.append(PAID_ELSEWHERE)
        id = await it.open("own", fee=0, own_request="dep_1")
        await it.round()
        assert (await it.state(id), await it.spent(), await it.spent(bob)) == ("failed", (0, 0), (0, 0))

    told(tmp_path, story, rail)


def test_t16_two_senders_make_one_payment(tmp_path):
    """T16: two that send, and one payout: one call."""
    rail = Double()

    async def story(it: Scene):
        other = Scene(it.database, it.clock, [rail], "two", alone=False)
        ids = [await it.open(f"a{number}") for number in range(10)]
        await asyncio.gather(*(sender.round() for sender in (it.sender, other.sender) for _ in range(3)))
        await asyncio.gather(it.sender.settled(), other.sender.settled())
        for _ in range(3):
            await it.round(1)
        assert sorted(rail.paid) == sorted(f"{id}:1" for id in ids)
        assert await it.spent() == (10 * 1_001, 0)

    told(tmp_path, story, rail)


def test_a_sender_that_lost_its_turn_writes_nothing_and_goes_on_once_it_has_it_again(tmp_path):
    rail = Double()

    async def story(it: Scene):
        id = await it.open("a")

        def taken_over(_):
            it.office._turn = msgspec.structs.replace(it.office._turn, fence=0)
            return PAID

        rail.pays.append(taken_over)
        it.office._turn = await it.office.turn()
        stale = msgspec.structs.replace(it.office._turn, fence=it.office._turn.fence - 1)
        it.office._turn = stale
        await it.round()
        assert (await it.state(id), rail.paid) == ("reserved", []), "an old turn dispatches nothing"
        await it.round(1)
        assert (await it.state(id), len(rail.paid)) == ("succeeded", 1)

    told(tmp_path, story, rail)


def test_what_proves_and_carries_a_payment_is_kept_sealed(tmp_path):
    rail = Double("lnd")

    async def story(it: Scene):
        rail.pays.append(Paid(fee_msat=Msat(1), evidence=EVIDENCE, proof="", token="simAtoken"))
        id = await it.open("a")
        await it.round()
        found = await it.payment(id)
        assert b"simAtoken" not in found.token
        assert (token_of(it.cipher, found), proof_of(it.cipher, found)) == ("simAtoken", "")

    told(tmp_path, story, rail)


def test_money_for_a_node_is_sent_like_the_rest(tmp_path):
    rail = Double()

    async def story(it: Scene):
        await it.vault.post(_events.Capital(rail="lnd", msat=50_000), realm="sim", key="more")
        target = invoice("node")
        new = NewPayment(
            id="top_1",
            kind=PaymentKind.TOPUP,
            realm="sim",
            owner="routstr/node",
            amount_msat=1_000,
            fee_msat=10,
            destination=target.text,
            target=msgspec.json.encode(target),
            reference="node",
            rails=("lnd",),
        )
        await it.treasury.open_payment(new)
        await it.round()
        (waits,) = await it.treasury.unhanded()
        assert (waits.id, waits.state, rail.paid) == ("top_1", "succeeded", ["top_1:1"])

    told(tmp_path, story, rail)


def test_running_it_sends_what_is_opened_while_it_waits(tmp_path):
    rail = Double()

    async def story(it: Scene):
        ended = asyncio.Event()
        it.sender.tell(lambda _: ended.set())
        working = asyncio.create_task(it.sender.run())
        await it.open("a")
        await asyncio.wait_for(ended.wait(), 30)
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        assert (rail.paid, FUND - (await it.spent())[0]) == ([rail.paid[0]], FUND - 1_001)

    told(tmp_path, story, rail)


def test_t16_a_payment_that_ends_while_it_is_read_what_is_due_is_not_begun_again(tmp_path, monkeypatch):
    """What was read of it is older than its end: its rail would be asked to pay once more, if under the same key."""
    rail = Double()

    async def story(it: Scene):
        let, due = asyncio.Event(), it.treasury.due_payments
        pay = rail.pay

        async def slowly(*args, **more):
            ended = await pay(*args, **more)
            await let.wait()
            return ended

        rail.pay = slowly
        id = await it.open("a")
        assert await it.sender.round() == 1
        while not rail.paid:
            await asyncio.sleep(0)

        async def read(*args):
            found = await due(*args)
            assert [(each.id, each.state) for each in found] == [(id, "dispatching")]
            let.set()
            await it.sender.settled()
            assert await it.state(id) == "succeeded"
            return found

        monkeypatch.setattr(it.treasury, "due_payments", read)
        assert await it.sender.round() == 0
        await it.sender.settled()
        assert rail.paid == [f"{id}:1"]

    told(tmp_path, story, rail)


@pytest.mark.parametrize("what", ["payment", "request"])
def test_what_is_written_down_is_told_of_whatever_became_of_who_wrote_it(tmp_path, what):
    """A client that leaves has its call cancelled: what was written for it meanwhile waits for nobody's next look."""

    async def story(it: Scene):
        told_of = asyncio.Event()
        (it.treasury if what == "payment" else it.requests).tell(told_of.set)
        new = NewRequest(
            id="req_1", kind=RequestKind.INVOICE, purpose=Purpose.CAPITAL, realm="sim", rail="lnd", amount_msat=5
        )
        writing = asyncio.create_task(it.open("a") if what == "payment" else it.requests.open(new))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await asyncio.wait_for(told_of.wait(), 60)
        found = await it.requests.payments() if what == "payment" else await it.requests.list()
        assert len(found) == 1

    told(tmp_path, story)


def test_what_is_refused_is_told_to_nobody(tmp_path):
    async def story(it: Scene):
        told_of = []
        it.treasury.tell(lambda: told_of.append("a payment"))
        await it.open("a")
        with pytest.raises(Conflict):
            await it.open("a")
        assert told_of == ["a payment"]
        await it.round()

    told(tmp_path, story)


def test_it_rests_until_an_operator_lets_a_payout_go(tmp_path):
    rail = Double()

    async def story(it: Scene):
        await it.vault.set_limits("ag_alice", msgspec.structs.replace(FREE, payouts_unapproved_msat=0))
        it.again(rules=SenderRules(idle_seconds=600))
        ended = asyncio.Event()
        it.sender.tell(lambda _: ended.set())
        working = asyncio.create_task(it.sender.run())
        id = await it.open("a", waits=True)
        (asked,) = await it.vault.approvals(state=ApprovalState.PENDING)
        assert await it.state(id) == "created"
        await it.vault.decide(asked.id, grant=True, actor="olga")
        await asyncio.wait_for(ended.wait(), 60)
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        assert rail.paid == [f"{id}:1"]

    told(tmp_path, story, rail)


def test_t16_two_processes_on_one_database_make_one_payment_each(tmp_path, postgres_url):
    """And when the one that sends ends, the other goes on."""
    rail = Double()

    async def story():
        clock = MovedClock()
        async with contextlib.AsyncExitStack() as stack:
            scenes = []
            for boot in ("one", "two"):
                (tmp_path / boot).mkdir()
                database = Database.open(postgres_url, data_dir=tmp_path / boot, clock=clock, schemas=[schema()])
                stack.push_async_callback(database.close)
                scenes.append(Scene(database, clock, [rail], boot, alone=False))
            first, second = scenes
            await first.agent()
            ids = [await first.open(f"a{number}") for number in range(10)]
            working = [asyncio.create_task(each.sender.run()) for each in scenes]

            async def all_paid(wanted):
                while {await second.state(id) for id in wanted} != {"succeeded"}:
                    await asyncio.sleep(0.05)

            await asyncio.wait_for(all_paid(ids), 60)
            sends = [each.office._turn is not None for each in scenes]
            assert sorted(sends) == [False, True], "one of them has the turn"
            working[sends.index(True)].cancel()
            await asyncio.gather(working[sends.index(True)], return_exceptions=True)
            await scenes[sends.index(True)].office.leave()
            more = [await first.open(f"b{number}") for number in range(3)]
            await asyncio.wait_for(all_paid(more), 60)
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            assert sorted(rail.paid) == sorted(f"{id}:1" for id in [*ids, *more])
            assert (await first.spent(), (await first.vault.verify()).first_bad) == ((13 * 1_001, 0), None)

    asyncio.run(story())


@pytest.mark.parametrize("state", ["dispatching", "unknown"])
def test_after_a_restore_nothing_is_asked_before_its_rail_was_compared(tmp_path, state):
    rail = Double()

    async def story(it: Scene):
        id = await it.open("a")
        if state == "unknown":
            rail.pays.append(UNKNOWN)
            await it.round()
        else:
            turn = await it.office.turn()
            await it.treasury.dispatch(turn, await it.payment(id), fee_limit_msat=10)
        asked = (list(rail.paid), list(rail.looked))
        it.clock.ms += 1
        await it.vault.mark_restored("backup")
        it.again()
        waiting = await it.open("b")
        for _ in range(5):
            await it.round(300)
        assert (rail.paid, rail.looked) == asked
        assert (await it.state(id), await it.state(waiting), await it.spent()) == ("unknown", "reserved", (0, 2_020))
        assert "has not been compared" in (await it.payment(id)).reason
        await it.treasury.walked(await it.office.turn(), "lnd", await it.vault.restored_ms())
        rail.looks.append(PAID)
        for _ in range(3):
            await it.round(300)
        assert (await it.state(id), await it.state(waiting)) == ("succeeded", "succeeded")

    told(tmp_path, story, rail)


def test_what_was_about_to_be_sent_over_a_rail_that_is_frozen_since_is_only_looked_up(tmp_path):
    rail = Double()

    async def story(it: Scene):
        id = await it.open("a")
        await it.treasury.dispatch(await it.office.turn(), await it.payment(id), fee_limit_msat=10)
        await it.treasury.set_frozen("rail:lnd", frozen=True, reason="looked at", actor="operator")
        rail.looks.append(FAILED)
        await it.round()
        assert (rail.paid, len(rail.looked), await it.state(id), await it.spent()) == ([], 1, "failed", (0, 0))

    told(tmp_path, story, rail)
