"""A call whose first try was not plain sailing: the other candidates, what waits, probes, and two asked at one time.

Each attempt has a task of its own here, so that it may go on while the next one begins, or when nobody waits any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from arbstr_core.dispatch._asker import Asker, Hindrance, Leave
from arbstr_core.dispatch._attempt import FailedAttempt
from arbstr_core.dispatch._ends import Budget, none_answered, raise_clients_own
from arbstr_core.dispatch._open_reply import OpenReply
from arbstr_core.types import Attempt, ChatCall, Offer, Outcome, Quote


class _Try:
    """One attempt that is going on. `patient_until` is when its caller looks further; None: it has looked."""

    __slots__ = ("began", "leave", "patient_until", "quote", "task")

    def __init__(self, quote: Quote, leave: Leave, began: float, task: asyncio.Task[OpenReply]) -> None:
        self.quote = quote
        self.leave = leave
        self.began = began
        self.task = task
        self.patient_until: float | None = None


class Chase:
    """`run` is to be awaited once. `seconds` is what each attempt may take, `until` when all of it ends; `behind` takes
    tasks that end by themselves."""

    def __init__(
        self,
        asker: Asker,
        call: ChatCall,
        candidates: Sequence[Quote],
        attempts: list[Attempt],
        budget: Budget,
        *,
        failures: list[FailedAttempt],
        seconds: float,
        until: float,
        behind: Callable[[asyncio.Task[OpenReply]], None],
    ) -> None:
        self._asker = asker
        self._now = asker.clock.monotonic
        self._call = call
        self._todo = deque(candidates)
        self._aside: list[tuple[Quote, Hindrance]] = []
        self._attempts = attempts
        self._budget = budget
        self._failures = failures
        self._seconds = seconds
        self._until = until
        self._behind = behind
        self._running: list[_Try] = []
        self._may_begin = True

    async def run(self) -> OpenReply:
        """The first reply that begins. Raises what the call is to be told where there is none."""
        try:
            while self._running or await self._begin_next():
                found = await self._wait()
                if found is not None:
                    return found
            left_out = [(quote, why.value) for quote, why in self._aside]
            raise none_answered(self._failures, self._attempts, left_out)
        finally:
            for each in self._running:
                self._let_go(each, Outcome.ABANDONED, "the call ended")

    # -- who is asked next ----------------------------------------------------------------------------------------

    async def _begin_next(self) -> bool:
        """Begin with the next one: first those that can be asked at once, then those that have to be waited for."""
        while self._todo and self._may_begin:
            quote = self._todo.popleft()
            leave = self._asker.leave(quote.offer)
            if leave is Hindrance.FULL:
                alone = not (self._todo or self._aside)
                leave = await self._queue(quote, self._until if alone else self._asker.rules.queue_seconds)
            if isinstance(leave, Leave):
                self._begin(quote, leave)
                return True
            self._aside.append((quote, leave))
        return self._may_begin and bool(self._aside) and await self._insist()

    async def _insist(self) -> bool:
        """There is nobody else: wait for places, for whoever tries one of these, and in the end try before its time."""
        if self._took():
            return True
        patient_until = self._now() + self._asker.rules.breaker.wait_seconds
        full = self._put_aside(Hindrance.FULL)
        for number, quote in enumerate(full):
            left = (self._until - self._now()) / (len(full) - number)
            leave = await self._queue(quote, min(left, patient_until - self._now()) if self._busy() else left)
            if isinstance(leave, Leave):
                self._begin(quote, leave)
                return True
        while await self._asker.breakers.news(self._busy(), min(patient_until, self._until) - self._now()):
            if self._took():
                return True
        return self._took(early=True)

    def _put_aside(self, why: Hindrance) -> list[Quote]:
        return [quote for quote, each in self._aside if each is why]

    def _busy(self) -> list[Offer]:
        return [quote.offer for quote in self._put_aside(Hindrance.BUSY)]

    def _took(self, *, early: bool = False) -> bool:
        """True where one that was put aside can be asked now, after all."""
        for at, (quote, _) in enumerate(self._aside):
            leave = self._asker.leave(quote.offer, early=early)
            if isinstance(leave, Leave):
                self._begin(quote, leave)
                return True
            self._aside[at] = (quote, leave)
        return False

    async def _queue(self, quote: Quote, seconds: float) -> Leave | Hindrance:
        """Wait for a place at the node; then its breaker may say no all the same."""
        slot = await self._asker.slots.wait(quote.offer, min(seconds, self._until - self._now()))
        return Hindrance.FULL if slot is None else self._asker.leave(quote.offer, slot=slot)

    def _begin(self, quote: Quote, leave: Leave) -> None:
        self._aside = [each for each in self._aside if each[0] is not quote]
        others = bool(self._todo or self._aside)
        began = self._now()
        left = self._until - began
        seconds = min(self._seconds, left / (1 + len(self._todo) + len(self._aside)))
        task = asyncio.get_running_loop().create_task(
            self._asker.ask(self._call, quote, began, seconds, leave=leave, others=others)
        )
        # Cancelled before its first step, it never gets to give anything back.
        task.add_done_callback(lambda _: leave.give_back())
        each = _Try(quote, leave, began, task)
        if leave.probe is not None:
            each.patient_until = began + self._asker.head_start(quote, seconds, others=others)
        elif self._asker.rules.hedge_seconds and self._hedge() is not None:
            each.patient_until = began + self._asker.rules.hedge_seconds
        self._running.append(each)

    # -- what comes of it -----------------------------------------------------------------------------------------

    async def _wait(self) -> OpenReply | None:
        """Until one ends, or has kept the caller waiting for long enough; the reply where there is one."""
        ends = [each.patient_until for each in self._running if each.patient_until is not None]
        timeout = max(0.0, min(ends) - self._now()) if ends else None
        done, _ = await asyncio.wait(
            [each.task for each in self._running], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            self._look_further()
            return None
        for each in [each for each in self._running if each.task in done]:
            try:
                opened = each.task.result()
            except FailedAttempt as failed:
                self._running.remove(each)
                self._failed(each, failed)
            else:
                return self._won(each, opened)
        return None

    def _won(self, winner: _Try, opened: OpenReply) -> OpenReply:
        self._running.remove(winner)
        for each in self._running:
            self._let_go(each, Outcome.OUTRUN, f"{winner.quote.offer.provider} answered earlier")
            self._budget.goes_on(each.quote, Outcome.OUTRUN)
        self._running.clear()
        self._note(winner, Outcome.SERVED, "")
        return opened

    def _failed(self, each: _Try, failed: FailedAttempt) -> None:
        self._note(each, failed.outcome, failed.detail)
        self._failures.append(failed.without_frames())
        raise_clients_own(failed, each.quote, self._attempts)
        if not self._budget.goes_on(each.quote, failed.outcome):
            self._may_begin = False

    def _look_further(self) -> None:
        """The time of the eldest is over: a probe is left to itself, and beside any other one more is asked."""
        now = self._now()
        for each in [each for each in self._running if each.patient_until is not None and each.patient_until <= now]:
            each.patient_until = None
            if each.leave.probe is not None:
                self._leave_alone(each)
            elif (quote := self._hedge()) is not None and self._budget.allows(each.quote):
                leave = self._asker.leave(quote.offer)
                if isinstance(leave, Leave):
                    self._todo.remove(quote)
                    self._begin(quote, leave)

    def _leave_alone(self, each: _Try) -> None:
        """Nobody waits for this probe any more; whether it answers after all is still news."""
        assert each.leave.probe is not None, "only a probe is left to itself"
        self._running.remove(each)
        self._asker.no_news(each.quote, each.began, each.leave.probe)
        self._behind(each.task)
        failed = FailedAttempt(Outcome.TIMED_OUT, "it was tried again, and did not answer soon")
        self._failed(each, failed)

    def _hedge(self) -> Quote | None:
        """The next candidate that costs nothing where it is asked in vain."""
        return next((quote for quote in self._todo if quote.offer.cancel_free or quote.price.free), None)

    def _let_go(self, each: _Try, outcome: Outcome, why: str) -> None:
        each.task.cancel()
        self._behind(each.task)
        self._note(each, outcome, why)

    def _note(self, each: _Try, outcome: Outcome, detail: str) -> None:
        ms = int((self._now() - each.began) * 1000)
        offer = each.quote.offer
        self._attempts.append(Attempt(provider=offer.provider, outcome=outcome, ms=ms, detail=detail, node=offer.node))
