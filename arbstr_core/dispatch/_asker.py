"""Asks one offer once, and remembers how that went: its record, its breaker, its place at the node."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from arbstr_core.api import Clock, Provider
from arbstr_core.dispatch._attempt import FailedAttempt, first_byte
from arbstr_core.dispatch._breaker import BreakerRules, Entry, Failure
from arbstr_core.dispatch._breakers import Breakers, Probe
from arbstr_core.dispatch._open_reply import OpenReply
from arbstr_core.dispatch._patience import Patiences
from arbstr_core.dispatch._slots import Slot, Slots
from arbstr_core.dispatch._standing import Standings
from arbstr_core.types import ChatCall, Offer, Outcome, Quote

SAID = {
    Outcome.CONNECT_FAILED: "could not be reached",
    Outcome.TIMED_OUT: "did not answer in time",
    Outcome.REFUSED: "refused or failed",
    Outcome.RATE_LIMITED: "takes no more calls for now",
    Outcome.BAD_KEY: "does not accept our key, or has no credit left for it",
    Outcome.BAD_REPLY: "did not answer as it should",
    Outcome.CUT: "broke off",
}
"""How attempts end that are the provider's fault, in words for callers: where it lives, and what it said, is for the
receipt and the log."""


_LEAST_PATIENCE = 5.0
"""seconds that a call may wait for an offer that hangs for others, where it could go elsewhere"""
_SLOW_CONNECTION = 1.0
"""A connection that is refused is so at once: one that fails after this was waited for in vain."""


class DispatchRules(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for what; docs/configuration.md, `[dispatch]`. Times are in seconds."""

    first_byte_seconds: float = 60
    idle_seconds: float = 60
    deadline_seconds: float = 180
    hedge_seconds: float = 0
    queue: int = 100
    queue_seconds: float = 1
    breaker: BreakerRules = BreakerRules()


class Hindrance(enum.Enum):
    """Why an offer cannot be asked now; the value completes "it was not asked: ..."."""

    SHUT = "its circuit is open"
    BUSY = "its circuit is open, and another call tries it"
    FULL = "it serves as many calls as it takes"


class Leave:
    """The leave to ask one offer once: the probe and the place that go with it, if any. Given back whatever comes."""

    __slots__ = ("probe", "slot")

    def __init__(self, probe: Probe | None = None, slot: Slot | None = None) -> None:
        self.probe = probe
        self.slot = slot

    def give_back(self) -> None:
        """Again does nothing."""
        if self.probe is not None:
            self.probe.drop()
        if self.slot is not None:
            self.slot.give_back()

    def keep_slot(self) -> Slot | None:
        """The place, which from now on is the reply's to give back."""
        slot, self.slot = self.slot, None
        return slot


FREE = Leave()
"""What an offer needs that has neither a breaker nor a limit: nothing."""


class Asker:
    """`ask` is one attempt; `leave` says whether there may be one. It knows what the one `before` it has learned."""

    def __init__(
        self, providers: Mapping[str, Provider], clock: Clock, rules: DispatchRules, before: Asker | None = None
    ) -> None:
        self._providers = dict(providers)
        self.clock = clock
        self.rules = rules
        self.standings: Standings = before.standings if before is not None else Standings()
        self.breakers: Breakers = Breakers(rules.breaker, clock)
        self.slots: Slots = Slots(most_waiting=rules.queue)
        if before is not None and before.rules.breaker == rules.breaker:
            self.breakers = before.breakers
        if before is not None and before.rules.queue == rules.queue:
            self.slots = before.slots
        self._patiences = Patiences()

    def leave(self, offer: Offer, *, early: bool = False, slot: Slot | None = None) -> Leave | Hindrance:
        """Leave to ask now, or what is in the way. `slot` is one that was waited for, and comes with it, or goes."""
        entry = self.breakers.enter(offer, early=early)
        if entry is Entry.FREE and offer.max_concurrent is None:
            return FREE
        if entry is Entry.BUSY or entry is Entry.SHUT:
            if slot is not None:
                slot.give_back()
            return Hindrance.BUSY if entry is Entry.BUSY else Hindrance.SHUT
        if offer.max_concurrent is not None and slot is None:
            slot = self.slots.take(offer)
        leave = Leave(entry if isinstance(entry, Probe) else None, slot)
        if offer.max_concurrent is not None and slot is None:
            leave.give_back()
            return Hindrance.FULL
        return leave

    async def ask(
        self, call: ChatCall, quote: Quote, began: float, seconds: float, *, leave: Leave, others: bool
    ) -> OpenReply:
        """Send `call` to the offer of `quote` and wait for its first byte. Raises FailedAttempt.

        `others`: there are more candidates, so that it need not wait for one that turns out to hang.
        """
        offer = quote.offer
        key = offer.key
        kept = False
        patience = self._patiences.begin(seconds, key if others else None)
        try:
            found = await first_byte(
                self._providers[offer.provider],
                call,
                quote,
                patience,
                idle_seconds=self.rules.idle_seconds,
                others=others,
            )
            kept = True
        except FailedAttempt as failed:
            self._failed(key, failed, began, leave.probe)
            raise
        finally:
            if not kept and leave is not FREE:
                leave.give_back()
        self._answered(key, began, leave.probe, whole=not call.stream)
        return OpenReply(
            quote=quote,
            reply=found.reply,
            body=found.body,
            shown=found.shown,
            events=found.events,
            rest=found.rest,
            began=began,
            slot=None if leave is FREE else leave.keep_slot(),
        )

    def head_start(self, quote: Quote, seconds: float, *, others: bool) -> float:
        """How long a probe may keep its caller waiting: not much, where that could go elsewhere; nor where somebody has
        waited in vain before, beyond twice the time that it usually takes."""
        key = quote.offer.key
        if not others and not self.breakers.hangs(key):
            return seconds
        return min(max(self.rules.breaker.probe_seconds, 0.0 if others else self._twice_as_usual(key)), seconds)

    def _twice_as_usual(self, key: tuple[str, str, str]) -> float:
        """Twice the seconds that calls wait for the offer; 0 where that is not known."""
        return 2 * self.standings.waited_ms.get(key, 0.0) / 1000

    def no_news(self, quote: Quote, began: float, probe: Probe) -> None:
        """A probe has not answered while its caller could wait: it has failed, unless it answers later after all."""
        if probe.use_up():
            now = self.clock.monotonic()
            said = SAID[Outcome.TIMED_OUT]
            failure = Failure(began=began, now=now, said=said, slow=True)
            self.breakers.failed(quote.offer.key, failure, answered_at=float("-inf"), probe=True)

    def broke_off(self, opened: OpenReply) -> None:
        """A reply that had begun did not reach its end."""
        key = opened.quote.offer.key
        said = SAID[Outcome.CUT]
        failure = Failure(began=opened.began, now=self.clock.monotonic(), said=said, begun=True)
        self.standings.failed(key)
        self.breakers.failed(key, failure, answered_at=opened.began, probe=False)

    def _answered(self, key: tuple[str, str, str], began: float, probe: Probe | None, *, whole: bool) -> None:
        now = self.clock.monotonic()
        self.standings.served(key, (now - began) * 1000, now, stream=not whole)
        if probe is not None:
            probe.use_up()
        self.breakers.answered(key, whole=whole)

    def _failed(self, key: tuple[str, str, str], failed: FailedAttempt, began: float, probe: Probe | None) -> None:
        if failed.outcome not in SAID or failed.callers_own:
            return
        now = self.clock.monotonic()
        slow = failed.outcome is Outcome.TIMED_OUT or now - began >= self._slow_seconds(failed.outcome)
        failure = Failure(
            began=began,
            now=now,
            said=SAID[failed.outcome],
            detail=failed.detail,
            slow=slow,
            rest_seconds=failed.retry_after,
        )
        self.standings.failed(key)
        probing = probe is not None and probe.use_up()
        opened = self.breakers.failed(key, failure, answered_at=self.standings.answered_at(key), probe=probing)
        if opened and slow:
            self._patiences.lose(key, max(_LEAST_PATIENCE, self._twice_as_usual(key)))

    def _slow_seconds(self, outcome: Outcome) -> float:
        slow = self.rules.breaker.slow_seconds
        return min(slow, _SLOW_CONNECTION) if outcome is Outcome.CONNECT_FAILED else slow
