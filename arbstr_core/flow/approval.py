"""Approvals on their way: who waits for a decision, what wakes them, and when nobody decided in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import Counter

from arbstr_core.api import Clock
from arbstr_core.flow._refusal import undecided, vault_unavailable
from arbstr_core.types import Caller, ChatCall, StorageError
from arbstr_core.vault import ApprovalNeeded, ApprovalState, Vault

_log = logging.getLogger("arbstr.flow")

MOST_WAIT_SECONDS = 600
_MOST_WAITING = 8
"""connections of one agent that may wait at one time"""
_LOOK_SECONDS = 0.5
"""how often a decision that another process took is looked for"""
_TEND_SECONDS = 5.0
_WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})(?![\w.])', re.IGNORECASE)
_OPEN = frozenset({ApprovalState.PENDING, ApprovalState.HELD})
_PASSED = frozenset({ApprovalState.GRANTED, ApprovalState.USED})


def patience(prefer: str) -> int:
    """The seconds of `wait` in a Prefer header (RFC 7240, 4.3), no more than MOST_WAIT_SECONDS; 0 where it has none."""
    found = _WAIT.search(prefer)
    return min(int(found[1]), MOST_WAIT_SECONDS) if found else 0


class Approvals:
    """Wakes those that wait for an operator's decision, and sees that none is waited for too long."""

    def __init__(
        self,
        vault: Vault,
        clock: Clock,
        *,
        most_waiting: int = _MOST_WAITING,
        look_seconds: float = _LOOK_SECONDS,
        tend_seconds: float = _TEND_SECONDS,
    ) -> None:
        self._vault = vault
        self._clock = clock
        self._most_waiting = most_waiting
        self._look_seconds = look_seconds
        self._tend_seconds = tend_seconds
        self._waiting: Counter[str] = Counter()
        self._told: dict[str, set[asyncio.Event]] = {}
        """those that wait for an approval, by its id"""
        self._stopping = False
        vault.tell(self._wake)

    async def wait(self, needed: ApprovalNeeded, agent: str, *, until: float) -> ApprovalState:
        """Wait for a decision until then, on the monotonic clock; how the approval stands."""
        if self._waiting[agent] >= self._most_waiting:
            return ApprovalState.PENDING
        self._waiting[agent] += 1
        told = asyncio.Event()
        self._told.setdefault(needed.id, set()).add(told)
        try:
            while not self._stopping:
                told.clear()
                state = await self._state(needed.id)
                left = until - self._clock.monotonic()
                if state not in _OPEN or left <= 0:
                    return state
                await _decided(told, min(left, self._look_seconds))
            return ApprovalState.PENDING
        finally:
            self._told[needed.id].remove(told)
            if not self._told[needed.id]:
                del self._told[needed.id]
            self._waiting[agent] -= 1
            if not self._waiting[agent]:
                del self._waiting[agent]

    async def _state(self, approval_id: str) -> ApprovalState:
        found = await self._vault.approval(approval_id)
        assert found is not None, f"approval {approval_id} was there before"
        return found.state

    def stop(self) -> None:
        """Nobody waits any longer."""
        self._stopping = True
        for approval_id in self._told:
            self._wake(approval_id)

    def _wake(self, approval_id: str) -> None:
        for told in self._told.get(approval_id, ()):
            told.set()

    async def tend(self) -> None:
        """End what nobody decided in time, ever again."""
        while True:
            try:
                while await self._vault.expire_approvals(self._clock.now_ms()):
                    pass
            except StorageError as broken:
                _log.warning("approvals are not looked after now: %s", broken)
            await self._clock.sleep(self._tend_seconds)


async def _decided(told: asyncio.Event, at_most: float) -> None:
    """Until it is decided here, or it is time to look what others did."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most):
            await told.wait()


async def decision(
    approvals: Approvals | None, needed: ApprovalNeeded, call: ChatCall, caller: Caller, began: float
) -> None:
    """Wait for an operator as long as the caller asked to, counted from when the call `began`. Raises ApprovalRequired,
    or ApprovalDenied, unless the call is worth asking for anew."""
    until = began + patience(call.hints.get("prefer", ""))
    state = ApprovalState.PENDING
    try:
        if approvals is not None:
            state = await approvals.wait(needed, caller.agent, until=until)
    except StorageError as broken:
        raise vault_unavailable(broken) from broken
    if state not in _PASSED:
        raise undecided(needed, state)
