"""A call that comes with the ecash that pays for it: as every other, but that a token is redeemed between plan and
hold, and change is made at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from arbstr_core.flow._exchange import Exchange
from arbstr_core.flow._remedies import Remedies
from arbstr_core.flow._rooms import CallRooms
from arbstr_core.flow._singles import Single
from arbstr_core.journal import CallRow
from arbstr_core.types import ChatCall, Plan


class PaidExchange(Exchange):
    """See the module. What is asked again is asked with the same token, and that pays once: there are no retries."""

    __slots__ = ("_single", "header")

    def __init__(
        self, rooms: CallRooms, call: ChatCall, single: Single, closed: Callable[[Exchange, CallRow], None]
    ) -> None:
        # Nobody pays an invoice for an account that ends with the call.
        super().__init__(replace(rooms, bills=None), call, single.caller, closed)
        self._single = single
        self.header = single.header
        """where the change goes"""

    async def _planned(self) -> Plan:
        single, rooms = self._single, self._rooms
        self._caller = await single.read()
        plan = rooms.planned(self.call, self._caller)
        await single.pay(plan.candidates, Remedies(self.call, rooms.dispatch, rooms.clock, single.fits))
        return plan

    async def change(self) -> str:
        """The change, for a header of the answer: once the call has ended, and where it is made soon enough."""
        await self.finish()
        return await self._single.change()

    async def close(self) -> None:
        """End the call, and have its change made."""
        try:
            await super().close()
        finally:
            self._single.ended()
