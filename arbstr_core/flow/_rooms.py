"""The rooms a call walks through."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from arbstr_core.api import Clock
from arbstr_core.dispatch import Dispatch
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
    retry_seconds: float = 0.25
    """how long to wait before an end that the database refused is tried again"""


class CallSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the request log keeps of a call that ended. `status` is what the caller got, 0 for nothing."""

    status: int
    outcome: str
    provider: str
    charged_msat: int
    total_ms: int
