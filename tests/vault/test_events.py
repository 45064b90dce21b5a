"""What happens to money beside calls: each row of the table "Entries" makes the entries that it names, and no more."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vault import paying

from arbstr_core.types import Conflict, InsufficientFunds, NotFound
from arbstr_core.vault import ApprovalNeeded, HoldRequest, Limits, SellerShare, _events, _node_events
from arbstr_core.vault._values import ProviderCost, Settlement

TABLE = [
    (_events.Capital(rail="lnd", msat=9), ["D asset:lnd 9", "C equity:operator 9"]),
    (_events.Deposit(rail="lnd", msat=9, agent="ag_alice"), ["D asset:lnd 9", "C agent:ag_alice 9"]),
    (_events.Deposit(rail="lnd", msat=9, agent=None), ["D asset:lnd 9", "C suspense 9"]),
    (_events.Deposit(rail="cashu", msat=9, agent="ag_alice", fee_msat=2), ["D asset:cashu 7", "C agent:ag_alice 7"]),
    (_events.Assigned(agent="ag_alice", msat=9), ["D suspense 9", "C agent:ag_alice 9"]),
    (_events.LeftUnasked(rail="lnd", msat=9, fee_msat=2), ["D asset:suspense:lnd 11", "C asset:lnd 11"]),
    (_events.SellerPaid(rail="lnd", seller="dave", msat=9, fee_msat=2), ["D seller:dave 11", "C asset:lnd 11"]),
    (_events.AgentTransfer(payer="ag_alice", payee="ag_bob", msat=9), ["D agent:ag_alice 9", "C agent:ag_bob 9"]),
    (
        _events.Reclaimed(rail="cashu", agent="ag_alice", msat=9, fee_msat=2),
        ["D asset:cashu 7", "C agent:ag_alice 7"],
    ),
    (
        _node_events.TopUp(rail="lnd", node="n", msat=9, fee_msat=2),
        ["D asset:prepaid:n 9", "D cost:rail_fee 2", "C asset:lnd 11"],
    ),
    (
        _node_events.TokenSent(rail="cashu", node="n", msat=9, fee_msat=2),
        ["D asset:transit:n 9", "D cost:rail_fee 2", "C asset:cashu 11"],
    ),
    (
        _node_events.TokenRedeemed(node="n", msat=9, credited_msat=8),
        ["D asset:prepaid:n 8", "D cost:rail_fee 1", "C asset:transit:n 9"],
    ),
    (
        _node_events.TokenReturned(rail="cashu", node="n", msat=9, fee_msat=2),
        ["D asset:cashu 7", "D cost:rail_fee 2", "C asset:transit:n 9"],
    ),
    (_node_events.TokenDisputed(node="n", msat=9), ["D asset:claim:n 9", "C asset:transit:n 9"]),
    (_node_events.NodeClaimed(node="n", msat=9), ["D asset:claim:n 9", "C asset:prepaid:n 9"]),
    (
        _node_events.NodeSwept(node="n", balance_msat=9, token_msat=7),
        ["D asset:transit:n 7", "D cost:dust 2", "C asset:prepaid:n 9"],
    ),
    (_node_events.NodeVariance(node="n", missing_msat=9), ["D cost:variance 9", "C asset:prepaid:n 9"]),
    (_node_events.NodeVariance(node="n", found_msat=9), ["D asset:prepaid:n 9", "C cost:variance 9"]),
    (_events.RailCost(rail="cashu", msat=9), ["D cost:rail_fee 9", "C asset:cashu 9"]),
    (
        _events.BillPaid(provider="groq", owed_msat=9, paid_msat=11, rail="lnd"),
        ["D payable:groq 9", "D cost:fx 2", "C asset:lnd 11"],
    ),
    (
        _events.BillPaid(provider="groq", owed_msat=9, paid_msat=7),
        ["D payable:groq 9", "C cost:fx 2", "C equity:operator 7"],
    ),
    (_events.TokenOfCall(rail="cashu", key="k", msat=9, fee_msat=2), ["D asset:cashu 7", "C temp:k 7"]),
    (_events.ChangeOfCall(rail="cashu", key="k", msat=9), ["D temp:k 9", "C asset:cashu 9"]),
    (_events.ChangeOfCall(rail="cashu", key="k", msat=9, fee_msat=2), ["D temp:k 11", "C asset:cashu 11"]),
    (_events.DustKept(key="k", msat=9), ["D temp:k 9", "C income:dust 9"]),
    (_events.Loss(asset="prepaid:n", msat=9), ["D cost:loss 9", "C asset:prepaid:n 9"]),
]

FILLED = (
    _events.Capital(rail="lnd", msat=1_000),
    _events.Capital(rail="cashu", msat=1_000),
    _node_events.TopUp(rail="lnd", node="n", msat=100, fee_msat=1),
    _node_events.TokenSent(rail="cashu", node="n", msat=100, fee_msat=1),
    _events.TokenOfCall(rail="cashu", key="k", msat=100, fee_msat=1),
    _events.Deposit(rail="lnd", msat=100, agent=None),
)
ENTRIES = (
    "SELECT CASE e.side WHEN 'debit' THEN 'D ' ELSE 'C ' END || a.name || ' ' || e.amount_msat FROM entry e "
    "JOIN account a ON a.id = e.account_id WHERE e.transfer_seq = {} ORDER BY e.n"
)


async def sold(bench, vault):
    """A seller has earned something."""
    await bench.agent(vault, "carol", fund=100)
    request = msgspec.structs.replace(bench.request(100), agent="ag_carol")
    await vault.hold(request)
    share = SellerShare(seller="dave", msat=90)
    await vault.settle(Settlement(id=request.id, charge_msat=100, costs=(), receipt=b"{}", seller=share))


def told(bench, story, **more):
    async def whole():
        async with bench.vault() as vault:
            await bench.agent(vault, **more)
            await bench.agent(vault, "bob", fund=0)
            await sold(bench, vault)
            for number, event in enumerate(FILLED):
                await vault.post(event, realm="sim", key=f"filled:{number}")
            result = await story(vault)
            verification = await vault.verify()
            assert verification.ok, verification
            return result

    return asyncio.run(whole())


@pytest.mark.parametrize(("event", "entries"), TABLE, ids=lambda value: getattr(value, "kind", None))
def test_each_event_makes_its_entries_once(bench, event, entries):
    async def story(vault):
        seq = await vault.post(event, realm="sim", key="once")
        assert await vault.post(event, realm="sim", key="once") == seq
        with pytest.raises(Conflict, match="was used for something else"):
            await vault.post(_events.Capital(rail="lnd", msat=8), realm="sim", key="once")
        return seq

    seq = told(bench, story)
    assert [row[0] for row in bench.rows(ENTRIES.format(seq))] == entries
    assert bench.rows(f"SELECT kind, realm FROM transfer WHERE seq = {seq}") == [(event.kind, "sim")]


def test_every_event_is_in_the_table():
    assert {type(event) for event, _ in TABLE} == set(_events.Event.__subclasses__())


@pytest.mark.parametrize(
    "event",
    [
        _events.AgentTransfer(payer="ag_alice", payee="ag_bob", msat=10_001),
        _node_events.TopUp(rail="lnd", node="n", msat=999, fee_msat=1),
        _node_events.NodeSwept(node="n", balance_msat=101, token_msat=101),
        _node_events.NodeClaimed(node="n", msat=101),
        _events.Loss(asset="cashu", msat=10_000),
        _events.ChangeOfCall(rail="cashu", key="k", msat=100),
        _events.BillPaid(provider="groq", owed_msat=1, paid_msat=1_000, rail="lnd"),
    ],
    ids=lambda event: event.kind,
)
def test_nothing_goes_below_nothing(bench, event):
    async def story(vault):
        with pytest.raises(InsufficientFunds, match="are needed and"):
            await vault.post(event, realm="sim", key="too much")

    told(bench, story)


def test_what_is_no_event_is_refused(bench):
    async def story(vault):
        for event in (
            _events.Capital(rail="lnd", msat=0),
            _events.Capital(rail="lnd", msat=-1),
            _events.Deposit(rail="lnd", msat=1, agent=None, fee_msat=2),
            _node_events.TokenRedeemed(node="n", msat=1, credited_msat=2),
            _events.Capital(rail="lnd", msat=2**63),
        ):
            with pytest.raises(ValueError, match="moves nothing, or what is no amount"):
                await vault.post(event, realm="sim", key="nothing")
        with pytest.raises(NotFound, match="there is no agent ag_nobody in realm sim"):
            await vault.post(_events.Deposit(rail="lnd", msat=1, agent="ag_nobody"), realm="sim", key="nobody")
        with pytest.raises(NotFound, match="there is no agent ag_alice in realm regtest"):
            await vault.post(_events.Deposit(rail="lnd", msat=1, agent="ag_alice"), realm="regtest", key="realm")

    told(bench, story)


async def payout(vault, amount, *, id="po_1"):
    await vault.set_limits("ag_alice", Limits(max_charge_msat=5_000, daily_msat=8_000, payouts_unapproved_msat=5_000))
    request = HoldRequest(
        id=id,
        agent="ag_alice",
        ceilings=(amount,),
        candidates=b"{}",
        model="",
        kind="payout",
        body_digest=b"po",
        fee_msat=10,
    )
    return await paying.hold_payout(vault, request)


@pytest.mark.parametrize(
    ("fee", "entries", "left"),
    [
        (3, ["D agent:ag_alice 103", "C asset:lnd 103"], 9_897),
        (10, ["D agent:ag_alice 110", "C asset:lnd 110"], 9_890),
        (15, ["D agent:ag_alice 110", "C asset:lnd 115", "D cost:rail_fee 5"], 9_890),
    ],
)
def test_a_payout_takes_the_real_fee_and_never_more_than_was_held(bench, fee, entries, left):
    async def story(vault):
        await payout(vault, 110)
        await paying.paid(vault, "po_1", fee)
        assert (await vault.receipt("po_1")).charged_msat == 10_000 - left
        assert (await vault.agent("alice")).available_msat == left

    told(bench, story)
    seq = bench.rows("SELECT max(seq) FROM transfer")[0][0]
    assert [row[0] for row in bench.rows(ENTRIES.format(seq))] == entries


def test_a_payout_waits_for_an_operator_where_the_limits_say_nothing(bench):
    async def story(vault):
        request = HoldRequest(
            id="po_1", agent="ag_alice", ceilings=(1,), candidates=b"{}", model="", kind="payout", body_digest=b"po"
        )
        answer = await paying.hold_payout(vault, request)
        assert isinstance(answer, ApprovalNeeded), answer
        assert (await vault.agent("alice")).held_msat == 1

    told(bench, story)


def test_a_payout_is_held_for_and_ended_with_its_payment_alone(bench):
    async def story(vault):
        request = HoldRequest(
            id="po_1", agent="ag_alice", ceilings=(1,), candidates=b"{}", model="", kind="payout", body_digest=b"po"
        )
        with pytest.raises(ValueError, match="with its payment"):
            await vault.hold(request)
        await paying.hold_payout(vault, request)
        with pytest.raises(ValueError, match="held for a payout"):
            await vault.release("po_1", b"{}")
        with pytest.raises(ValueError, match="held for a payout"):
            await vault.settle(Settlement(id="po_1", charge_msat=1, costs=(), receipt=b"{}"))

    told(bench, story)


@pytest.mark.parametrize(
    ("share", "entries"),
    [
        (70, ["C clearing 100", "C income:margin 30", "C seller:dave 70", "D agent:ag_alice 100", "D clearing 100"]),
        (100, ["C clearing 100", "C seller:dave 100", "D agent:ag_alice 100", "D clearing 100"]),
    ],
)
def test_a_seller_gets_the_charge_less_the_margin(bench, share, entries):
    async def story(vault):
        request = bench.request(100)
        await vault.hold(request)
        seller = SellerShare(seller="dave", msat=share)
        await vault.settle(Settlement(id=request.id, charge_msat=100, costs=(), receipt=b"{}", seller=seller))

    told(bench, story)
    seq = bench.rows("SELECT max(seq) FROM transfer")[0][0]
    rows = bench.rows(
        "SELECT CASE e.side WHEN 'debit' THEN 'D ' ELSE 'C ' END || a.name || ' ' || sum(e.amount_msat) FROM entry e "
        f"JOIN account a ON a.id = e.account_id WHERE e.transfer_seq = {seq} GROUP BY a.name, e.side"
    )
    assert sorted(row[0] for row in rows) == entries


@pytest.mark.parametrize(
    ("charge", "cost", "entries"),
    [
        (50, 40, ["C asset:prepaid:n 40", "D cost:provider 40"]),
        (50, 60, ["C asset:prepaid:n 60", "D cost:overage 10", "D cost:provider 50"]),
        (50, 130, ["C asset:prepaid:n 100", "C payable:routstr.n 30", "D cost:overage 80", "D cost:provider 50"]),
    ],
)
def test_what_a_node_took_comes_from_what_is_held_there(bench, charge, cost, entries):
    async def story(vault):
        request = bench.request(100)
        await vault.hold(request)
        taken = ProviderCost(provider="routstr.n", cost_msat=cost, served=True, node="n")
        await vault.settle(Settlement(id=request.id, charge_msat=charge, costs=(taken,), receipt=b"{}"))

    told(bench, story)
    seq = bench.rows("SELECT max(seq) FROM transfer")[0][0]
    found = [row[0] for row in bench.rows(ENTRIES.format(seq))]
    assert sorted(found) == sorted([f"D agent:ag_alice {charge}", f"C income:sales {charge}", *entries])


AMOUNTS = st.integers(0, 200)
EVENTS = st.one_of(
    st.builds(_events.Capital, rail=st.sampled_from(["lnd", "cashu"]), msat=AMOUNTS),
    st.builds(_events.Deposit, rail=st.just("lnd"), msat=AMOUNTS, agent=st.sampled_from([None, "ag_alice", "ag_bob"])),
    st.builds(_events.AgentTransfer, payer=st.just("ag_alice"), payee=st.just("ag_bob"), msat=AMOUNTS),
    st.builds(_node_events.TopUp, rail=st.just("lnd"), node=st.just("n"), msat=AMOUNTS, fee_msat=AMOUNTS),
    st.builds(_node_events.TokenSent, rail=st.just("cashu"), node=st.just("n"), msat=AMOUNTS, fee_msat=AMOUNTS),
    st.builds(_node_events.TokenRedeemed, node=st.just("n"), msat=AMOUNTS, credited_msat=AMOUNTS),
    st.builds(_node_events.NodeSwept, node=st.just("n"), balance_msat=AMOUNTS, token_msat=AMOUNTS),
    st.builds(_node_events.NodeVariance, node=st.just("n"), missing_msat=AMOUNTS, found_msat=AMOUNTS),
    st.builds(_events.BillPaid, provider=st.just("groq"), owed_msat=AMOUNTS, paid_msat=AMOUNTS, rail=st.just("lnd")),
    st.builds(_events.Loss, asset=st.sampled_from(["lnd", "prepaid:n"]), msat=AMOUNTS),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, max_size=12))
def test_whatever_happens_the_ledger_verifies(new_bench, tmp_path_factory, events):
    bench = new_bench(tmp_path_factory.mktemp("ledger"))

    async def story(vault):
        results = await asyncio.gather(
            *(vault.post(event, realm="sim", key=f"k{n}") for n, event in enumerate(events)), return_exceptions=True
        )
        assert all(isinstance(result, int | InsufficientFunds | ValueError) for result in results), results

    told(bench, story)
