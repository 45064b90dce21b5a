"""A 402 that can be paid: what is missing, as an invoice and as a request for ecash.

Only a call that is refused comes here, and it waits a bounded time: where a rail is slow, or an agent has too many open
invoices, the 402 is one without. An invoice that suffices is shown again and again until it is paid, so an agent in a
loop makes no more than a few.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from arbstr_core.accounts import L402
from arbstr_core.api import Clock, Msat, RailCapability
from arbstr_core.flow._teller import Teller
from arbstr_core.rails import Rails, Raised, answered
from arbstr_core.types import (
    ArbstrError,
    BadRequest,
    Caller,
    Conflict,
    InsufficientFunds,
    WayToPay,
    format_amount,
)
from arbstr_core.vault import Purpose, RequestKind, RequestRecord, Requests, RequestState, Vault

_log = logging.getLogger("arbstr.flow")

_EXPIRES_SECONDS = 600
_FRESH_MS = 60_000
"""an invoice that expires sooner is not shown any more"""
_MOST_OPEN = 3
_MOST_MORE = 4
"""an invoice for so many times what is missing is still shown: nobody is asked for much more than a call needs"""
_ANSWER_SECONDS = 2.0
_ECASH_SECONDS = 1.0
_AGAIN_SECONDS = 1.0
"""how long an agent is shown what it was shown last, or gets no invoice where none could be made"""
_KEPT = 10_000
_SAT = 1000
_SEEN_SECONDS = 2.0
"""how long a call waits for an invoice to be credited whose preimage came with it"""
_LOOK_SECONDS = 0.02


class Bills:
    """See the module."""

    def __init__(
        self, teller: Teller, requests: Requests, rails: Rails, vault: Vault, l402: L402, clock: Clock
    ) -> None:
        self._teller = teller
        self._requests = requests
        self._rails = rails
        self._vault = vault
        self._l402 = l402
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, float] = {}
        self._last: dict[str, tuple[float, WayToPay]] = {}

    async def payable(self, refused: InsufficientFunds, caller: Caller) -> InsufficientFunds:
        """The refusal, with a way to pay what is missing, where there is one soon enough."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS + _ECASH_SECONDS):
                way = await self._way(refused, caller)
        except (ArbstrError, TimeoutError) as failed:
            _log.info("no invoice for %s: %s", caller.agent, failed)
            way = None
        if way is None:
            return refused
        return InsufficientFunds(
            f"{refused}. Or pay {format_amount(way.amount_msat)}: `payment` has an invoice; once it is paid, the same "
            "call goes through",
            needed_msat=refused.needed_msat,
            available_msat=refused.available_msat,
            payment=way,
        )

    async def credited(self, payment_hash: str) -> None:
        """Wait a moment for the credit of an invoice that was paid: its preimage has come, and so will the money."""
        end = self._clock.monotonic() + _SEEN_SECONDS
        while self._clock.monotonic() < end:
            found = await self._requests.by_reference(payment_hash)
            if found is None or found.state is not RequestState.OPEN:
                return
            await self._clock.sleep(_LOOK_SECONDS)

    async def ecash(self, realm: str, msat: int, memo: str = "") -> str:
        """What a wallet is to send as a token; empty where no rail takes any."""
        for rail in self._rails.within(realm, RailCapability.ECASH):
            said = await answered(rail.ecash_request(Msat(_in_sats(msat)), memo), seconds=_ECASH_SECONDS)
            if not isinstance(said, Raised):
                return said
        return ""

    async def _way(self, refused: InsufficientFunds, caller: Caller) -> WayToPay | None:
        missing = refused.needed_msat - refused.available_msat
        async with self._lock(caller.agent):
            # Where a rail makes no invoice for so little, it is the smallest that it makes.
            wanted = max(missing, await self._teller.least(caller.realm))
            last = self._last.get(caller.agent)
            now = self._clock.monotonic()
            if last is not None and now < last[0] + _AGAIN_SECONDS and _suffices(last[1].amount_msat, wanted):
                return last[1]
            way = await self._new_way(caller, wanted)
            if way is not None:
                if len(self._last) >= _KEPT:
                    self._last.clear()
                self._last[caller.agent] = self._clock.monotonic(), way
            return way

    async def _new_way(self, caller: Caller, wanted: int) -> WayToPay | None:
        found = await self._shown(caller, wanted) or await self._made(caller, wanted)
        if found is None or found.text is None or found.reference is None:
            return None
        token_hash = await self._vault.token_of(caller.agent)
        return WayToPay(
            deposit=found.id,
            amount_msat=found.amount_msat,
            invoice=found.text,
            expires_ms=found.expires_ms or 0,
            macaroon="" if token_hash is None else self._l402.macaroon(token_hash, found.reference),
            ecash=await self.ecash(caller.realm, found.amount_msat, found.memo),
        )

    async def _shown(self, caller: Caller, wanted: int) -> RequestRecord | None:
        """An invoice of the agent that suffices, and can be paid for a while yet."""
        found: Sequence[RequestRecord] = await self._requests.list(
            agents=[caller.agent], kind=RequestKind.INVOICE, state=RequestState.OPEN, most=_MOST_OPEN * 4
        )
        soonest = self._clock.now_ms() + _FRESH_MS
        fit = [
            each
            for each in found
            if _suffices(each.amount_msat, wanted)
            and (each.expires_ms or 0) > soonest
            and each.purpose is Purpose.DEPOSIT
        ]
        return min(fit, key=lambda each: each.amount_msat, default=None)

    async def _made(self, caller: Caller, wanted: int) -> RequestRecord | None:
        failed = self._failed.get(caller.agent)
        if failed is not None and self._clock.monotonic() < failed + _AGAIN_SECONDS:
            return None
        try:
            found = await self._asked(caller, wanted)
        except (BadRequest, Conflict) as none:
            _log.info("no invoice for %s: %s", caller.agent, none)
            found = None
        if found is None or found.state is not RequestState.OPEN:
            if len(self._failed) >= _KEPT:
                self._failed.clear()
            self._failed[caller.agent] = self._clock.monotonic()
            return None
        self._failed.pop(caller.agent, None)
        return found

    async def _asked(self, caller: Caller, wanted: int) -> RequestRecord:
        opened = await self._teller.invoice(
            caller.realm,
            _in_sats(wanted),
            agent=caller.agent,
            memo="arbstr call",
            expires_seconds=_EXPIRES_SECONDS,
            most_open=_MOST_OPEN,
        )
        return await self._teller.answered(opened, seconds=_ANSWER_SECONDS)

    def _lock(self, agent: str) -> asyncio.Lock:
        """One at a time of an agent: the others find what it made."""
        if len(self._locks) >= _KEPT:
            self._locks = {name: lock for name, lock in self._locks.items() if lock.locked()}
        return self._locks.setdefault(agent, asyncio.Lock())


def _suffices(amount: int, wanted: int) -> bool:
    """Whether an invoice for `amount` is one for what is wanted: enough, and not much more than a call needs."""
    return wanted <= amount <= max(wanted * _MOST_MORE, _SAT)


def _in_sats(msat: int) -> int:
    """Rounded up to what every rail moves."""
    return -(-msat // _SAT) * _SAT
