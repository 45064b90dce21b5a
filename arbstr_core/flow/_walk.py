"""A rail's own records, read into the ledger: what left it that the ledger knows nothing of, and what it paid on its
own account. Each is booked once, with the place up to which the records have been read."""

from __future__ import annotations

import enum
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from arbstr_core.api import Paid, WalletRail
from arbstr_core.flow._office import Office
from arbstr_core.rails import Raised, answered
from arbstr_core.types import InsufficientFunds, Outgoing, RailCost
from arbstr_core.vault import LeftUnasked, PaymentRecord, PaymentState, Place, Requests, Treasury
from arbstr_core.vault import RailCost as CostBooked

_log = logging.getLogger("arbstr.flow")

T = TypeVar("T")

PAYMENTS = "payments"
COSTS = "costs"
WALKED = "walked"
BEGUN = "begun"
"""When a rail's payments were read for the first time: what it paid before that, unasked, is not looked into"""
_AT_ONCE = 200
_SECONDS = 30.0
_WAITING = (PaymentState.CREATED, PaymentState.RESERVED)


class _Is(enum.Enum):
    """What a record is to the ledger."""

    KNOWN = enum.auto()
    NEWER = enum.auto()
    """the ledger, restored from a backup, holds it for not sent"""
    UNASKED = enum.auto()
    NOT_OURS = enum.auto()
    """from before arbstr, or of money that the ledger never had"""
    OPEN = enum.auto()
    """it cannot be told yet: the records are read no further"""


class Walk:
    """Reads one rail's records."""

    def __init__(self, treasury: Treasury, requests: Requests, office: Office, rail: WalletRail) -> None:
        self._treasury = treasury
        self._requests = requests
        self._office = office
        self._rail = rail
        self._realm = rail.network.value

    async def costs(self) -> str:
        """Book what the rail paid on its own account; why that is not done, empty where it is."""
        since = await self._treasury.place(self._rail.name, COSTS)
        while True:
            found = await answered(_some(self._rail.costs(since)), seconds=_SECONDS)
            if isinstance(found, Raised):
                return f"its costs cannot be read: {found.what}"
            for cost in found:
                if problem := await self._cost(cost):
                    return problem
                since = cost.cursor
            if len(found) < _AT_ONCE:
                return ""

    async def _cost(self, cost: RailCost) -> str:
        event = CostBooked(rail=self._rail.name, msat=cost.amount_msat) if cost.amount_msat else None
        place = Place(self._rail.name, COSTS, cost.cursor)
        try:
            key = f"cost:{self._rail.name}:{cost.reference}"
            await self._treasury.post_from(await self._office.sure(), event, realm=self._realm, key=key, place=place)
        except InsufficientFunds as short:
            return f"its cost {cost.reference} ({cost.reason}) is more than the ledger has there: {short}"
        return ""

    async def payments(self, *, short: bool, restored: bool) -> str:
        """Book what left unasked; why that is not done to the end, empty where it is. `short` says that the rail holds
        less than the ledger has there, `restored` that the ledger is older than the rail's records may be."""
        name = self._rail.name
        since = await self._treasury.place(name, PAYMENTS)
        first = not restored and not await self._treasury.place(name, BEGUN)
        while True:
            found = await answered(_some(self._rail.payments(since)), seconds=_SECONDS)
            if isinstance(found, Raised):
                return f"its payments cannot be read: {found.what}"
            read = since
            for outgoing in found:
                if problem := await self._payment(outgoing, short=short or restored, first=first):
                    await self._move(read, since)
                    return problem
                read = outgoing.cursor
            await self._move(read, since)
            since = read
            if len(found) < _AT_ONCE:
                break
        if first:
            await self._note(BEGUN, "1")
        return ""

    async def _move(self, cursor: str, before: str) -> None:
        if cursor != before:
            await self._note(PAYMENTS, cursor)

    async def _note(self, stream: str, cursor: str) -> None:
        place = Place(self._rail.name, stream, cursor)
        await self._treasury.post_from(await self._office.sure(), None, realm=self._realm, key="", place=place)

    async def _payment(self, outgoing: Outgoing, *, short: bool, first: bool) -> str:
        """Why the records cannot be read on behind this one; empty where they can."""
        known = await self._known(outgoing)
        match _what(outgoing, known, short=short, first=first):
            case _Is.OPEN:
                return f"its payment {outgoing.reference} is on its way, and the ledger knows nothing of it"
            case _Is.NEWER if known is not None:
                await self._treasury.sent_elsewhere(await self._office.sure(), known)
            case _Is.UNASKED:
                return await self._book(outgoing)
        return ""

    async def _known(self, outgoing: Outgoing) -> PaymentRecord | None:
        if outgoing.key:
            return await self._requests.payment(outgoing.key.rpartition(":")[0])
        return await self._treasury.payment_by_reference(self._realm, outgoing.reference)

    async def _book(self, outgoing: Outgoing) -> str:
        assert isinstance(outgoing.payment, Paid), "what is on its way has not left yet"
        name, reference = self._rail.name, outgoing.reference
        event = LeftUnasked(rail=name, msat=outgoing.amount_msat, fee_msat=outgoing.payment.fee_msat)
        place = Place(name, PAYMENTS, outgoing.cursor)
        try:
            await self._treasury.post_from(
                await self._office.sure(), event, realm=self._realm, key=f"left:{name}:{reference}", place=place
            )
        except InsufficientFunds as lacking:
            return f"its payment {reference} is more than the ledger has there: {lacking}"
        _log.critical("%s: %d msat have left that nobody here asked for: %s", name, event.amount_msat, reference)
        return ""


def _what(outgoing: Outgoing, known: PaymentRecord | None, *, short: bool, first: bool) -> _Is:
    paid = isinstance(outgoing.payment, Paid)
    if known is None:
        if not outgoing.key and (first or (paid and not short)):
            return _Is.NOT_OURS
        return _Is.UNASKED if paid else _Is.OPEN
    attempt = int(outgoing.key.rpartition(":")[2] or known.attempt) if outgoing.key else known.attempt
    if known.state in _WAITING and attempt == known.attempt:
        return _Is.NEWER
    if known.state.final and known.state is not PaymentState.SUCCEEDED:
        return _Is.UNASKED if paid else _Is.OPEN
    return _Is.UNASKED if paid and attempt < known.attempt else _Is.KNOWN


async def _some(records: AsyncIterator[T]) -> Sequence[T]:
    """The next ones, a bounded number of them."""
    found: list[T] = []
    try:
        async for each in records:
            found.append(each)
            if len(found) == _AT_ONCE:
                break
    finally:
        close = getattr(records, "aclose", None)
        if close is not None:
            await close()
    return found
