"""The rooms a call walks through."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from arbstr_core.api import Clock
from arbstr_core.dispatch import Dispatch
from arbstr_core.flow._lease import Lease
from arbstr_core.market import Market
from arbstr_core.routing import Router
from arbstr_core.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRooms:
    """What a call needs of the house. `vault` is None where it is switched off: nothing is held, nothing charged."""

    market: Market
    router: Router
    dispatch: Dispatch
    vault: Vault | None
    clock: Clock
    lease: Lease | None = None
    """what this process must keep to serve; None where no other process may take its place"""
    retry_seconds: float = 0.25
    """how long to wait before an end that the database refused is tried again; twice as long each time"""
    most_retry_seconds: float = 5.0
    jitter: Callable[[], float] = random.random
    """from 0 to 1: how much of half a wait is left out, so that not all try again at once"""
    settle_seconds: float = 10.0
    """how long a whole answer waits for its charge to be durable; then it is withheld"""
    drain_seconds: float = 10.0
    """how long a reply is read on whose caller has left, to see what it used"""


class CallSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the request log keeps of a call that ended. `status` is what the caller got, 0 for nothing."""

    status: int
    outcome: str
    provider: str
    charged_msat: int
    total_ms: int
