"""The treasury's side of money that comes in: rails are followed, requests answered, deposits credited once.

A rail is followed from the cursor that the vault has, which moves in the transaction of the credit: whatever ends in
between, a deposit comes again until it is credited. A request is asked of its rail under its own id, again and again,
until the rail says what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import msgspec

from arbstr_core.api import Clock, Deposit, Invoice, Msat, PaymentRef, PaymentTarget, WalletRail
from arbstr_core.flow._office import Office
from arbstr_core.rails import Rails, Raised, answered, incoming, unlike
from arbstr_core.storage import Cipher
from arbstr_core.types import ArbstrError
from arbstr_core.vault import (
    History,
    LostTurn,
    RequestKind,
    RequestRecord,
    Requests,
    RequestState,
    Treasury,
)

_log = logging.getLogger("arbstr.flow")

TOKEN_PURPOSE = "request:"
"""What tokens that were handed in are sealed for, with the id of their request behind it"""
_AT_ONCE = 32
_INVOICE_SECONDS = 30.0
_RECEIVE_SECONDS = 120.0
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_SHORTEST_INVOICE_SECONDS = 60


class Incoming:
    """See the module. `office` says whether this process does it; `wait_seconds` is how long a rail that failed is left
    alone, twice as long each time."""

    def __init__(
        self,
        rails: Rails,
        requests: Requests,
        treasury: Treasury,
        history: History,
        office: Office,
        cipher: Cipher,
        clock: Clock,
        *,
        wait_seconds: float = _FIRST_WAIT_SECONDS,
    ) -> None:
        self._rails = rails
        self._requests = requests
        self._treasury = treasury
        self._history = history
        self._office = office
        self._cipher = cipher
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._asked = asyncio.Event()
        self._open: dict[str, asyncio.Task[None]] = {}
        requests.tell(self._asked.set)

    async def run(self) -> None:
        """Follow every rail, and answer requests, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for rail in self._rails.all:
                tasks.create_task(self.follow(rail), name=f"deposits of {rail.name}")
            tasks.create_task(self._answer(), name="requests")

    # What has come

    async def follow(self, rail: WalletRail) -> None:
        """Credit what comes in over a rail, for ever."""
        wait = self._wait_seconds
        while True:
            if await self._has_the_job():
                before = self._clock.monotonic()
                why = await self._followed(rail)
                if self._clock.monotonic() - before > _LONGEST_WAIT_SECONDS:
                    wait = self._wait_seconds
                _log.warning("the deposits of %s are asked for again in %.0f seconds: %s", rail.name, wait, why)
            await self._clock.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    async def _followed(self, rail: WalletRail) -> str:
        """Credit what comes until that ends; why it did."""
        try:
            async for came in incoming(rail, await self._treasury.place(rail.name, "deposits")):
                if isinstance(came, Raised):
                    return came.what
                if not await self._credit(rail, came, stream=True):
                    return "another process does that now"
        except LostTurn as lost:
            self._office.lost()
            return str(lost)
        except (ArbstrError, ValueError) as failed:
            return str(failed)
        return "the rail says no more"

    async def _credit(self, rail: WalletRail, deposit: Deposit, *, stream: bool) -> bool:
        """Credit a deposit, unless that was done; False where another process has the job."""
        turn = await self._office.turn()
        if turn is None:
            return False
        owner = await self._owner(rail, deposit)
        first = await self._treasury.credit(turn, rail.name, rail.network.value, deposit, owner=owner, stream=stream)
        if first:
            whose = owner or "no account"
            _log.info("%s: %d msat came in for %s, %s", rail.name, deposit.amount_msat, whose, deposit.reference)
        return True

    async def _owner(self, rail: WalletRail, deposit: Deposit) -> str | None:
        """The root agent that a deposit is for, by the request that it answers."""
        request = await self._requests.find(deposit.key) if deposit.key else None
        request = request or await self._requests.by_reference(deposit.reference, rail.name)
        if request is None or request.agent is None:
            return None
        lineage = await self._history.lineage(request.agent)
        return lineage[-1].id if lineage else None

    # What is asked for

    async def _answer(self) -> None:
        """Begin with what is due, for ever."""
        try:
            while True:
                self._asked.clear()
                rest = self._wait_seconds
                try:
                    if await self._has_the_job():
                        await self._begin()
                        rest = await self._office.rest_seconds(rest)
                except ArbstrError as broken:
                    _log.error("requests are not answered now: %s", broken)
                await self._soon(rest)
        finally:
            for task in self._open.values():
                task.cancel()
            await asyncio.gather(*self._open.values(), return_exceptions=True)

    async def _begin(self) -> None:
        # One whose step ends while this is read stands there as it was before.
        at_work = frozenset(self._open)
        due = await self._treasury.due_requests(self._clock.now_ms())
        for request in due:
            if request.id not in at_work and len(self._open) < _AT_ONCE:
                task = asyncio.create_task(self._step(request), name=request.id)
                self._open[request.id] = task
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._open[task.get_name()]
        if not task.cancelled():
            task.result()

    async def _soon(self, seconds: float) -> None:
        """Until a request is written down, or it is time to look again."""
        waiting: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._asked.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def _step(self, request: RequestRecord) -> None:
        """One step of a request: ask its rail, or see that its time is over."""
        rail = self._rails.find(request.rail)
        try:
            if request.expires_ms is not None and request.expires_ms <= self._clock.now_ms():
                await self._treasury.end_request(request.id, RequestState.EXPIRED, "nobody paid in time")
            elif rail is None:
                await self._later(request, f"there is no rail {request.rail} here any more")
            else:
                await self._ask(rail, request)
        except LostTurn:
            self._office.lost()
        except (ArbstrError, ValueError) as failed:
            _log.error("request %s: %s", request.id, failed)
            await self._clock.sleep(self._wait_seconds)

    async def _ask(self, rail: WalletRail, request: RequestRecord) -> None:
        match request.kind:
            case RequestKind.INVOICE:
                await self._invoice(rail, request)
            case RequestKind.TOKEN:
                assert request.sealed is not None, f"request {request.id}: a token was handed in"
                token = self._cipher.open(request.sealed, f"{TOKEN_PURPOSE}{request.id}").decode()
                await self._take(rail, request, rail.receive(token, key=request.id))
            case RequestKind.RECLAIM:
                await self._take(rail, request, rail.reclaim(await self._paid_with(request), key=request.id))

    async def _invoice(self, rail: WalletRail, request: RequestRecord) -> None:
        left = (request.expires_ms or 0) - self._clock.now_ms()
        seconds = max(_SHORTEST_INVOICE_SECONDS, left // 1000)
        call = rail.invoice(Msat(request.amount_msat), request.memo, key=request.id, expires_seconds=seconds)
        made = await answered(call, seconds=_INVOICE_SECONDS)
        if isinstance(made, Raised):
            await self._unmade(request, made)
        elif (wrong := unlike(made, request.amount_msat)) is not None:
            await self._unmade(request, Raised(what=f"the invoice is not what was asked for: {wrong}", refused=True))
        else:
            await self._made(request, made)

    async def _made(self, request: RequestRecord, made: Invoice) -> None:
        await self._treasury.answer(request.id, text=made.text, reference=made.reference, expires_ms=made.expires_ms)

    async def _take(self, rail: WalletRail, request: RequestRecord, call: Coroutine[Any, Any, Deposit]) -> None:
        took = await answered(call, seconds=_RECEIVE_SECONDS)
        if isinstance(took, Raised):
            await self._unmade(request, took)
        elif took.key != request.id:
            await self._later(request, f"{rail.name} says that it redeemed it as {took.key!r}")
        else:
            await self._credit(rail, took, stream=False)

    async def _unmade(self, request: RequestRecord, said: Raised) -> None:
        """A refusal is for good; anything else may be otherwise the next time."""
        if said.refused or said.conflict:
            await self._treasury.end_request(request.id, RequestState.REFUSED, said.what)
        else:
            await self._later(request, said.what)

    async def _later(self, request: RequestRecord, why: str) -> None:
        wait = min(_LONGEST_WAIT_SECONDS, self._wait_seconds * 2 ** min(request.tries, 10))
        _log.warning("request %s waits %.0f seconds: %s", request.id, wait, why)
        await self._treasury.postpone_request(request.id, why, wait_ms=int(wait * 1000))

    async def _paid_with(self, request: RequestRecord) -> PaymentRef:
        """The payment whose token is taken back."""
        payment = await self._requests.payment(request.subject)
        if payment is None:
            raise ValueError(f"there is no payment {request.subject!r} to take back")
        return PaymentRef(
            key=payment.rail_key,
            target=msgspec.json.decode(payment.target, type=PaymentTarget),
            fee_limit_msat=Msat(payment.fee_limit_msat),
            sent_ms=payment.sent_ms or 0,
        )

    async def _has_the_job(self) -> bool:
        try:
            return await self._office.turn() is not None
        except ArbstrError as broken:
            _log.error("money that comes in is not looked after now: %s", broken)
            return False
