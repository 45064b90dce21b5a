"""The rooms a call walks through."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from arbstr_core.api import Clock
from arbstr_core.dispatch import Dispatch
from arbstr_core.flow._bills import Bills
from arbstr_core.flow._caps import in_msat
from arbstr_core.flow._lease import Lease
from arbstr_core.flow._refusal import refusal
from arbstr_core.flow._singles import Singles
from arbstr_core.flow._waiting import Alarm
from arbstr_core.flow.approval import Approvals
from arbstr_core.journal import Experience
from arbstr_core.market import Market
from arbstr_core.routing import Router
from arbstr_core.storage import Cipher
from arbstr_core.types import (
    Caller,
    CallRefused,
    ChatCall,
    InsufficientFunds,
    ModelNotFound,
    Plan,
    Standing,
)
from arbstr_core.vault import Refused, Vault, body_digest
from arbstr_core.wire import suffixed


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRooms:
    """What a call needs of the house. `vault` is None where it is switched off: nothing is held, nothing charged."""

    market: Market
    router: Router
    dispatch: Dispatch
    vault: Vault | None
    clock: Clock
    experience: Experience = field(default_factory=Experience)
    approvals: Approvals | None = None
    """who waits for an operator; None with the vault"""
    body_key: bytes = b""
    """what bodies are digested with, so that the same call is known again; empty: nothing is put before an operator"""
    cipher: Cipher | None = None
    """what answers are sealed with for those who ask again; None: every request is a call of its own"""
    lease: Lease | None = None
    """what this process must keep to serve; None where no other process may take its place"""
    bills: Bills | None = None
    """what makes a 402 that can be paid; None: the operator alone can fund an agent"""
    singles: Singles | None = None
    """what takes calls that come with the ecash that pays for them; None: nobody does"""
    retry_seconds: float = 0.25
    """how long to wait before an end that the database refused is tried again; twice as long each time"""
    most_retry_seconds: float = 5.0
    jitter: Callable[[], float] = random.random
    """from 0 to 1: how much of half a wait is left out, so that not all try again at once"""
    settle_alarm: Alarm = field(default_factory=partial(Alarm, 10.0))
    """how long a whole answer waits for its charge to be durable; then it is withheld"""
    end_alarm: Alarm = field(default_factory=partial(Alarm, 0.05))
    """how long the end of a stream, or a refusal, waits for the end to be durable, before it goes out all the same"""
    drain_seconds: float = 10.0
    """how long a reply is read on whose caller has left, to see what it used"""

    def understood(self, call: ChatCall) -> ChatCall:
        """`call` with what stands behind its model's name read, where no model has that name, and the prices that it
        names in msat. Raises BadRequest."""
        snapshot, knobs = self.market.snapshot, call.knobs
        if knobs is not None and knobs.max_price is not None:
            call = msgspec.structs.replace(call, knobs=in_msat(knobs, snapshot.fx))
        if ":" in call.model and snapshot.find(call.model) is None:
            found = suffixed(call.model, call.knobs)
            if found is not None:
                return msgspec.structs.replace(call, named=call.model, model=found[0], knobs=found[1])
        return call

    def planned(self, call: ChatCall, caller: Caller) -> Plan:
        """Whom to ask, and for how much. Raises what the call is refused with."""
        row = self.market.find(call.model)
        if row is None:
            raise ModelNotFound(f"The model {call.model!r} does not exist here; GET /v1/models lists those that do")
        known, now = self.experience.habits(caller.agent), self.dispatch.standing()
        standing = Standing(now.records, now.shut, now.waiting, known, row.tiers)
        return self.router.plan(call, caller, row.listings, row.out, standing)

    async def refused(self, refused: Refused, caller: Caller) -> CallRefused:
        """What the caller of a call is told that no money was held for."""
        said = refusal(refused, caller)
        if self.bills is not None and isinstance(said, InsufficientFunds):
            return await self.bills.payable(said, caller)
        return said

    def digest(self, call: ChatCall) -> bytes:
        """What the same call is known by when it comes again."""
        return body_digest(self.body_key, call.endpoint, call.body)
