"""One breaker: whether an offer may be asked, from how asking it went. Pure: the time is given, in seconds.

Closed, it counts failures. Open, nobody asks until its time is over. Then it is half-open: one caller asks, and what
comes of that closes it, or opens it again for twice as long.
"""

from __future__ import annotations

import enum

import msgspec


class BreakerState(enum.StrEnum):
    """What a breaker lets through: all, nobody, one."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens, and for how long; docs/configuration.md, `[dispatch.breaker]`. Times are in seconds."""

    failures: int = 5
    share: float = 0.5
    calls: int = 20
    window_seconds: float = 60
    slow_seconds: float = 20
    open_seconds: float = 30
    most_open_seconds: float = 600
    probe_seconds: float = 3
    wait_seconds: float = 5
    waiting: int = 10_000


class Entry(enum.Enum):
    """What who wants to ask is told."""

    FREE = "free"
    """ask"""
    PROBE = "probe"
    """ask, alone: it has to be ended by `answered`, `failed` or `dropped`"""
    BUSY = "busy"
    """somebody probes: wait for what comes of that"""
    SHUT = "shut"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that failed through the provider's fault, from `began` to `now`: `said` for callers, in a few words,
    `detail` for the operator.

    `begun`: there had been a first byte. `slow`: it kept its caller waiting, as one that hangs does. `rest_seconds`:
    how long the provider asks not to be asked.
    """

    began: float
    now: float
    said: str
    detail: str = ""
    begun: bool = False
    slow: bool = False
    rest_seconds: float | None = None


class Breaker:
    """The breaker of one offer."""

    __slots__ = (
        *("_broken_off", "_closed_at", "_failed", "_in_a_row", "_opened_for", "_rules", "_served", "_trial", "_window"),
        *("busy_until", "firm", "hangs", "last", "probing", "state", "until"),
    )

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self.state = BreakerState.CLOSED
        self.until = 0.0
        """when an open one may be tried again"""
        self.firm = False
        """True where it is open by the provider's own word, or for what it charges: nobody may try earlier"""
        self.hangs = False
        """True where it opened because it kept a caller waiting"""
        self.probing = False
        self.busy_until = 0.0
        """until when one who probes is alone"""
        self.last = ""
        """why it failed last, for the operator"""
        self._in_a_row = 0
        self._broken_off = 0
        self._trial = False
        self._closed_at = float("-inf")
        self._opened_for = 0.0
        self._window = float("-inf")
        self._served = 0
        self._failed = 0

    @property
    def failures(self) -> int:
        """How many failures in a row it has counted."""
        return max(self._in_a_row, self._broken_off)

    @property
    def clean(self) -> bool:
        """True where it knows nothing that a new one would not."""
        return self.state is BreakerState.CLOSED and not (self.failures or self._failed or self._trial)

    def enter(self, now: float, *, early: bool = False) -> Entry:
        """Whether to ask now. `early`: there is nobody else to ask, so that the time of an open one is cut short."""
        self.look(now)
        if self.state is BreakerState.CLOSED:
            return Entry.FREE
        if self.state is BreakerState.OPEN:
            if self.firm or not early:
                return Entry.SHUT
            self.state = BreakerState.HALF_OPEN
        if self.probing and now < self.busy_until:
            return Entry.BUSY
        # Who probes and gets no answer keeps the others waiting no longer; and that is telling.
        self.hangs = self.hangs or self.probing
        self.probing, self.busy_until = True, now + self._rules.probe_seconds
        return Entry.PROBE

    def look(self, now: float) -> None:
        """Let time pass: an open one becomes half-open, old counts are forgotten."""
        if self.state is BreakerState.OPEN and now >= self.until:
            self.state, self.probing, self.firm = BreakerState.HALF_OPEN, False, False
        if now - self._window > self._rules.window_seconds:
            self._window, self._served, self._failed = now, 0, 0

    def answered(self, now: float) -> None:
        """A first byte came. That closes what is not closed: also what was asked before it opened does answer."""
        self.look(now)
        if self.state is not BreakerState.CLOSED and not self.firm:
            self.state, self.probing, self._trial = BreakerState.CLOSED, False, True
            self._closed_at, self._window, self._served, self._failed = now, now, 0, 0
            self._broken_off = 0
        self._served += 1
        self._in_a_row = 0

    def completed(self) -> None:
        """A reply came to its end."""
        self._in_a_row = 0
        self._broken_off = 0
        if self.state is BreakerState.CLOSED:
            self._trial, self._opened_for = False, 0.0

    def dropped(self) -> None:
        """Whoever probed has left before there was an answer: another may."""
        self.probing = False

    def failed(self, failure: Failure, *, answered_at: float, probe: bool) -> bool:
        """Count a failure; True where it opens. `answered_at` is when the offer last answered anybody.

        Nothing is learned from what began before it was closed, and of one that is open only when to come again.
        """
        now = failure.now
        self.look(now)
        if probe:
            self.probing = False
        self.last = failure.detail or failure.said
        if failure.rest_seconds is not None:
            return self._open(now, failure.rest_seconds, firm=True)
        if self.state is BreakerState.HALF_OPEN:
            self.hangs = self.hangs or failure.slow
            return probe and self._open_again(now)
        if self.state is BreakerState.OPEN or failure.began < self._closed_at:
            return False
        hangs = failure.slow and answered_at <= failure.began
        self._count(failure, evidence=hangs or not failure.slow)
        if hangs or self._trial or self.failures >= self._rules.failures or self._too_many():
            self.hangs = hangs
            return self._open(now, self._next_seconds())
        return False

    def open_for(self, now: float, seconds: float, why: str) -> bool:
        """Open it for what is no failed attempt, and firmly; True where that was news."""
        if self.state is BreakerState.OPEN and self.firm:
            return False
        self.last = why
        return self._open(now, seconds, firm=True)

    def _open_again(self, now: float) -> bool:
        if self.until <= now:
            return self._open(now, self._next_seconds())
        # A probe before its time does not put that off.
        self.state = BreakerState.OPEN
        return True

    def _count(self, failure: Failure, *, evidence: bool) -> None:
        """Who answers others while one waits does not hang: that one says little of it."""
        if failure.now - failure.began < self._rules.window_seconds:
            self._failed += 1
            self._served -= failure.begun and self._served > 0
        if evidence:
            self._broken_off += failure.begun
            self._in_a_row += not failure.begun

    def _too_many(self) -> bool:
        asked = self._served + self._failed
        return asked >= self._rules.calls and self._failed >= asked * self._rules.share

    def _next_seconds(self) -> float:
        return min(max(self._opened_for * 2, self._rules.open_seconds), self._rules.most_open_seconds)

    def _open(self, now: float, seconds: float, *, firm: bool = False) -> bool:
        until = now + min(seconds, self._rules.most_open_seconds)
        if self.state is BreakerState.OPEN and self.until >= until:
            return False
        self.state, self.probing, self._trial = BreakerState.OPEN, False, False
        self.firm, self.until = firm, until
        if not firm:
            self._opened_for = until - now
        self._window, self._served, self._failed = now, 0, 0
        return True
