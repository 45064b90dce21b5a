"""One call from its hold to its one end: settled or released, whoever leaves first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from arbstr_core.dispatch import OpenReply
from arbstr_core.flow._closing import Closing
from arbstr_core.flow._glance import Glance, glance
from arbstr_core.flow._headers import reply_headers
from arbstr_core.flow._receipt import Ending, billed, blamed, hold_request, row_of, write_receipt
from arbstr_core.flow._refusal import lease_lost, vault_unavailable, withheld
from arbstr_core.flow._remedies import Outcome, Remedies, fit
from arbstr_core.flow._retries import Again, Answer, Retries, may_come_again
from arbstr_core.flow._rooms import CallRooms
from arbstr_core.flow._spare import Spare, share_of
from arbstr_core.flow._voice import Voice
from arbstr_core.flow._waiting import Alarm, Leash, drain, over, read_out, wake, woken
from arbstr_core.flow.approval import decision
from arbstr_core.journal import CallRow
from arbstr_core.metering import Bill, Meter, Seen, counted, exhausted, sent
from arbstr_core.types import (
    Attempt,
    Caller,
    CallFacts,
    CallRefused,
    ChatCall,
    Plan,
    ProviderError,
    Quote,
    ShuttingDown,
    StorageError,
    Usage,
    UsageSource,
)
from arbstr_core.vault import ApprovalNeeded, Claimed, Closed, Granted, Refused, Settlement

_log = logging.getLogger("arbstr.flow")


class Exchange:
    """Made before the hold is asked for, and closed whatever happens: `close` is idempotent and cannot be lost."""

    __slots__ = (
        *("_again", "_answer", "_asked_at", "_attempts", "_began", "_bill", "_caller", "_closed", "_digest", "_ended"),
        *("_ending", "_first_byte_at", "_granted", "_hold", "_leash", "_left", "_limited", "_meter", "_opened"),
        *("_plan", "_rooms", "_spare", "_term", "_voice", "_waiters", "_whole", "call"),
    )

    def __init__(
        self,
        rooms: CallRooms,
        call: ChatCall,
        caller: Caller,
        closed: Callable[[Exchange, CallRow], None],
        retries: Retries | None = None,
    ) -> None:
        self.call = call
        self._rooms = rooms
        self._closed = closed
        self._caller = caller
        self._attempts: list[Attempt] = []
        self._plan: Plan | None = None
        self._hold: asyncio.Future[Outcome] | None = None
        self._digest = b""
        self._granted: Granted | None = None
        self._opened: OpenReply | None = None
        self._meter = Meter(call)
        self._voice = Voice(call, self._meter)
        self._spare = Spare(self._meter)
        self._ended: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._ending = Ending.CANCELLED
        self._whole = self._left = self._limited = False
        self._leash: Leash | None = None
        self._again = Again(retries, call, caller) if retries is not None and may_come_again(call) else None
        self._term = rooms.lease.term if rooms.lease is not None else 0
        self._bill: Bill | None = None
        self._asked_at = self._first_byte_at = 0.0
        self._answer: tuple[int, str] | None = None
        self._began = rooms.clock.monotonic()

    # -- the way there --------------------------------------------------------------------------------------------

    async def open(self) -> Answer | None:
        """Plan, hold, and wait for a provider's first byte; or find the answer that the same call got before, and be
        done. Raises CallRefused."""
        rooms, call = self._rooms, self.call
        candidates = None
        while candidates is None:
            self._plan = await self._planned()
            candidates = await self._held(self._plan.candidates)
        if isinstance(candidates, Answer):
            self._answer = (200, "replayed")
            return candidates
        self._asked_at = rooms.clock.monotonic()
        try:
            self._opened = await rooms.dispatch.open(call, candidates, self._attempts, self._spare)
        except CallRefused:
            self._ending = Ending.FAILED
            raise
        self._voice.begin(self._opened.quote)
        self._first_byte_at = rooms.clock.monotonic()
        self._ending = Ending.CLIENT_GONE
        return None

    async def _planned(self) -> Plan:
        return self._rooms.planned(self.call, self._caller)

    @property
    def serves(self) -> bool:
        """False once another process may have ended the hold: then nothing is sent or passed on any more."""
        lease = self._rooms.lease
        return lease is None or lease.serves(self._term)

    async def _held(self, candidates: tuple[Quote, ...]) -> tuple[Quote, ...] | Answer | None:
        """What is held for, or what the same call got before; None where the call starts again: an operator has let it
        through, or the call that it retries left no answer."""
        if self._rooms.vault is None:
            return candidates
        quotes, outcome = candidates, await self._ask(candidates)
        if not isinstance(outcome, Granted):
            said: Sequence[str] = ()
            if isinstance(outcome, Refused):
                remedies = Remedies(self.call, self._rooms.dispatch, self._rooms.clock, self._ask)
                quotes, outcome = await remedies.hold(quotes, outcome)
                said = remedies.said
            if isinstance(outcome, Refused) and outcome.approvable and self._rooms.body_key:
                self._digest = self._rooms.digest(self.call)
                outcome = await self._ask(quotes)
            if isinstance(outcome, ApprovalNeeded):
                await decision(self._rooms.approvals, outcome, self.call, self._caller, self._began)
                return None
            if isinstance(outcome, Refused):
                raise await self._rooms.refused(outcome, self._caller)
            if isinstance(outcome, Claimed):
                assert self._again is not None, "only what claims is told of claims"
                return await self._again.answer(outcome)
            if said:
                assert self._plan is not None, "a hold without a plan"
                self._plan, self._limited = fit(self._plan, quotes, said)
        self._granted, self._spare.left = outcome, outcome.attempts_left_msat
        if not self.serves:
            raise lease_lost()
        return quotes[: outcome.candidates]

    async def _ask(self, quotes: tuple[Quote, ...]) -> Outcome:
        vault = self._rooms.vault
        assert vault is not None, "a hold without a vault"
        if self._ended is not None:
            raise ShuttingDown("arbstr is shutting down; try again in a moment")
        seen = sent(quotes, self._meter.counted_input())
        claim = None if self._again is None else self._again.claim
        hold = self._hold = vault.hold(
            hold_request(self.call, self._caller, quotes, seen_msat=seen, body_digest=self._digest, claim=claim)
        )
        if not hold.done():
            await over(hold)
        try:
            return hold.result()
        except StorageError as broken:
            raise vault_unavailable(broken) from broken

    # -- what the caller gets -------------------------------------------------------------------------------------

    def headers(self) -> list[tuple[str, str]]:
        """What arbstr says of the call beside the reply."""
        opened, plan = self._opened, self._plan
        assert opened is not None, "headers before the first byte"
        assert plan is not None, "headers before the plan"
        waited = int((self._first_byte_at - self._began) * 1000) - self._attempts[-1].ms
        first = self._again.first if self._again is not None else ""
        known = (opened.quote, plan, self._granted, self._bill)
        return reply_headers(*known, len(self._attempts), waited, self._limited, first)

    async def refused(self, status: int, outcome: str) -> None:
        """The caller is refused after all: note it for the request log, and free its money before it tries again."""
        self._answer = (status, outcome)
        await self._durable(self._rooms.end_alarm)

    async def body(self) -> bytes:
        """The whole reply of a call that does not stream, settled: durable before it is returned."""
        assert self._opened is not None, "a body before the first byte"
        body = self._voice.whole(self._opened.body, self._opened.shown)
        if self._again is not None:
            self._again.take(body)
        self._whole = True
        self._ending = Ending.CLIENT_GONE if self._left else Ending.COMPLETE
        await self._durable(self._rooms.settle_alarm)
        if not self.finish().done():
            raise withheld()
        return body

    async def events(self) -> AsyncIterator[tuple[bytes, bool]]:
        """The stream for the caller: (bytes of whole events, whether they are the last)."""
        opened = self._opened
        assert opened is not None, "events before the first byte"
        complete = stopped = False
        batch = opened.events
        try:
            while not complete:
                kept, seen = self._take(batch)
                if stopped := self._must_stop():
                    break
                complete = seen is Seen.DONE
                if kept and not self._left:
                    yield kept, False
                if seen is not Seen.PASS or opened.rest is None:
                    break
                try:
                    batch = await anext(opened.rest)
                except StopAsyncIteration:
                    complete = self._meter.stops >= self.call.choices
                    break
        except ProviderError as broken:
            _log.info("%s: %s", self.call.id, broken)
        self._ending = Ending.CLIENT_GONE if self._left else Ending.COMPLETE if complete else Ending.CUT
        self._whole = complete
        if not stopped:
            self._rooms.dispatch.ended(opened, whole=complete)
        await self._durable(self._rooms.end_alarm)
        yield self._voice.farewell(self._bill, complete=complete, stopped=stopped), True

    # -- the caller that leaves, and what is known meanwhile ------------------------------------------------------

    def leave(self, task: asyncio.Task[Any]) -> bool:
        """The caller has left. True where `task`, which serves it, is to go on without it, to see what the call used:
        it is cancelled once that has taken too long."""
        granted, seconds = self._granted, self._rooms.drain_seconds
        self._left = True
        if self._ended is not None or not seconds or granted is None or not granted.amount_msat:
            return False
        self._leash = Leash(task, seconds)
        if self._again is not None and self._again.waiting:
            self._leash.loosen()
        return True

    async def attend(self) -> None:
        """Wait for the end in the place of the caller: until then the call goes on, and its answer is kept."""
        assert self._again is not None, "nobody is told of a call without a claim"
        self._again.waiting += 1
        if self._leash is not None:
            self._leash.loosen()
        try:
            if self._ended is None or not self._ended.done():
                await woken(self._waiters, asyncio.get_running_loop())
        finally:
            self._again.waiting -= 1
            if self._leash is not None and not self._again.waiting:
                self._leash.tighten()

    def used(self) -> int | None:
        """What the call has used so far, msat, never above its hold; None while nothing is held."""
        if self._granted is None:
            return None
        if self._opened is None:
            return 0
        return counted(self._opened.quote, self._meter, held_msat=self._granted.amount_msat)

    def age(self, now: float) -> float:
        """Seconds since it began; `now` is monotonic."""
        return now - self._began

    def seen(self) -> Glance:
        """How it stands."""
        return glance(self._hold, self._granted, self._opened, len(self._attempts), ending=self._ended is not None)

    def _must_stop(self) -> bool:
        """Nothing more may be passed on; or nobody is there any more, and what is yet to come would cost nothing."""
        opened, again = self._opened, self._again
        alone = self._left and not (again is not None and again.wanted)
        return not self.serves or (alone and opened is not None and exhausted(opened.quote, self._meter))

    def _take(self, batch: bytes) -> tuple[bytes, Seen]:
        """Count what came of a stream: all of it passes here, whether or not somebody is there to take it."""
        kept, seen = self._voice.events(batch)
        if self._again is not None:
            self._again.take(kept)
        return kept, seen

    def _take_alone(self, batch: bytes) -> bool:
        """As `_take`, after the caller left in the middle of taking something; False where it is enough."""
        _, seen = self._take(batch)
        self._whole = seen is Seen.DONE
        return seen is Seen.PASS and self._ended is None and not self._must_stop()

    # -- the one end ----------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End the call: settle what was served, or release the hold; let go of the provider. Again does nothing."""
        leash, self._leash = self._leash, None
        until = None if leash is None else leash.until
        if leash is not None:
            leash.loosen()
        try:
            if self._opened is not None:
                await self._let_go(self._opened, alone=leash is not None, until=until)
        finally:
            await self._durable()

    async def _let_go(self, opened: OpenReply, *, alone: bool, until: float | None) -> None:
        try:
            try:
                if alone and not self._whole and self._ended is None:
                    await drain(opened, self._take_alone, until=until)
                if self._whole and opened.rest is not None:
                    await read_out(opened)
            finally:
                await opened.aclose()
        except (ProviderError, TimeoutError) as unended:
            _log.info("%s: the reply did not end after its end: %s", self.call.id, unended)
            if alone and not self._whole and isinstance(unended, ProviderError):
                self._rooms.dispatch.ended(opened, whole=False)

    async def _durable(self, alarm: Alarm | None = None) -> None:
        """Wait until the end of this call is on disk (or `alarm` rings); it gets there whether or not anyone waits."""
        ended = self.finish()
        if not ended.done():
            await woken(self._waiters, ended.get_loop(), alarm)

    def finish(self) -> asyncio.Future[None]:
        """Begin the one end of this call, once; the future is done when it is durable. Never awaits, so no
        cancellation comes between."""
        if self._ended is None:
            loop = asyncio.get_running_loop() if self._hold is None else self._hold.get_loop()
            self._ended = loop.create_future()
            if self._hold is None:
                self._conclude()
            elif self._hold.done():
                self._after_hold(self._hold)
            else:
                self._hold.add_done_callback(self._after_hold)
        return self._ended

    def _after_hold(self, hold: asyncio.Future[Outcome]) -> None:
        failed = hold.cancelled() or hold.exception() is not None
        outcome = None if failed else hold.result()
        if isinstance(outcome, Granted):
            self._granted = outcome
            Closing(self._rooms, self.call.id, self._ask_vault, self._conclude).submit()
        else:
            self._conclude()

    def _ask_vault(self) -> asyncio.Future[Closed]:
        vault, granted = self._rooms.vault, self._granted
        assert vault is not None, "a grant without a vault"
        assert granted is not None, "an end without a grant"
        opened = self._opened
        if opened is not None and self._meter.output_seen:
            return vault.settle(self._settlement(opened, granted))
        receipt = self._receipt(None, Usage(source=UsageSource.NONE))
        unserved = self._spare.settlement(granted.id, receipt)
        return vault.release(granted.id, receipt) if unserved is None else vault.settle(unserved)

    def _conclude(self) -> None:
        assert self._ended is not None, "concluded before finished"
        if not self._ended.done():
            self._ended.set_result(None)
            for waiter in self._waiters:
                wake(waiter)
            self._closed(self, self._row())

    def _settlement(self, opened: OpenReply, granted: Granted) -> Settlement:
        quote = opened.quote
        usage, self._bill = billed(opened, self._meter, self.call, held_msat=granted.amount_msat)
        if self._bill.overage_msat:
            self._rooms.dispatch.overcharged(quote, self._caller.agent, plain=not blamed(self.call))
        return Settlement(
            id=granted.id,
            charge_msat=self._bill.charge_msat,
            costs=self._spare.with_served(quote, self._bill.cost_msat),
            receipt=self._receipt(quote, usage),
            seller=share_of(quote, self._bill),
            replay=self._kept(),
        )

    def _kept(self) -> bytes | None:
        """The whole answer, where somebody may ask for it again."""
        again = self._again
        if again is None or not self._whole or not (self._left or again.wanted):
            return None
        return again.kept(self.call.id, self.headers(), self._voice.last() if self.call.stream else b"")

    def _row(self) -> CallRow:
        """What is noted of the call; and what it teaches is learned."""
        call, agent, opened, bill, clock = self.call, self._caller.agent, self._opened, self._bill, self._rooms.clock
        usage = bill.usage if bill else self._meter.usage(CallFacts())
        if opened is not None and self._meter.output_seen:
            learn = self._rooms.experience.note
            learn(agent, call, opened.quote, usage, whole=self._whole, now_ms=clock.now_ms())
        times = (self._began, self._asked_at, self._first_byte_at, clock.monotonic())
        return row_of(call, agent, opened, usage, bill, times, self._attempts, self._ending, self._answer)

    def _receipt(self, quote: Quote | None, usage: Usage) -> bytes:
        known: dict[str, Any] = {"call": self.call, "plan": self._plan, "bill": self._bill, "attempts": self._attempts}
        times = (self._began, self._asked_at, self._first_byte_at, self._rooms.clock.monotonic())
        return write_receipt(quote=quote, usage=usage, ending=self._ending, times=times, **known)
