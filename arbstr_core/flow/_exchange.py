"""One call from its hold to its one end: settled or released, whoever leaves first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from arbstr_core.dispatch import OpenReply
from arbstr_core.flow._receipt import Ending, held_for, write_receipt
from arbstr_core.flow._refusal import refusal, vault_unavailable
from arbstr_core.flow._rooms import CallRooms, CallSummary
from arbstr_core.metering import Bill, Meter, Seen, bill
from arbstr_core.types import (
    ArbstrError,
    Attempt,
    Caller,
    CallFacts,
    CallRefused,
    ChatCall,
    ModelNotFound,
    Plan,
    ProviderError,
    Quote,
    StorageError,
    Usage,
    UsageSource,
)
from arbstr_core.vault import Claimed, Closed, Granted, HoldRequest, ProviderCost, Refused, Settlement
from arbstr_core.wire import DONE

_log = logging.getLogger("arbstr.flow")

_SETTLE_SECONDS = 0.05
"""How long the end of a stream, or a refusal, waits for the end to be durable, before it goes out all the same."""
_TRAILER_SECONDS = 0.5
"""How long a finished reply may take to end its body, so that its connection can be used again."""
_CUT = (
    b'data: {"error":{"message":"The provider\'s reply broke off; what came so far was charged.",'
    b'"type":"api_error","param":null,"code":"upstream_cut"}}\n\n'
)


class Exchange:
    """Made before the hold is asked for, and closed whatever happens: `close` is idempotent and cannot be lost."""

    __slots__ = (
        *("_answer", "_attempts", "_began", "_bill", "_caller", "_closed", "_end", "_ended", "_ending"),
        *("_first_byte_at", "_granted", "_hold", "_meter", "_opened", "_plan", "_rooms", "_waiters", "_whole", "call"),
    )

    def __init__(
        self, rooms: CallRooms, call: ChatCall, caller: Caller, closed: Callable[[Exchange, CallSummary], None]
    ) -> None:
        self.call = call
        self._rooms = rooms
        self._closed = closed
        self._caller = caller
        self._attempts: list[Attempt] = []
        self._plan: Plan | None = None
        self._hold: asyncio.Future[Granted | Refused | Claimed] | None = None
        self._granted: Granted | None = None
        self._opened: OpenReply | None = None
        self._meter = Meter(call)
        self._end: asyncio.Future[Closed] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._ending = Ending.CANCELLED
        self._whole = False
        self._bill: Bill | None = None
        self._first_byte_at = 0.0
        self._answer: tuple[int, str] | None = None
        self._began = rooms.clock.monotonic()

    # -- the way there --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Plan, hold, and wait for a provider's first byte. Raises CallRefused."""
        rooms, call = self._rooms, self.call
        row = rooms.market.snapshot.find(call.model)
        if row is None:
            raise ModelNotFound(f"The model {call.model!r} does not exist here; GET /v1/models lists those that do")
        self._plan = rooms.router.plan(call, self._caller, row.listings, row.out, rooms.dispatch.standing())
        candidates = await self._held(self._plan.candidates)
        try:
            self._opened = await rooms.dispatch.open(call, candidates, self._attempts)
        except CallRefused:
            self._ending = Ending.FAILED
            raise
        self._first_byte_at = rooms.clock.monotonic()
        self._ending = Ending.CLIENT_GONE

    async def _held(self, candidates: tuple[Quote, ...]) -> tuple[Quote, ...]:
        vault = self._rooms.vault
        if vault is None:
            return candidates
        self._hold = vault.hold(
            HoldRequest(
                id=self.call.id,
                agent=self._caller.agent,
                ceilings=tuple(quote.ceiling_msat for quote in candidates),
                candidates=held_for(candidates),
                model=self.call.model,
            )
        )
        await _over(self._hold)
        try:
            outcome = self._hold.result()
        except StorageError as broken:
            raise vault_unavailable(broken) from broken
        if isinstance(outcome, Refused):
            raise refusal(outcome, self._caller)
        assert isinstance(outcome, Granted), "nothing was claimed"
        self._granted = outcome
        return candidates[: outcome.candidates]

    # -- what the caller gets -------------------------------------------------------------------------------------

    def headers(self) -> list[tuple[str, str]]:
        """What arbstr says of the call beside the reply."""
        opened, plan = self._opened, self._plan
        assert opened is not None, "headers before the first byte"
        assert plan is not None, "headers before the plan"
        offer = opened.quote.offer
        waited = int((self._first_byte_at - self._began) * 1000) - self._attempts[-1].ms
        said = [
            ("x-arbstr-provider", offer.provider),
            ("x-arbstr-model", offer.model),
            ("x-arbstr-tier", offer.tier.value),
            ("x-arbstr-attempts", str(len(self._attempts))),
            ("x-arbstr-overhead-ms", str(max(waited, 0))),
        ]
        if plan.policy:
            said.append(("x-arbstr-policy", plan.policy))
        if self._granted is not None:
            said.append(("x-arbstr-reserved-msat", str(self._granted.amount_msat)))
        if self._bill is not None:
            said.append(("x-arbstr-cost-msat", str(self._bill.charge_msat)))
        return said

    async def refused(self, status: int, outcome: str) -> None:
        """The caller is refused after all: note it for the request log, and free its money before it tries again."""
        self._answer = (status, outcome)
        await self._durable(at_most=_SETTLE_SECONDS)

    async def body(self) -> bytes:
        """The whole reply of a call that does not stream, settled: durable before it is returned."""
        assert self._opened is not None, "a body before the first byte"
        body = self._opened.body
        self._meter.see_body(self._opened.shown)
        self._whole = True
        self._ending = Ending.COMPLETE
        await self._durable()
        return body

    async def events(self) -> AsyncIterator[tuple[bytes, bool]]:
        """The stream for the caller: (bytes of whole events, whether they are the last)."""
        opened = self._opened
        assert opened is not None, "events before the first byte"
        complete = False
        batch = opened.events
        try:
            while not complete:
                kept, seen = self._meter.sift(batch)
                complete = seen is Seen.DONE
                if kept:
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
        self._ending = Ending.COMPLETE if complete else Ending.CUT
        self._whole = complete
        if not complete:
            self._rooms.dispatch.broke_off(opened.quote)
        await self._durable(at_most=_SETTLE_SECONDS)
        yield (DONE if complete else _CUT), True

    # -- the one end ----------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End the call: settle what was served, or release the hold; let go of the provider. Again does nothing."""
        try:
            if self._opened is not None:
                await self._let_go(self._opened)
        finally:
            await self._durable()

    async def _let_go(self, opened: OpenReply) -> None:
        try:
            try:
                if self._whole and opened.rest is not None:
                    await _read_out(opened)
            finally:
                await opened.aclose()
        except (ProviderError, TimeoutError) as unended:
            _log.info("%s: the reply did not end after its end: %s", self.call.id, unended)

    async def _durable(self, *, at_most: float | None = None) -> None:
        """Wait until the end of this call is on disk (or `at_most` seconds); it gets there whether or not anyone
        waits."""
        ended = self.finish()
        if ended.done():
            return
        timer = None
        waiter = self._waiter()
        if at_most is not None:
            timer = asyncio.get_running_loop().call_later(at_most, _wake, waiter)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()

    def _waiter(self) -> asyncio.Future[None]:
        """Done once the call is concluded. Each has its own: whoever is cancelled cancels that, and not the end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def finish(self) -> asyncio.Future[None]:
        """Begin the one end of this call, once; the future is done when it is durable. Never awaits, so no
        cancellation comes between."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
            if self._hold is None:
                self._conclude()
            elif self._hold.done():
                self._after_hold(self._hold)
            else:
                self._hold.add_done_callback(self._after_hold)
        return self._ended

    def _after_hold(self, hold: asyncio.Future[Granted | Refused | Claimed]) -> None:
        failed = hold.cancelled() or hold.exception() is not None
        outcome = None if failed else hold.result()
        if isinstance(outcome, Granted):
            self._granted = outcome
            self._submit()
        else:
            self._conclude()

    def _submit(self) -> None:
        try:
            self._end = self._ask_vault()
        except ArbstrError as broken:
            self._leave_open(broken)
        except BaseException as broken:
            self._leave_open(broken)
            raise
        else:
            self._end.add_done_callback(self._after_end)

    def _leave_open(self, broken: BaseException) -> None:
        """Nobody may wait for ever for an end that will not come; the hold stays open, and is found at the start."""
        _log.critical("%s: the hold stays open: %s", self.call.id, broken)
        self._conclude()

    def _ask_vault(self) -> asyncio.Future[Closed]:
        vault, granted = self._rooms.vault, self._granted
        assert vault is not None, "a grant without a vault"
        assert granted is not None, "an end without a grant"
        opened = self._opened
        if opened is not None and self._meter.output_seen:
            return vault.settle(self._settlement(opened, granted))
        return vault.release(granted.id, self._receipt(None, Usage(source=UsageSource.NONE)))

    def _after_end(self, end: asyncio.Future[Closed]) -> None:
        broken = None if end.cancelled() else end.exception()
        if isinstance(broken, StorageError):
            _log.error("%s: could not be ended, trying again: %s", self.call.id, broken)
            asyncio.get_running_loop().call_later(self._rooms.retry_seconds, self._submit)
        elif broken is not None:
            self._leave_open(broken)
        else:
            if not end.cancelled() and not end.result().first:
                _log.critical("%s: the ledger had ended this call already, as %s", self.call.id, end.result())
            self._conclude()

    def _conclude(self) -> None:
        assert self._ended is not None, "concluded before finished"
        if not self._ended.done():
            self._ended.set_result(None)
            for waiter in self._waiters:
                _wake(waiter)
            self._closed(self, self._summary())

    def _settlement(self, opened: OpenReply, granted: Granted) -> Settlement:
        quote, facts = opened.quote, self._facts(opened)
        usage = self._meter.usage(facts)
        self._bill = bill(
            quote,
            usage,
            facts,
            held_msat=granted.amount_msat,
            text_bytes=self._meter.text_bytes,
            stops=self._meter.stops,
        )
        cost = ProviderCost(provider=quote.offer.provider, cost_msat=self._bill.cost_msat, served=True)
        return Settlement(
            id=granted.id,
            charge_msat=self._bill.charge_msat,
            costs=(cost,) if cost.cost_msat else (),
            receipt=self._receipt(quote, usage),
        )

    def _facts(self, opened: OpenReply) -> CallFacts:
        """What the provider knows beyond its bytes; what those showed is charged all the same where it fails."""
        try:
            return opened.facts()
        except ProviderError as failed:
            _log.error("%s: %s", self.call.id, failed)
            return CallFacts()

    def _summary(self) -> CallSummary:
        status, outcome = self._answer or (200 if self._opened else 0, self._ending.value)
        return CallSummary(
            status=status,
            outcome=outcome,
            provider=self._opened.quote.offer.provider if self._opened else "",
            charged_msat=self._bill.charge_msat if self._bill else 0,
            total_ms=int((self._rooms.clock.monotonic() - self._began) * 1000),
        )

    def _receipt(self, quote: Quote | None, usage: Usage) -> bytes:
        now = self._rooms.clock.monotonic()
        return write_receipt(
            call=self.call,
            plan=self._plan,
            quote=quote,
            usage=usage,
            bill=self._bill,
            attempts=self._attempts,
            ending=self._ending,
            first_byte_ms=int((self._first_byte_at - self._began) * 1000) if self._first_byte_at else None,
            total_ms=int((now - self._began) * 1000),
        )


async def _read_out(opened: OpenReply) -> None:
    """Read a finished reply to its end; where that is here already, nobody has to be waited for."""
    assert opened.rest is not None, "a stream has a rest"
    if opened.reply.ended:
        async for _ in opened.rest:
            pass
        return
    async with asyncio.timeout(_TRAILER_SECONDS):
        async for _ in opened.rest:
            pass


async def _over(future: asyncio.Future[Any]) -> None:
    """Wait until `future` is done, whatever came of it; a cancellation leaves it alone, as `asyncio.shield` does."""
    if not future.done():
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: _wake(waiter))
        await waiter


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
