"""What an operator writes off: the operator's loss, once, and never an agent's."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace
from vault.paying import hold_payout, send, treasury, turn

from arbstr_core.types import BadRequest, Conflict, InsufficientFunds, NotFound
from arbstr_core.vault import FailedEnd, Limits, NewAgent, NewPayment, PaidEnd, PaymentKind, _events, _node_events

CLAIM = "asset:claim:n"
FILLED = (
    _events.Capital(rail="cashu", msat=1_000),
    _node_events.TopUp(rail="cashu", node="n", msat=300, fee_msat=0),
    _node_events.NodeClaimed(node="n", msat=200),
    _node_events.TokenSent(rail="cashu", node="n", msat=50, fee_msat=0),
    _events.LeftUnasked(rail="cashu", msat=30, fee_msat=1),
)
"""200 msat are claimed, 100 lie there, 50 are on their way, 31 have left unasked, and 619 are at the mint."""


def told(bench, story, *events, realm="regtest"):
    """Run a story in a realm where these things have happened; the ledger verifies at its end."""

    async def whole():
        async with bench.vault() as vault:
            limits = Limits(max_charge_msat=5_000, daily_msat=9_000, payouts_unapproved_msat=5_000, max_fee_msat=100)
            await vault.create_agent(NewAgent(id="ag_ann", name="ann", realm=realm, token_hash=b"a", limits=limits))
            for number, event in enumerate(events or FILLED):
                await vault.post(event, realm=realm, key=f"filled:{number}")
            result = await story(vault)
            found = await vault.verify()
            assert found.ok, found.first_bad
            return result

    return asyncio.run(whole())


def lost(vault, asset=CLAIM, msat=200, *, key="k", realm="regtest", reason="the node is gone", actor="olga"):
    return treasury(vault).write_off(asset, msat, realm=realm, key=key, reason=reason, actor=actor)


def top_up(msat):
    return NewPayment(
        id="top_1",
        kind=PaymentKind.TOPUP,
        realm="regtest",
        amount_msat=msat,
        fee_msat=0,
        destination="n",
        target=b"{}",
        reference="r",
        rails=("cashu",),
        owner="n",
    )


async def assets(vault, realm="regtest"):
    found = (await treasury(vault).owed())[realm].assets
    return {name: msat for name, msat in found.items() if msat}


@pytest.mark.parametrize(
    ("asset", "msat"), [("cashu", 619), ("prepaid:n", 100), ("claim:n", 200), ("claim:n", 1), ("suspense:cashu", 31)]
)
def test_what_is_lost_is_written_off_with_who_said_so_and_why(any_bench, asset, msat):
    async def story(vault):
        before = await assets(vault)
        seq = await lost(vault, f"asset:{asset}", msat)
        after = {**before, asset: before[asset] - msat}
        assert await assets(vault) == {name: left for name, left in after.items() if left}
        return seq

    seq = told(any_bench, story)
    entries = any_bench.rows(
        "SELECT e.side, a.name, e.amount_msat FROM entry e JOIN account a ON a.id = e.account_id"
        f" WHERE e.transfer_seq = {seq} ORDER BY e.n"
    )
    assert entries == [("debit", "cost:loss", msat), ("credit", f"asset:{asset}", msat)]
    pending = "audit" if any_bench.dialect.value == "sqlite" else "audit_pending"
    [(actor, subject, data)] = any_bench.rows(
        f"SELECT actor, subject, data FROM {pending} WHERE action = 'asset.write_off'"
    )
    assert (actor, subject) == ("olga", f"asset:{asset}@regtest")
    assert json.loads(data) == [f"asset:{asset}", "regtest", msat, "the node is gone", seq]


@pytest.mark.parametrize(
    ("asset", "msat", "raises", "why"),
    [
        (CLAIM, 201, BadRequest, r"200 msat are in asset:claim:n; write off 200 msat at most"),
        ("asset:transit:n", 1, BadRequest, "comes back, or ends as a claim: write that off"),
        ("asset:claim:m", 1, NotFound, "it has: asset:cashu, asset:claim:n, asset:prepaid:n, "),
        ("claim:n", 1, NotFound, "has no asset 'claim:n'"),
        ("equity:operator", 1, NotFound, "has no asset 'equity:operator'"),
        ("agent:ag_ann", 1, NotFound, "has no asset 'agent:ag_ann'"),
    ],
)
def test_what_cannot_be_lost_is_refused(any_bench, asset, msat, raises, why):
    async def story(vault):
        before = await assets(vault)
        with pytest.raises(raises, match=why):
            await lost(vault, asset, msat)
        with pytest.raises(NotFound, match="realm mainnet has no asset"):
            await lost(vault, realm="mainnet")
        assert await assets(vault) == before

    told(any_bench, story)


@pytest.mark.parametrize("msat", [0, -1, 2**63])
def test_what_is_no_amount_is_no_loss(bench, msat):
    async def story(vault):
        with pytest.raises(ValueError, match="no amount"):
            await lost(vault, msat=msat)

    told(bench, story)


def test_a_loss_is_never_an_agents(any_bench):
    """Nor a seller's, nor of somebody whom nobody knows: the operator brings capital first, and that is not his to
    give away any more."""

    async def story(vault):
        await vault.fund("ag_ann", 700, rail="cashu", key="f")
        await vault.post(_events.Deposit(rail="cashu", msat=150, agent=None), realm="regtest", key="nobodys")
        # 1,150 msat are there, and 850 are owed.
        with pytest.raises(Conflict, match="without 301 msat it would lack 1 msat, and a loss is never an agent's"):
            await lost(vault, "asset:cashu", 301)
        await lost(vault, "asset:cashu", 200, key="some")
        await lost(vault, msat=100, key="more")
        with pytest.raises(Conflict, match="bring so much capital first"):
            await lost(vault, msat=1, key="last")
        await vault.post(_events.Capital(rail="cashu", msat=100), realm="regtest", key="brought")
        await lost(vault, msat=100, key="last")
        owed = (await treasury(vault).owed())["regtest"]
        assert sum(owed.assets.values()) == owed.liabilities_msat == 850
        assert (owed.equity_msat, owed.own_msat, owed.lost_msat) == (400, 0, 400)
        with pytest.raises(InsufficientFunds, match="the equity in realm regtest is 0 msat, less than 1 msat"):
            await vault.fund("ag_ann", 1, rail="cashu", key="g")
        with pytest.raises(InsufficientFunds, match="50 msat are needed, and -150 may be spent"):
            await treasury(vault).open_payment(top_up(50))
        await vault.post(_events.Capital(rail="cashu", msat=200), realm="regtest", key="more")
        await treasury(vault).open_payment(top_up(50))
        await vault.fund("ag_ann", 200, rail="cashu", key="g")

    told(any_bench, story)


def test_of_losses_at_once_each_is_weighed_with_those_before(any_bench):
    async def story(vault):
        await vault.fund("ag_ann", 850, rail="cashu", key="f")
        asked = [(CLAIM, 100), ("asset:prepaid:n", 100), ("asset:cashu", 100)]
        answers = await asyncio.gather(
            *(lost(vault, asset, msat, key=asset) for asset, msat in asked), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [int, Conflict, Conflict]

    told(any_bench, story)


def test_of_two_processes_one_writes_off_after_the_other(new_bench, postgres_url, tmp_path):
    bench = new_bench(tmp_path, postgres_url)

    async def story(vault):
        await vault.fund("ag_ann", 850, rail="cashu", key="f")
        async with bench.vault("boot-2") as other:
            for number in range(5):
                await vault.post(_events.Capital(rail="cashu", msat=10), realm="regtest", key=f"capital:{number}")
                asked = [(vault, CLAIM), (other, "asset:cashu")]
                answers = await asyncio.gather(
                    *(lost(each, asset, 155 if number == 0 else 10, key=f"{number} {asset}") for each, asset in asked),
                    return_exceptions=True,
                )
                assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "int"], answers

    told(bench, story)


def test_where_no_capital_was_ever_brought_one_comes_after_the_other_too(new_bench, postgres_url, tmp_path):
    """There is no account of the operator's equity yet; what calls have earned is beyond what is owed all the same."""
    bench = new_bench(tmp_path, postgres_url)
    came = [_events.Deposit(rail=rail, msat=1_000, agent="ag_ann") for rail in ("cashu", "lnd")]

    async def story(vault):
        call = await vault.hold(bench.request(100, agent="ag_ann"))
        await vault.settle(bench.settlement(call.id, 100))
        async with bench.vault("boot-2") as other:
            asked = [(vault, "asset:cashu"), (other, "asset:lnd")]
            answers = await asyncio.gather(
                *(lost(each, asset, 100, key=asset) for each, asset in asked), return_exceptions=True
            )
            assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "int"], answers

    told(bench, story, *came)


def test_the_same_key_is_the_same_loss(any_bench):
    async def story(vault):
        first, again = await asyncio.gather(lost(vault), lost(vault))
        assert first == again == await lost(vault, actor="omar")
        for other in ({"msat": 100}, {"asset": "asset:cashu"}, {"reason": "it burnt down"}):
            with pytest.raises(Conflict, match="was used for something else"):
                await lost(vault, **other)
        assert CLAIM.removeprefix("asset:") not in await assets(vault)

    told(any_bench, story)
    pending = "audit" if any_bench.dialect.value == "sqlite" else "audit_pending"
    assert any_bench.rows(f"SELECT count(*) FROM {pending} WHERE action = 'asset.write_off'") == [(1,)]


def test_a_loss_in_one_realm_is_none_in_another(bench):
    async def story(vault):
        for number, event in enumerate(FILLED):
            await vault.post(event, realm="mainnet", key=f"other:{number}")
        assert await lost(vault) != await lost(vault, realm="mainnet")
        assert await assets(vault) == await assets(vault, "mainnet")

    told(bench, story)


def test_simulated_money_that_agents_have_is_not_lost(bench):
    async def story(vault):
        await vault.fund("ag_ann", 500, rail="simulated", key="f")
        with pytest.raises(Conflict, match="would lack 1 msat"):
            await lost(vault, "asset:simulated", 10, realm="sim")
        await lost(vault, "asset:simulated", 9, realm="sim")

    told(bench, story, _events.Capital(rail="simulated", msat=9), realm="sim")


def test_what_a_payment_may_yet_take_is_not_lost(any_bench):
    async def story(vault):
        await vault.fund("ag_ann", 500, rail="cashu", key="f")
        await vault.post(_events.Capital(rail="cashu", msat=1_000), realm="regtest", key="more")
        request = replace(
            any_bench.request(110, agent="ag_ann", id="po_1"), kind="payout", body_digest=b"p", fee_msat=10
        )
        await hold_payout(vault, request, rails=("cashu",), realm="regtest")
        sent = await send(vault, "po_1")
        with pytest.raises(BadRequest, match="110 msat of it under way: let those payments end; write off 1509 msat"):
            await lost(vault, "asset:cashu", 1_510)
        end = FailedEnd(reason="no way", evidence="the rail says so")
        await treasury(vault).end(await turn(vault), sent, end)
        with pytest.raises(Conflict, match="is never an agent's"):
            await lost(vault, "asset:cashu", 1_510)

    told(any_bench, story)


def test_what_a_node_was_paid_and_may_yet_deny_is_not_lost(any_bench):
    """It would be a claim of money that the ledger has no more."""

    async def story(vault):
        moves = treasury(vault)
        await moves.open_payment(top_up(60))
        sent = await send(vault, "top_1")
        paid = await moves.end(await turn(vault), sent, PaidEnd(fee_msat=0, evidence="a preimage"))
        with pytest.raises(BadRequest, match="60 msat of it under way: let those payments end; write off 100 msat"):
            await lost(vault, "asset:prepaid:n", 101)
        await lost(vault, "asset:prepaid:n", 100, key="what lies there")
        await moves.hand_over(await turn(vault), paid, credited=None, said="it never saw it")
        assert (await assets(vault))["claim:n"] == 260
        await lost(vault, msat=260)

    told(any_bench, story)
