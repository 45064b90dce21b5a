"""Every limit, at its edge, on both databases."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from limiting import DAY_MS, HOUR_MS, PLENTY, agent, asked, at, granted, later, refused, story_of
from msgspec.structs import replace

from arbstr_core.storage import Operation
from arbstr_core.types import BadRequest
from arbstr_core.vault import Granted, Limits, RefusalReason, check_limits
from arbstr_core.vault._terms import day_of

MINUTE_MS = 60_000
NOON = 20_300 * DAY_MS + 12 * HOUR_MS


def local(zone, *when):
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


class Busy(Operation):
    """Keeps the writer until it is over, so that what is submitted meanwhile is one transaction."""

    def __init__(self):
        self.over = threading.Event()

    def run(self, tx):
        self.over.wait(30)


def test_only_some_models(any_bench):
    async def story(vault):
        assert await refused(any_bench, vault, 1, model="big") == ("model", 0, "ag_alice")
        await granted(any_bench, vault, 1, model="small")

    story_of(any_bench, story, models=("small", "tiny"))


def test_limits_end_at_their_time(any_bench):
    async def story(vault):
        later(any_bench, 999)
        await granted(any_bench, vault, 1)
        later(any_bench, 1)
        assert await refused(any_bench, vault, 1) == ("expired", 0, "ag_alice")

    story_of(any_bench, story, expires_ms=any_bench.clock.ms + 1_000)


def test_so_many_calls_are_open_at_one_time(any_bench):
    async def story(vault):
        answers = await asyncio.gather(*(vault.hold(asked(any_bench, 1)) for _ in range(10)))
        held = [answer.id for answer in answers if isinstance(answer, Granted)]
        assert len(held) == 3
        assert {a.reason for a in answers if not isinstance(a, Granted)} == {RefusalReason.CONCURRENT}
        # In one transaction, too: what ends makes place for what comes after it.
        ended, next_one, one_more = await asyncio.gather(
            vault.release(held[0], b"{}"), vault.hold(asked(any_bench, 1)), vault.hold(asked(any_bench, 1))
        )
        assert ended.first
        assert isinstance(next_one, Granted)
        assert one_more.reason is RefusalReason.CONCURRENT

    story_of(any_bench, story, concurrent=3)


def test_so_many_requests_in_any_minute(any_bench):
    """Whatever became of them; and never more in any sixty seconds, wherever those begin."""

    async def story(vault):
        at(any_bench, NOON + 5_900)
        first = await granted(any_bench, vault, 1)
        await vault.release(first, b"{}")
        later(any_bench, 30_000)
        await granted(any_bench, vault, 1)
        refusal = await vault.hold(asked(any_bench, 1))
        assert (refusal.reason, refusal.left_msat) == (RefusalReason.RATE, 0)
        at(any_bench, NOON + 65_899)
        assert (await refused(any_bench, vault, 1))[0] == "rate"
        assert NOON + 65_900 <= refusal.resets_ms <= NOON + 72_000
        at(any_bench, refusal.resets_ms)
        await granted(any_bench, vault, 1)
        assert (await refused(any_bench, vault, 1))[0] == "rate"

    story_of(any_bench, story, per_minute=2)


def test_so_much_in_any_sixty_minutes(any_bench):
    async def story(vault):
        at(any_bench, NOON + 59_999)
        first = await granted(any_bench, vault, 600)
        await vault.settle(any_bench.settlement(first, 500))
        later(any_bench, 30 * MINUTE_MS)
        await granted(any_bench, vault, 500)
        refusal = await vault.hold(asked(any_bench, 1))
        assert (refusal.reason, refusal.left_msat) == (RefusalReason.HOURLY, 0)
        at(any_bench, NOON + 59_999 + HOUR_MS - 1)
        assert (await refused(any_bench, vault, 1))[0] == "hourly"
        assert refusal.resets_ms == NOON + HOUR_MS + MINUTE_MS
        at(any_bench, refusal.resets_ms)
        assert await refused(any_bench, vault, 501) == ("hourly", 500, "ag_alice")
        await granted(any_bench, vault, 500)

    story_of(any_bench, story, hourly_msat=1_000)


def test_what_is_released_in_the_transaction_of_its_hold_is_free_again(any_bench):
    async def story(vault):
        request = asked(any_bench, 900)
        await asyncio.gather(vault.hold(request), vault.release(request.id, b"{}"))
        await granted(any_bench, vault, 1_000)

    story_of(any_bench, story, hourly_msat=1_000)


def test_a_charge_gives_back_to_the_hour_of_its_hold(any_bench):
    async def story(vault):
        at(any_bench, NOON)
        early = await granted(any_bench, vault, 1_000)
        later(any_bench, 2 * HOUR_MS)
        await granted(any_bench, vault, 1_000)
        await vault.settle(any_bench.settlement(early, 1))
        assert (await refused(any_bench, vault, 1))[:2] == ("hourly", 0)

    story_of(any_bench, story, hourly_msat=1_000)


def test_failed_attempts_have_a_budget_by_the_hour(any_bench):
    async def story(vault):
        at(any_bench, NOON)
        answer = await vault.hold(asked(any_bench, 100))
        assert answer.attempts_left_msat == 50
        await vault.settle(any_bench.settlement(answer.id, 10, ("a", 30, False), ("b", 8, True)))
        answer = await vault.hold(asked(any_bench, 100))
        assert answer.attempts_left_msat == 20
        await vault.settle(any_bench.settlement(answer.id, 10, ("a", 70, False)))
        assert (await vault.hold(asked(any_bench, 100))).attempts_left_msat == 0
        later(any_bench, HOUR_MS)
        assert (await vault.hold(asked(any_bench, 100))).attempts_left_msat == 50

    story_of(any_bench, story, attempts_msat=50)


def test_what_is_not_limited_is_not_counted(any_bench):
    async def story(vault):
        answer = await vault.hold(asked(any_bench, 100))
        assert answer.attempts_left_msat is None

    story_of(any_bench, story)
    assert {kind for (kind,) in any_bench.rows("SELECT kind FROM bucket")} == {"day"}
    assert any_bench.rows("SELECT * FROM hold_window") == []


def test_a_refused_call_counts_nowhere(any_bench):
    async def story(vault):
        assert (await refused(any_bench, vault, 10**7))[0] == "max_charge"

    story_of(any_bench, story, per_minute=5, hourly_msat=10**6, attempts_msat=5, alert_floor_msat=5, zone="Asia/Tokyo")
    assert any_bench.rows("SELECT * FROM bucket") == []


def test_new_limits_count_from_the_next_call_and_old_ones_stay_on_record(any_bench):
    async def story(vault):
        await granted(any_bench, vault, 1_000)
        await vault.set_limits("ag_alice", replace(PLENTY, max_charge_msat=999))
        assert await refused(any_bench, vault, 1_000) == ("max_charge", 999, "ag_alice")
        await vault.set_limits("ag_alice", Limits())
        assert (await refused(any_bench, vault, 0))[0] == "no_limits"

    story_of(any_bench, story)
    versions = any_bench.rows("SELECT version, max_charge_msat FROM limits ORDER BY version")
    assert versions == [(1, 10**6), (2, 999), (3, None)]


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(zone="Mars/Olympus"), "zone"),
        (Limits(zone="../etc/passwd"), "zone"),
        *((Limits(zone=zone), "zone") for zone in ("localtime", "right/Europe/Berlin", "posix/UTC", "posixrules")),
        (Limits(pending_approvals=10_001), "pending_approvals"),
        (Limits(hourly_msat=-1), "hourly_msat"),
        (Limits(per_minute=2**62), "per_minute"),
        (Limits(approval_seconds=10**9), "approval_seconds"),
    ],
)
def test_what_no_limit_can_be(limits, name):
    with pytest.raises(BadRequest) as bad:
        check_limits(limits)
    assert bad.value.param == name


# -- T18 and T1: races -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"daily_msat": 10_000}, RefusalReason.DAILY),
        ({"hourly_msat": 10_000}, RefusalReason.HOURLY),
        ({"concurrent": 2}, RefusalReason.CONCURRENT),
        ({"per_minute": 2}, RefusalReason.RATE),
    ],
)
def test_t18_of_fifty_at_the_edge_one_passes(any_bench, limits, reason):
    """T18: the limit has room for one more; fifty ask at once, from three processes where there may be as many."""

    async def story(vault):
        await granted(any_bench, vault, 9_999)
        answers = await _from_all(any_bench, vault, 50, 1)
        assert sum(isinstance(answer, Granted) for answer in answers) == 1
        assert {answer.reason for answer in answers if not isinstance(answer, Granted)} == {reason}

    story_of(any_bench, story, **limits)


def test_t1_sixty_four_on_a_balance_for_ten(any_bench):
    """T1: exactly ten of them are granted, whoever asks."""

    async def story(vault):
        answers = await _from_all(any_bench, vault, 64, 1_000)
        assert sum(isinstance(answer, Granted) for answer in answers) == 10
        assert (await vault.agent("alice")).available_msat == 0

    story_of(any_bench, story, fund=10_000)


async def _from_all(bench, vault, times, msat):
    if not vault.shared:
        return await asyncio.gather(*(vault.hold(asked(bench, msat)) for _ in range(times)))
    async with bench.vault("boot-2") as second, bench.vault("boot-3") as third:
        each = (vault, second, third)
        return await asyncio.gather(*(each[n % 3].hold(asked(bench, msat)) for n in range(times)))


# -- T19: days ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (None, (2026, 3, 29), 24),
        ("Europe/Berlin", (2026, 3, 29), 23),
        ("Europe/Berlin", (2026, 10, 25), 25),
        ("Europe/Berlin", (2026, 7, 1), 24),
        ("America/New_York", (2026, 3, 8), 23),
        ("America/New_York", (2026, 11, 1), 25),
        # Half an hour; a midnight that is left out; one that comes twice.
        ("Australia/Lord_Howe", (2026, 10, 4), 23.5),
        ("Africa/Cairo", (2026, 4, 24), 23),
        ("America/Havana", (2026, 11, 1), 25),
        ("Asia/Kathmandu", (2026, 5, 5), 24),
    ],
)
def test_t19_a_day_is_as_long_as_it_is_there(zone, day, hours):
    """T19: each instant is in one day, the days follow each other without a gap."""
    noon = local(zone or "UTC", *day, 12)
    start, end = day_of(zone, noon)
    assert end - start == hours * HOUR_MS
    assert day_of(zone, start) == day_of(zone, end - 1) == (start, end)
    assert day_of(zone, end)[0] == end
    assert day_of(zone, start - 1)[1] == start


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25)])
def test_t19_the_daily_limit_begins_anew_at_the_zones_midnight(any_bench, day, hours):
    """T19: on the days when the clocks change, too; and UTC's midnight in between is nothing."""
    start = local("Europe/Berlin", *day)
    end = start + hours * HOUR_MS

    async def story(vault):
        at(any_bench, start)
        await granted(any_bench, vault, 700)
        at(any_bench, end - 1)
        refusal = await vault.hold(asked(any_bench, 301))
        assert (refusal.reason, refusal.left_msat, refusal.resets_ms) == (RefusalReason.DAILY, 300, end)
        over = await granted(any_bench, vault, 300)
        at(any_bench, end)
        await granted(any_bench, vault, 999)
        # What is charged now belongs to the day before, for ever.
        await vault.settle(any_bench.settlement(over, 200))
        assert (await refused(any_bench, vault, 2))[:2] == ("daily", 1)

    story_of(any_bench, story, daily_msat=1_000, zone="Europe/Berlin")
    used = any_bench.rows("SELECT window_start_ms, used FROM bucket ORDER BY 1")
    assert used == [(start, 900), (end, 999)]


def test_t19_a_clock_that_jumps_opens_no_day_twice(any_bench):
    """T19: back and forth over midnight, each day's limit holds."""

    async def story(vault):
        midnight = 20_301 * DAY_MS
        for _ in range(3):
            at(any_bench, midnight - 1)
            before = await vault.hold(asked(any_bench, 600))
            at(any_bench, midnight)
            after = await vault.hold(asked(any_bench, 600))
        assert (before.reason, after.reason) == (RefusalReason.DAILY, RefusalReason.DAILY)

    story_of(any_bench, story, daily_msat=1_000)
    assert [used for (used,) in any_bench.rows("SELECT used FROM bucket ORDER BY window_start_ms")] == [600, 600]


def test_t19_a_clock_set_back_does_not_empty_the_hour(any_bench):
    """T19: what was spent in a minute that is yet to come counts."""

    async def story(vault):
        at(any_bench, NOON)
        await granted(any_bench, vault, 1_000)
        later(any_bench, -10 * HOUR_MS)
        assert (await refused(any_bench, vault, 1))[0] == "hourly"

    story_of(any_bench, story, hourly_msat=1_000)


@pytest.mark.parametrize("any_bench", ["postgresql"], indirect=True)
def test_t19_only_the_databases_clock_counts(any_bench):
    """T19: a process whose clock is years off opens no other window."""

    async def story(vault):
        at(any_bench, NOON)
        await granted(any_bench, vault, 600)
        any_bench.clock.ms += 1_000 * DAY_MS
        async with any_bench.vault("boot-2") as other:
            assert (await refused(any_bench, other, 600))[0] == "daily"

    story_of(any_bench, story, daily_msat=1_000)


def test_the_zone_of_a_child_is_its_own(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "bob", parent="alice", daily_msat=500, zone="Asia/Tokyo")
        at(any_bench, 20_300 * DAY_MS + 14 * HOUR_MS)
        await granted(any_bench, vault, 500, agent="bob")
        later(any_bench, HOUR_MS)
        await granted(any_bench, vault, 500, agent="bob")
        assert await refused(any_bench, vault, 1, agent="bob") == ("daily", 0, "ag_bob")
        assert await refused(any_bench, vault, 1) == ("daily", 0, "ag_alice")

    story_of(any_bench, story, daily_msat=1_000)


def test_two_that_change_limits_at_once_both_count(any_bench):
    """What each makes of the limits in force is made in its own transaction."""

    async def story(vault):
        changes = [{"max_charge_msat": 111}, {"daily_msat": 222}, {"concurrent": 3}, {"zone": "Asia/Tokyo"}]
        await asyncio.gather(
            *(vault.set_limits("ag_alice", lambda base, one=one: replace(base, **one)) for one in changes)
        )
        found = (await vault.agent("alice")).limits
        assert (found.max_charge_msat, found.daily_msat, found.concurrent, found.zone) == (111, 222, 3, "Asia/Tokyo")
        assert found.version == 5
        with pytest.raises(BadRequest, match="zone"):
            await vault.set_limits("ag_alice", lambda base: replace(base, zone="nowhere"))
        assert (await vault.agent("alice")).limits == found

    story_of(any_bench, story)


def test_a_day_is_within_the_limit_that_was_lowered_beside_its_holds(any_bench):
    """In one transaction: what it replaced before it was written down was in force for what came before."""

    def lower(daily):
        return lambda base: replace(base, daily_msat=daily)

    async def story(vault):
        busy = Busy()
        first = vault._db.submit(busy)
        await asyncio.sleep(0.05)
        lowered = [asyncio.ensure_future(vault.hold(asked(any_bench, 600)))]
        lowered += [asyncio.ensure_future(vault.set_limits("ag_alice", lower(daily))) for daily in (500, 400)]
        await asyncio.sleep(0.05)
        busy.over.set()
        await first
        held, _, _ = await asyncio.gather(*lowered)
        assert isinstance(held, Granted)
        assert (await vault.verify()).first_bad is None

    story_of(any_bench, story, daily_msat=900)


def test_minutes_that_are_long_over_are_forgotten(any_bench):
    """And nothing else: days stay, and so do the last two days of what is shorter. The ledger verifies without them."""

    def there():
        return {tuple(row) for row in any_bench.rows("SELECT kind, count(*) FROM bucket GROUP BY kind")}

    async def story(vault):
        old = await granted(any_bench, vault, 100)
        await vault.settle(any_bench.settlement(old, 50))
        assert await vault.drop_old_windows(any_bench.clock.ms) == 0
        later(any_bench, 2 * DAY_MS - 120_000)
        await granted(any_bench, vault, 100)
        assert await vault.drop_old_windows(any_bench.clock.ms) == 0
        later(any_bench, 240_000)
        await granted(any_bench, vault, 100)
        before = there()
        assert {("minute", 3), ("requests", 3), ("attempts", 2)} <= before
        with pytest.raises(any_bench.refusals):
            any_bench.tamper("DELETE FROM bucket WHERE kind = 'minute' AND window_start_ms > 1750000100000")
        with pytest.raises(any_bench.refusals):
            any_bench.tamper("DELETE FROM bucket WHERE kind = 'day'")
        assert await vault.drop_old_windows(any_bench.clock.ms) == 2
        assert there() - before == {("minute", 2), ("requests", 2)}
        assert (await vault.verify()).first_bad is None
        # What is known only now of a forgotten minute makes a charge no larger.
        assert (await vault.correct(old, 90, reason="more", key="more")).charged_msat == 50
        assert (await vault.correct(old, 20, reason="less", key="less")).charged_msat == 20
        assert (await vault.verify()).first_bad is None

    story_of(any_bench, story, hourly_msat=10_000, per_minute=100, attempts_msat=10_000)


def test_minutes_that_are_not_over_are_missed(any_bench):
    async def story(vault):
        await granted(any_bench, vault, 100)
        later(any_bench, 3_600_000)
        await granted(any_bench, vault, 100)
        of_first = "kind = 'minute' AND window_start_ms < 1750002000000"
        ((start, used),) = any_bench.rows(f"SELECT window_start_ms, used FROM bucket WHERE {of_first}")
        any_bench.tamper_unguarded(f"DELETE FROM bucket WHERE {of_first}")
        assert "its calls are not counted" in (await vault.verify()).first_bad
        any_bench.tamper(f"INSERT INTO bucket VALUES ('ag_alice', 'minute', {start}, {used})")

    story_of(any_bench, story, hourly_msat=10_000)
