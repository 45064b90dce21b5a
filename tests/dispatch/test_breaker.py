"""One breaker: every transition, and what does not count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.dispatch._breaker import Breaker, BreakerRules, BreakerState, Entry, Failure

RULES = BreakerRules()
NEVER = float("-inf")


def failing(now: float, **more: Any) -> Failure:
    return Failure(**{"began": now - 0.1, "now": now, "said": "refused", **more})


def fail(breaker: Breaker, now: float, *, answered_at: float = NEVER, probe: bool = False, **more: Any) -> bool:
    return breaker.failed(failing(now, **more), answered_at=answered_at, probe=probe)


def opened(at: float = 0.0, rules: BreakerRules = RULES) -> Breaker:
    breaker = Breaker(rules)
    assert [fail(breaker, at) for _ in range(rules.failures)] == [False] * (rules.failures - 1) + [True]
    return breaker


def half_open() -> Breaker:
    breaker = opened()
    assert breaker.enter(30) is Entry.PROBE
    return breaker


def test_four_failures_leave_it_closed_and_the_fifth_opens_it() -> None:
    breaker = Breaker(RULES)
    for at in range(4):
        assert not fail(breaker, at)
        assert (breaker.enter(at), breaker.failures) == (Entry.FREE, at + 1)
    assert fail(breaker, 4)
    assert (breaker.state, breaker.until, breaker.enter(33.9)) == (BreakerState.OPEN, 34, Entry.SHUT)
    assert breaker.failures == 5


@pytest.mark.parametrize("between", ["answered", "completed"])
def test_only_failures_in_a_row_count(between: str) -> None:
    breaker = Breaker(RULES)
    for at in range(4):
        fail(breaker, at)
    breaker.answered(4) if between == "answered" else breaker.completed()
    assert breaker.failures == 0
    assert not any(fail(breaker, 5) for _ in range(4))


def test_half_open_lets_one_in_and_its_answer_closes_it() -> None:
    breaker = half_open()
    assert (breaker.state, breaker.enter(30), breaker.enter(31)) == (BreakerState.HALF_OPEN, Entry.BUSY, Entry.BUSY)
    breaker.answered(31)
    assert (breaker.state, breaker.enter(31)) == (BreakerState.CLOSED, Entry.FREE)


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    breaker, now, lengths = opened(), 30.0, []
    for _ in range(6):
        assert breaker.enter(now) is Entry.PROBE
        assert fail(breaker, now, probe=True)
        lengths.append(breaker.until - now)
        assert breaker.enter(breaker.until - 0.01) is Entry.SHUT
        now = breaker.until
    assert lengths == [60, 120, 240, 480, 600, 600]
    assert breaker.enter(now) is Entry.PROBE
    breaker.answered(now)
    breaker.completed()
    assert not any(fail(breaker, now + 1) for _ in range(4))
    assert fail(breaker, now + 1)
    assert breaker.until == now + 31


def test_a_probe_that_is_dropped_leaves_the_place_to_another() -> None:
    breaker = half_open()
    breaker.dropped()
    assert (breaker.enter(30), breaker.enter(30)) == (Entry.PROBE, Entry.BUSY)


def test_once_closed_the_first_failure_opens_it_again_until_a_reply_came_to_its_end() -> None:
    breaker = half_open()
    breaker.answered(31)
    assert fail(breaker, 32, begun=True, began=30.5) is False, "it began before it was closed"
    assert fail(breaker, 32, begun=True, began=31.5)
    breaker.enter(32 + 60)
    breaker.answered(93)
    breaker.completed()
    assert not fail(breaker, 94)


def test_what_is_slow_opens_it_at_once_unless_others_were_answered_meanwhile() -> None:
    hangs = {"began": 0.0, "slow": True}
    assert fail(Breaker(RULES), 60, **hangs)
    assert fail(Breaker(RULES), 60, **hangs, answered_at=0.0)
    lively = Breaker(RULES)
    assert not any(fail(lively, 60, **hangs, answered_at=1.0) for _ in range(19))
    assert lively.failures == 0


def test_replies_that_break_off_count_though_each_had_begun() -> None:
    breaker = Breaker(RULES)
    for at in range(4):
        breaker.answered(at)
        assert not fail(breaker, at + 0.5, begun=True)
    breaker.answered(5)
    assert fail(breaker, 5.5, begun=True)
    breaker = Breaker(RULES)
    for at in range(60):
        breaker.answered(at)
        if at % 3:
            breaker.completed()
        else:
            assert not fail(breaker, at + 0.5, begun=True)


def test_where_every_other_call_fails_it_opens() -> None:
    breaker = Breaker(RULES)
    for at in range(9):
        assert not fail(breaker, at)
        breaker.answered(at)
        breaker.completed()
    assert fail(breaker, 9) is False
    breaker.answered(9)
    assert fail(breaker, 10) is True


def test_a_share_is_one_of_the_last_minute() -> None:
    breaker = Breaker(RULES)
    for at in range(0, 600, 10):
        assert not fail(breaker, at)
        breaker.answered(at + 5)


def test_one_failure_in_ten_never_opens_it() -> None:
    breaker = Breaker(RULES)
    for at in range(1000):
        if at % 10 == 0:
            assert not fail(breaker, at / 100)
        else:
            breaker.answered(at / 100)
            breaker.completed()


def test_who_says_when_to_come_again_is_left_alone_until_then() -> None:
    breaker = Breaker(RULES)
    assert fail(breaker, 0, rest_seconds=7)
    assert (breaker.enter(6.9), breaker.enter(6.9, early=True), breaker.enter(7)) == (
        Entry.SHUT,
        Entry.SHUT,
        Entry.PROBE,
    )
    assert fail(breaker, 7, probe=True, rest_seconds=100_000)
    assert breaker.until == 607, "an hour is nobody's word"
    breaker.answered(8)
    assert breaker.state is BreakerState.OPEN, "what was asked before does not count against its word"


def test_nobody_else_to_ask_cuts_its_time_short_and_puts_it_off_no_further() -> None:
    breaker = opened()
    assert (breaker.enter(10, early=True), breaker.enter(10, early=True)) == (Entry.PROBE, Entry.BUSY)
    assert fail(breaker, 11, probe=True)
    assert (breaker.state, breaker.until) == (BreakerState.OPEN, 30)
    assert breaker.enter(12, early=True) is Entry.PROBE
    breaker.answered(12)
    assert breaker.enter(12) is Entry.FREE


def test_while_it_is_open_failures_change_nothing_and_an_answer_closes_it() -> None:
    breaker = opened()
    assert not fail(breaker, 29, began=-1)
    assert breaker.until == 30
    breaker.answered(29.5)
    assert breaker.state is BreakerState.CLOSED


def test_what_it_charges_opens_it_firmly() -> None:
    breaker = Breaker(RULES)
    assert breaker.open_for(0, 600, "it bills more")
    assert not breaker.open_for(0, 600, "it bills more")
    assert breaker.enter(599, early=True) is Entry.SHUT
    assert breaker.enter(600) is Entry.PROBE


ACTIONS = st.sampled_from(
    ["enter", "early", "answered", "completed", "dropped", "fail", "slow", "rest", "cut", "charge"]
)


@given(st.lists(st.tuples(ACTIONS, st.floats(0, 40), st.booleans()), max_size=80))
def test_whatever_happens_one_probes_at_a_time_and_nobody_is_shut_out_for_ever(
    steps: list[tuple[str, float, bool]],
) -> None:
    """A model of who may ask: at most one probe, open ends within `most_open_seconds`, and a good answer mends all."""
    breaker, now, probing, busy_until = Breaker(RULES), 0.0, False, 0.0
    for action, seconds, answered in steps:
        now += seconds
        if action in ("enter", "early"):
            found = breaker.enter(now, early=action == "early")
            if found is Entry.PROBE:
                assert not probing or now >= busy_until, "two probes at one time"
                busy_until = now + RULES.probe_seconds
                probing = True
        elif action == "answered":
            breaker.answered(now)
            probing = probing and breaker.probing
        elif action == "completed":
            breaker.completed()
        elif action == "dropped" and probing:
            breaker.dropped()
            probing = False
        elif action == "charge":
            breaker.open_for(now, 600, "it bills more")
        elif action in ("fail", "slow", "rest", "cut"):
            more = {"slow": action == "slow", "begun": action == "cut"}
            more |= {"rest_seconds": seconds} if action == "rest" else {}
            fail(breaker, now, answered_at=now if answered else NEVER, probe=probing, **more)
            probing = False
        probing = probing and breaker.probing
        assert breaker.until <= now + RULES.most_open_seconds
        assert breaker.failures <= RULES.failures
        assert breaker.failures < RULES.failures or breaker.state is not BreakerState.CLOSED
    later = now + RULES.most_open_seconds
    if breaker.enter(later) is Entry.BUSY:
        breaker.dropped()
        assert breaker.enter(later) is Entry.PROBE
    breaker.answered(later)
    breaker.completed()
    assert breaker.enter(later + 1) is Entry.FREE
    breaker.look(later + RULES.window_seconds + 1)
    assert breaker.clean
