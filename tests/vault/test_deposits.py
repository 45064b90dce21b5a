"""Money that comes in: credited once, whoever tells of it; what is nobody's waits in suspense. On either database."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from limiting import agent, later, story_of
from vault.crediting import RAIL, came, credited, wanted
from vault.paying import EVIDENCE, new_payout, send, treasury, turn

from arbstr_core.types import Conflict, DepositKind, NotFound
from arbstr_core.vault import (
    PaidEnd,
    PaymentKind,
    Place,
    Purpose,
    RequestKind,
    Requests,
    RequestState,
    _events,
)
from arbstr_core.vault._node_events import TokenSent


async def posted(bench, name):
    found = bench.rows(f"SELECT posted_msat FROM account WHERE name = '{name}'")
    return found[0][0] if found else 0


def told(bench, story, **more):
    story_of(bench, story, fund=10_000, **more)


def test_t11_an_invoice_is_credited_once_whoever_tells_of_it(any_bench):
    """T11: the event three times, a poll beside it, at once."""

    async def story(vault):
        assert await credited(vault, "h1", 500) is True
        deposit, mine = came("h1", 500, key="rq_1", cursor="7"), await turn(vault)
        outcomes = await asyncio.gather(
            *(
                treasury(vault).credit(mine, RAIL, "sim", deposit, owner="ag_alice", stream=stream)
                for stream in (True, False, True, False)
            )
        )
        assert outcomes == [False] * 4
        assert (await vault.agent("alice")).posted_msat == 10_500
        assert await treasury(vault).place(RAIL, "deposits") == "7"
        found = await Requests(vault._db).find("rq_1")
        assert found.state is RequestState.PAID
        assert [each.agent for each in await Requests(vault._db).deposits()] == ["ag_alice"]

    told(any_bench, story)


def test_many_at_once_are_one(any_bench):
    async def story(vault):
        await Requests(vault._db).open(wanted("rq_1"))
        deposit, mine = came("h1", 500, key="rq_1"), await turn(vault)
        credit = treasury(vault).credit
        outcomes = await asyncio.gather(
            *(credit(mine, RAIL, "sim", deposit, owner="ag_alice", stream=True) for _ in range(20))
        )
        assert sorted(outcomes) == [False] * 19 + [True]
        assert (await vault.agent("alice")).posted_msat == 10_500

    told(any_bench, story)


def test_the_cursor_moves_with_the_credit_and_not_without(any_bench):
    async def story(vault):
        await credited(vault, "h1", 500)
        mine = await turn(vault)
        with pytest.raises(ValueError, match="is no amount"):
            await treasury(vault).credit(mine, RAIL, "sim", came("h2", 0, cursor="9"), owner=None, stream=True)
        assert await treasury(vault).place(RAIL, "deposits") == "1"

    told(any_bench, story)


def test_a_payer_who_paid_more_or_late_is_credited_all_of_it(any_bench):
    async def story(vault):
        await Requests(vault._db).open(wanted("rq_1"))
        await treasury(vault).answer("rq_1", text="lnbc", reference="h1", expires_ms=any_bench.clock.ms + 1_000)
        later(any_bench, 5_000)
        assert await treasury(vault).end_request("rq_1", RequestState.EXPIRED, "nobody paid in time")
        assert not await treasury(vault).end_request("rq_1", RequestState.EXPIRED, "nobody paid in time")
        mine = await turn(vault)
        # The rail has forgotten the key; it knows the invoice.
        assert await treasury(vault).credit(mine, RAIL, "sim", came("h1", 900), owner="ag_alice", stream=True)
        assert (await vault.agent("alice")).posted_msat == 10_900
        assert (await Requests(vault._db).find("rq_1")).state is RequestState.PAID

    told(any_bench, story)


def test_what_nobody_is_known_for_waits_until_an_operator_says(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "kid", parent="alice")
        mine = await turn(vault)
        await treasury(vault).credit(mine, RAIL, "sim", came("h9", 700), owner="ag_alice", stream=True)
        assert (await vault.agent("alice")).posted_msat == 10_000
        assert await posted(any_bench, "suspense") == 700
        (waiting,) = await Requests(vault._db).deposits(nobodys=True)
        assert (waiting.reference, waiting.agent, waiting.assigned) == ("h9", None, False)
        seq = await treasury(vault).assign(RAIL, "h9", "ag_kid", actor="olga")
        assert await treasury(vault).assign(RAIL, "h9", "ag_kid", actor="olga") == seq
        assert (await vault.agent("alice")).posted_msat == 10_700
        assert await Requests(vault._db).deposits(nobodys=True) == []
        with pytest.raises(NotFound):
            await treasury(vault).assign(RAIL, "h8", "ag_kid", actor="olga")
        await agent(any_bench, vault, "bob")
        with pytest.raises(Conflict, match="used for something else"):
            await treasury(vault).assign(RAIL, "h9", "ag_bob", actor="olga")
        events = [row[0] for row in any_bench.rows("SELECT event FROM outbox")]
        assert events == ["deposit_unknown"]

    told(any_bench, story)


def test_a_deposit_of_an_agent_is_not_anothers(any_bench):
    """Its request names whose it is; a second rail that claims the same key gets nowhere."""

    async def story(vault):
        await agent(any_bench, vault, "bob")
        await Requests(vault._db).open(wanted("rq_1", whose="bob"))
        mine = await turn(vault)
        deposit = came("h1", 500, key="rq_1")
        await treasury(vault).credit(mine, "other", "sim", deposit, owner="ag_bob", stream=True)
        assert await posted(any_bench, "suspense") == 500
        await treasury(vault).credit(mine, RAIL, "sim", deposit, owner="ag_bob", stream=True)
        assert (await vault.agent("bob")).posted_msat == 500

    told(any_bench, story)


def test_t21_a_token_is_handed_in_once(any_bench):
    """T21: the same coins under two names."""

    async def story(vault):
        requests = Requests(vault._db)
        token = {"kind": RequestKind.TOKEN, "reference": "coins", "sealed": b"sealed", "fee_msat": 2}
        await requests.open(wanted("rq_1", 100, **token))
        assert (await requests.open(wanted("rq_1", 100, **token))).id == "rq_1"
        with pytest.raises(Conflict, match="handed in before, as rq_1, which is asked"):
            await requests.open(wanted("rq_2", 100, **token))
        mine = await turn(vault)
        deposit = came("coins", 98, key="rq_1", fee=2, kind=DepositKind.TOKEN)
        await treasury(vault).credit(mine, RAIL, "sim", deposit, owner="ag_alice", stream=False)
        assert (await vault.agent("alice")).posted_msat == 10_098
        assert await posted(any_bench, "asset:lnd") == 98

    told(any_bench, story)


def test_t30_one_invoice_too_many_is_refused(any_bench):
    """T30: three open ones of an agent."""

    async def story(vault):
        requests = Requests(vault._db)
        for n in range(3):
            await requests.open(wanted(f"rq_{n}"), most_open=3)
        with pytest.raises(Conflict, match="3 invoices are open already"):
            await requests.open(wanted("rq_4"), most_open=3)
        await treasury(vault).end_request("rq_0", RequestState.EXPIRED, "late")
        await requests.open(wanted("rq_4"), most_open=3)

    told(any_bench, story)


def test_each_purpose_has_its_entries(any_bench):
    async def story(vault):
        requests, mine = Requests(vault._db), await turn(vault)
        await requests.open(wanted("rq_1", whose=None, purpose=Purpose.CAPITAL))
        await treasury(vault).credit(mine, RAIL, "sim", came("h1", 500, key="rq_1"), owner=None, stream=True)
        assert await posted(any_bench, "equity:operator") == 500
        single = {"kind": RequestKind.TOKEN, "purpose": Purpose.CALL, "whose": None, "subject": "abc"}
        await requests.open(wanted("rq_2", **single))
        deposit = came("h2", 498, key="rq_2", fee=2)
        await treasury(vault).credit(mine, RAIL, "sim", deposit, owner=None, stream=True)
        assert await requests.single("abc") == (498, 0)
        payer = await vault.agent("one_abc")
        assert (payer.limits.max_charge_msat, payer.available_msat) == (498, 498)
        assert "one_abc" not in [each.id for each in await vault.agents()]
        await vault.post(_events.Capital(rail=RAIL, msat=1_000), realm="sim", key="c")
        await vault.post(TokenSent(rail=RAIL, node="n", msat=100, fee_msat=0), realm="sim", key="t")
        await requests.open(
            wanted("rq_3", 100, whose=None, purpose=Purpose.NODE, kind=RequestKind.RECLAIM, subject="n")
        )
        await treasury(vault).credit(mine, RAIL, "sim", came("h3", 97, key="rq_3", fee=3), owner=None, stream=True)
        assert await posted(any_bench, "asset:transit:n") == 0

    told(any_bench, story)


def test_what_a_rails_records_show_is_posted_once_with_its_place(any_bench):
    async def story(vault):
        mine = await turn(vault)
        await vault.post(_events.Capital(rail=RAIL, msat=1_000), realm="sim", key="c")
        cost = _events.RailCost(rail=RAIL, msat=3)
        for cursor, first in (("4", True), ("5", False)):
            place = Place(RAIL, "costs", cursor)
            assert await treasury(vault).post_from(mine, cost, realm="sim", key="cost:1", place=place) is first
        assert await treasury(vault).place(RAIL, "costs") == "5"
        left = _events.LeftUnasked(rail=RAIL, msat=10, fee_msat=1)
        await treasury(vault).post_from(mine, left, realm="sim", key="out:1", place=Place(RAIL, "payments", "1"))
        assert await posted(any_bench, "asset:suspense:lnd") == 11
        assert await posted(any_bench, "asset:lnd") == 1_000 - 14

    told(any_bench, story)


def test_dust_is_kept_after_a_while(any_bench):
    async def story(vault):
        requests, mine = Requests(vault._db), await turn(vault)
        single = {"kind": RequestKind.TOKEN, "purpose": Purpose.CALL, "whose": None, "subject": "abc"}
        await requests.open(wanted("rq_2", **single))
        await treasury(vault).credit(mine, RAIL, "sim", came("h2", 498, key="rq_2"), owner=None, stream=True)
        assert await treasury(vault).keep_dust(1_000) == 0
        for least, after, found in ((498, "", ["abc"]), (499, "", []), (1, "abb", ["abc"]), (1, "abc", [])):
            left = await treasury(vault).singles_to_end(any_bench.clock.ms, after=after, least_msat=least)
            assert [row[0] for row in left] == found
        later(any_bench, 2_000)
        assert await treasury(vault).keep_dust(1_000) == 1
        assert await requests.single("abc") == (0, 0)

    told(any_bench, story)


def test_change_that_waits_is_no_dust(any_bench):
    """Its rail may be frozen for long: then it is paid after all, out of the account of its call."""

    async def story(vault):
        requests = Requests(vault._db)
        single = {"kind": RequestKind.TOKEN, "purpose": Purpose.CALL, "whose": None, "subject": "abc"}
        await requests.open(wanted("rq_2", **single))
        came_in = came("h2", 5_498, key="rq_2")
        await treasury(vault).credit(await turn(vault), RAIL, "sim", came_in, owner=None, stream=True)
        request = msgspec.structs.replace(any_bench.request(5_010, id="chg_1"), fee_msat=10)
        change = new_payout(request, kind=PaymentKind.CHANGE, agent=None, owner="abc")
        await treasury(vault).open_payment(change)
        later(any_bench, 2_000)
        assert await treasury(vault).keep_dust(1_000) == 0
        sent = await send(vault, "chg_1")
        assert await treasury(vault).keep_dust(1_000) == 0
        await treasury(vault).end(await turn(vault), sent, PaidEnd(fee_msat=10, evidence=EVIDENCE))
        assert await requests.single("abc") == (488, 0)
        assert await treasury(vault).keep_dust(1_000) == 1

    told(any_bench, story)
