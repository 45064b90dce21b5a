"""All breakers, by offer. One exists only while there is something to remember: an offer that answers has none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from arbstr_core.api import Clock
from arbstr_core.dispatch._breaker import Breaker, BreakerRules, BreakerState, Entry, Failure
from arbstr_core.types import Offer, Shut

_log = logging.getLogger("arbstr.dispatch")

Key = tuple[str, str, str]

_A_DAY = 86_400.0
"""What was billed too much longer ago than this may have been chance."""


class Probe:
    """The right to ask an offer whose breaker is half-open. It is used up once, whatever comes of it."""

    __slots__ = ("_breakers", "_key", "_used")

    def __init__(self, breakers: Breakers, key: Key) -> None:
        self._breakers = breakers
        self._key = key
        self._used = False

    def use_up(self) -> bool:
        """True for the first who asks: what comes of the attempt is what came of the probe."""
        used, self._used = self._used, True
        return not used

    def drop(self) -> None:
        """Give it back without a verdict; where there was one, that stands."""
        if self.use_up():
            self._breakers.dropped(self._key)


class Breakers:
    """Asked before an attempt, and told how each ended. `shut` are the offers that are not to be asked now."""

    def __init__(self, rules: BreakerRules, clock: Clock) -> None:
        self.rules = rules
        self.shut: dict[Key, Shut] = {}
        self._clock = clock
        self._soonest = float("inf")
        self._breakers: dict[Key, Breaker] = {}
        self._waiting: dict[Key, set[asyncio.Future[None]]] = {}
        self._suspects: dict[Key, tuple[str, float]] = {}

    def enter(self, offer: Offer, *, early: bool = False) -> Entry | Probe:
        """Whether to ask `offer` now; see `Breaker.enter`."""
        breaker = self._breakers.get(offer.key)
        if breaker is None:
            return Entry.FREE
        found = breaker.enter(self._clock.monotonic(), early=early)
        if breaker.state is not BreakerState.OPEN:
            self.shut.pop(offer.key, None)
        return Probe(self, offer.key) if found is Entry.PROBE else found

    def closed(self, key: Key) -> bool:
        """True where the offer may be asked by everybody."""
        breaker = self._breakers.get(key)
        return breaker is None or breaker.state is BreakerState.CLOSED

    def hangs(self, key: Key) -> bool:
        """True where the breaker opened because the offer kept a caller waiting."""
        breaker = self._breakers.get(key)
        return breaker is not None and breaker.hangs

    async def news(self, offers: Iterable[Offer], seconds: float) -> bool:
        """Wait until whoever probes one of `offers` knows more, or has been alone for long enough. False where that is
        not so within `seconds`, or where too many wait already."""
        keys = [offer.key for offer in offers]
        now = self._clock.monotonic()
        alone = min((self._of(key).busy_until - now for key in keys), default=0.0)
        if not keys or seconds <= 0 or any(len(self._waiting.get(key, ())) >= self.rules.waiting for key in keys):
            return False
        told = asyncio.get_running_loop().create_future()
        for key in keys:
            self._waiting.setdefault(key, set()).add(told)
        try:
            async with asyncio.timeout(min(seconds, max(alone, 0.0))):
                await told
            return True
        except TimeoutError:
            return alone < seconds
        finally:
            for key in keys:
                self._waits_no_more(key, told)

    def _waits_no_more(self, key: Key, told: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.discard(told)
            if not waiting:
                del self._waiting[key]

    def look(self) -> None:
        """Let time pass: what may be probed is not shut any more."""
        now = self._clock.monotonic()
        if now < self._soonest:
            return
        for key in list(self.shut):
            breaker = self._breakers[key]
            breaker.look(now)
            if breaker.state is not BreakerState.OPEN:
                del self.shut[key]
        self._soonest = min((self._breakers[key].until for key in self.shut), default=float("inf"))

    def answered(self, key: Key, *, whole: bool) -> None:
        """A first byte came, or all of an answer."""
        breaker = self._breakers.get(key)
        if breaker is not None:
            before = breaker.state
            breaker.answered(self._clock.monotonic())
            if before is not breaker.state:
                self.shut.pop(key, None)
                self._tell(key)
                _log.warning("%s answers again", _named(key))
            if whole:
                self.completed(key)

    def completed(self, key: Key) -> None:
        """A reply came to its end."""
        breaker = self._breakers.get(key)
        if breaker is not None:
            breaker.completed()
            if breaker.clean:
                del self._breakers[key]

    def dropped(self, key: Key) -> None:
        """A probe ended without a verdict."""
        self._of(key).dropped()
        self._tell(key)

    def failed(self, key: Key, failure: Failure, *, answered_at: float, probe: bool) -> bool:
        """An attempt failed, through the provider's fault. True where that opened the breaker."""
        breaker = self._of(key)
        opened = breaker.failed(failure, answered_at=answered_at, probe=probe)
        if opened:
            self._opened(key, breaker, failure.said)
        elif probe:
            self._tell(key)
        return opened

    def overcharged(self, key: Key, agent: str, *, plain: bool) -> None:
        """It bills more for a call of `agent` than its own limits allow. The call is to blame, until a plain one, or
        another agent's, fares no better within a day."""
        now = self._clock.monotonic()
        known, at = self._suspects.get(key, ("", float("-inf")))
        self._suspects[key] = (agent, now)
        if now - at < _A_DAY and (plain or known != agent):
            breaker = self._of(key)
            said = "it bills more than its own limits allow"
            if breaker.open_for(now, self.rules.most_open_seconds, said):
                self._opened(key, breaker, said)

    def close(self, key: Key) -> None:
        """Forget what is known of an offer: the operator has mended it."""
        self._breakers.pop(key, None)
        self._suspects.pop(key, None)
        self.shut.pop(key, None)
        self._tell(key)

    def seen(self) -> dict[Key, Breaker]:
        """Those that remember something, as they are now."""
        now = self._clock.monotonic()
        for breaker in self._breakers.values():
            breaker.look(now)
        return self._breakers

    def until_ms(self, breaker: Breaker) -> int:
        """When an open one may be tried again, in Unix milliseconds."""
        return self._clock.now_ms() + round((breaker.until - self._clock.monotonic()) * 1000)

    def _of(self, key: Key) -> Breaker:
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(self.rules)
        return breaker

    def _opened(self, key: Key, breaker: Breaker, said: str) -> None:
        until_ms = self.until_ms(breaker)
        until = datetime.fromtimestamp(until_ms / 1000, UTC)
        self.shut[key] = Shut(reason=f"its circuit is open until {until:%H:%M:%S} UTC: {said}", until_ms=until_ms)
        self._soonest = min(self._soonest, breaker.until)
        self._tell(key)
        _log.warning("%s is not asked until %s: %s", _named(key), f"{until:%H:%M:%S}", breaker.last)

    def _tell(self, key: Key) -> None:
        """Wake everybody who waits for news of an offer; each looks for itself what that means."""
        for told in self._waiting.pop(key, ()):
            if not told.done():
                told.set_result(None)


def _named(key: Key) -> str:
    provider, node, model = key
    return f"{model} at {provider}" + (f" ({node})" if node else "")
