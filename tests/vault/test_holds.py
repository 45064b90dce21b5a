"""What is granted, what is refused and in which order, and how holds end."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from arbstr_core.storage import Dialect, Statement
from arbstr_core.types import NotFound
from arbstr_core.vault import Granted, HoldState, RefusalReason, Refused, _rows

DAY_MS = 86_400_000


def run(bench, story, **more):
    async def wrapped():
        async with bench.vault() as vault:
            await bench.agent(vault, **more)
            await story(vault)
            assert (await vault.verify()).first_bad is None

    asyncio.run(wrapped())


@pytest.mark.parametrize(
    ("ceilings", "amount", "candidates"),
    [
        ((100,), 100, 1),
        ((100, 300, 200), 300, 3),
        ((300, 100, 200), 300, 3),
        ((100, 5_000, 5_001, 200), 5_000, 2),
        ((5_000, 5_001), 5_000, 1),
        ((0, 6_000), 0, 1),
    ],
)
def test_the_longest_prefix_that_fits_is_granted(bench, ceilings, amount, candidates):
    async def story(vault):
        request = bench.request(*ceilings)
        assert await vault.hold(request) == Granted(id=request.id, amount_msat=amount, candidates=candidates)
        agent = await vault.agent("alice")
        assert (agent.posted_msat, agent.held_msat, agent.available_msat) == (10_000, amount, 10_000 - amount)

    run(bench, story)


@pytest.mark.parametrize(
    ("more", "reason", "left"),
    [
        ({"max_charge": None}, RefusalReason.NO_LIMITS, 0),
        ({"daily": None}, RefusalReason.NO_LIMITS, 0),
        ({"max_charge": 999}, RefusalReason.MAX_CHARGE, 999),
        ({"max_charge": 999, "daily": 0, "fund": 0}, RefusalReason.MAX_CHARGE, 999),
        ({"daily": 999, "fund": 0}, RefusalReason.DAILY, 999),
        ({"fund": 999}, RefusalReason.INSUFFICIENT, 999),
    ],
)
def test_refusals_in_their_order(bench, more, reason, left):
    async def story(vault):
        refused = await vault.hold(bench.request(1_000))
        assert (refused.reason, refused.needed_msat, refused.left_msat) == (reason, 1_000, left)
        assert (refused.agent, refused.open_msat) == ("ag_alice", 0)
        assert (await vault.agent("alice")).held_msat == 0

    run(bench, story, **more)


def test_unknown_and_disabled_agents_are_refused(bench):
    async def story(vault):
        unknown = await vault.hold(bench.request(1, agent="ag_nobody"))
        assert unknown == Refused(reason=RefusalReason.UNKNOWN_AGENT, needed_msat=1, left_msat=0, agent="ag_nobody")
        await vault.set_enabled("ag_alice", False)
        assert (await vault.hold(bench.request(1))).reason is RefusalReason.DISABLED
        await vault.set_enabled("ag_alice", True)
        assert isinstance(await vault.hold(bench.request(1)), Granted)

    run(bench, story)


def test_the_same_id_again_gives_the_same_grant_or_a_conflict(bench):
    async def story(vault):
        request = bench.request(100, 200)
        first = await vault.hold(request)
        assert await vault.hold(request) == first
        assert (await vault.agent("alice")).held_msat == 200
        other = await vault.hold(bench.request(100, 201, id=request.id))
        assert other.reason is RefusalReason.CONFLICT
        # What has ended is not granted again: nothing would stand behind the call.
        await vault.release(request.id, b"{}")
        assert (await vault.hold(request)).reason is RefusalReason.CONFLICT

    run(bench, story)


def test_a_settle_charges_once_and_gives_the_rest_back(bench):
    async def story(vault):
        request = bench.request(1_000)
        await vault.hold(request)
        closed = await vault.settle(bench.settlement(request.id, 700, ("groq", 600, True)))
        assert (closed.state, closed.charged_msat, closed.first) == (HoldState.SETTLED, 700, True)
        again = await vault.settle(bench.settlement(request.id, 1, ("groq", 1, True)))
        assert (again.state, again.charged_msat, again.first) == (HoldState.SETTLED, 700, False)
        late = await vault.release(request.id, b"{}")
        assert (late.state, late.charged_msat, late.first) == (HoldState.SETTLED, 700, False)
        agent = await vault.agent("ag_alice")
        assert (agent.posted_msat, agent.held_msat) == (9_300, 0)

    run(bench, story)


def test_a_release_gives_everything_back_once(bench):
    async def story(vault):
        request = bench.request(1_000)
        await vault.hold(request)
        both = await asyncio.gather(*(vault.release(request.id, b"{}") for _ in range(5)))
        assert [closed.first for closed in both] == [True, False, False, False, False]
        assert (await vault.settle(bench.settlement(request.id, 5))).state is HoldState.RELEASED
        assert (await vault.agent("ag_alice")).available_msat == 10_000

    run(bench, story)


def test_what_has_no_hold_cannot_end(bench):
    async def story(vault):
        with pytest.raises(NotFound, match="req_none"):
            await vault.release("req_none", b"{}")

    run(bench, story)


def test_t17_no_settle_mints_money(bench):
    """T17: a charge above the hold, or below nothing, is refused and the hold stays."""

    async def story(vault):
        request = bench.request(1_000)
        await vault.hold(request)
        with pytest.raises(AssertionError, match="1001"):
            await vault.settle(bench.settlement(request.id, 1_001))
        with pytest.raises(ValueError, match="negative"):
            vault.settle(bench.settlement(request.id, -1))
        with pytest.raises(ValueError, match="negative"):
            vault.settle(bench.settlement(request.id, 1, ("groq", -1, True)))
        with pytest.raises(ValueError, match="ceilings"):
            vault.hold(bench.request(-1))
        assert (await vault.agent("alice")).held_msat == 1_000

    run(bench, story)


def test_text_that_the_database_would_cut_is_refused(bench):
    async def story(vault):
        request = bench.request(1_000)
        await vault.hold(request)
        with pytest.raises(ValueError, match="NUL"):
            vault.release(request.id, b"{}\0")
        with pytest.raises(ValueError, match="NUL"):
            vault.hold(bench.request(1, candidates=b"\0"))

    run(bench, story)


def test_the_entries_of_a_settle_are_those_of_the_book(bench):
    async def story(vault):
        for charge, costs in [
            (700, (("groq", 900, True), ("mesh", 50, False))),
            (0, (("mesh", 10, False),)),
            (0, ()),
        ]:
            request = bench.request(1_000)
            await vault.hold(request)
            await vault.settle(bench.settlement(request.id, charge, *costs))

    run(bench, story)
    query = """SELECT e.transfer_seq, e.side, a.name, e.amount_msat FROM entry e JOIN account a ON a.id = e.account_id
    JOIN transfer x ON x.seq = e.transfer_seq WHERE x.kind = 'settle' ORDER BY e.transfer_seq, e.n"""
    first = bench.rows("SELECT min(seq) FROM transfer WHERE kind = 'settle'")[0][0]
    assert [(seq - first, *rest) for seq, *rest in bench.rows(query)] == [
        (0, "debit", "agent:ag_alice", 700),
        (0, "credit", "income:sales", 700),
        (0, "debit", "cost:provider", 700),
        (0, "debit", "cost:overage", 200),
        (0, "credit", "payable:groq", 900),
        (0, "debit", "cost:attempt", 50),
        (0, "credit", "payable:mesh", 50),
        (1, "debit", "cost:attempt", 10),
        (1, "credit", "payable:mesh", 10),
    ]


def test_t1_64_at_once_on_a_balance_for_10(bench):
    """T1: concurrent holds never pass one balance twice."""

    async def story(vault):
        answers = await asyncio.gather(*(vault.hold(bench.request(1_000)) for _ in range(64)))
        assert sum(isinstance(answer, Granted) for answer in answers) == 10
        reasons = {answer.reason for answer in answers if isinstance(answer, Refused)}
        assert reasons == {RefusalReason.INSUFFICIENT}
        assert (await vault.agent("alice")).available_msat == 0

    run(bench, story, daily=100_000)


def test_t18_holds_count_against_the_daily_limit(bench):
    """T18: 50 at once with room for one; what is given back may be used again, what is charged may not."""

    async def story(vault):
        first = bench.request(5_000)
        await vault.hold(first)
        answers = await asyncio.gather(*(vault.hold(bench.request(3_000)) for _ in range(50)))
        granted = [answer for answer in answers if isinstance(answer, Granted)]
        assert len(granted) == 1
        assert {a.reason for a in answers if isinstance(a, Refused)} == {RefusalReason.DAILY}
        await vault.settle(bench.settlement(first.id, 4_000))
        assert (await vault.hold(bench.request(1_001))).left_msat == 1_000
        await vault.release(granted[0].id, b"{}")
        assert isinstance(await vault.hold(bench.request(4_000)), Granted)
        assert (await vault.hold(bench.request(1))).reason is RefusalReason.DAILY

    run(bench, story, fund=1_000_000)


def test_t19_a_charge_belongs_to_the_day_of_its_hold(bench):
    """T19: a call over midnight uses the day on which it began."""

    async def story(vault):
        bench.clock.ms = 20_300 * DAY_MS + DAY_MS - 1
        over = bench.request(5_000)
        await vault.hold(over)
        bench.clock.ms += 1
        assert isinstance(await vault.hold(bench.request(5_000)), Granted)
        await vault.settle(bench.settlement(over.id, 4_500))
        assert (await vault.hold(bench.request(3_001))).left_msat == 3_000

    run(bench, story, fund=1_000_000)
    used = bench.rows("SELECT window_start_ms, used FROM bucket ORDER BY 1")
    assert used == [(20_300 * DAY_MS, 4_500), (20_301 * DAY_MS, 5_000)]


def test_everything_of_a_call_in_one_batch(bench):
    async def story(vault):
        request = bench.request(1_000)
        answers = await asyncio.gather(
            vault.hold(request),
            vault.hold(request),
            vault.settle(bench.settlement(request.id, 100)),
            vault.release(request.id, b"{}"),
            vault.hold(bench.request(5_000)),
        )
        assert [type(answer).__name__ for answer in answers] == ["Granted", "Granted", "Closed", "Closed", "Granted"]
        assert [answers[2].first, answers[3].first] == [True, False]
        assert (await vault.agent("alice")).available_msat == 4_900

    run(bench, story)


def test_orphans_of_other_processes_are_released(bench):
    async def story():
        async with bench.vault("boot-1") as vault:
            await bench.agent(vault, fund=10_000_000, daily=10_000_000)
            await asyncio.gather(*(vault.hold(bench.request(1_000)) for _ in range(600)))
        async with bench.vault("boot-2") as vault:
            mine = bench.request(70)
            await vault.hold(mine)
            assert await vault.sweep_orphans() == 600
            assert await vault.sweep_orphans() == 0
            verification = await vault.verify()
            assert verification.ok
            assert verification.open_holds == 1
            assert (await vault.agent("alice")).held_msat == 70
            swept = bench.rows("SELECT body FROM receipt LIMIT 1")[0][0]
            assert "charged what was seen of it" in swept

    asyncio.run(story())


def test_a_receipt_tells_a_calls_state(bench):
    async def story(vault):
        request = bench.request(1_000)
        await vault.hold(request)
        held = await vault.receipt(request.id)
        assert (held.agent, held.agent_name, held.model, held.state) == ("ag_alice", "alice", "m", HoldState.HELD)
        assert (held.held_msat, held.charged_msat, held.body) == (1_000, 0, None)
        await vault.settle(bench.settlement(request.id, 10))
        ended = await vault.receipt(request.id)
        assert (ended.state, ended.charged_msat) == (HoldState.SETTLED, 10)
        assert ended.body == b'{"reasons":["cheapest"]}'
        assert await vault.receipt("req_none") is None

    run(bench, story)


def test_the_money_path_reads_by_key_only(bench):
    """No statement of a batch scans a table that grows with history, so a call costs the same next year."""

    async def make():
        async with bench.vault():
            pass

    asyncio.run(make())
    own = ("LOCK", "LOCK_NAMED", "LOCK_OPENING", "HOLD_NUMBERS", "TRANSFER_NUMBERS", "ACCOUNT_NUMBERS")  # PostgreSQL's
    named = {name: value for name, value in vars(_rows).items() if isinstance(value, Statement)}
    statements = [value for name, value in named.items() if name not in own]
    assert len(statements) > 10
    connection = sqlite3.connect(bench.path)
    names = {
        "ids": "[]",
        "rows": "[]",
        "window": 0,
        "name": "",
        "realm": "",
        "key": "",
        "id": 0,
        "boot_id": "",
        "most": 1,
        "agent": "",
        "kind": "",
        "since": 0,
        "seq": 0,
        "account": 0,
        "approval": "",
        "under": "",
        "after": "",
    }
    for statement in statements:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sql(Dialect.SQLITE)}", names)]
        scans = [step for step in plan if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
        assert [step for step in scans if "open_hold" not in step and "CONSTANT ROW" not in step] == [], statement.sql(
            Dialect.SQLITE
        )
    connection.close()
