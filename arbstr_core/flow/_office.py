"""The treasury's job, as this process has it: one process at a time moves money over rails.

What follows deposits, sends payments and compares rails with the ledger shares one office, and asks it for the turn
before each step. The lease is renewed at half of its time. A process that was asleep has lost its turn by then,
and what it still wants to write is refused.
"""

from __future__ import annotations

import logging

from arbstr_core.api import Clock
from arbstr_core.types import StorageError, VaultUnavailable
from arbstr_core.vault import Job, LostTurn, Treasury, Turn, Vault

_log = logging.getLogger("arbstr.flow")

_log = logging.getLogger("arbstr.flow")

_SECONDS = 30.0
_LONGEST_REST_SECONDS = 5.0


class Office:
    """See the module. `alone`: the database is this process's alone, so whoever had the job before has died."""

    def __init__(
        self, vault: Vault, treasury: Treasury, clock: Clock, *, seconds: float = _SECONDS, alone: bool = False
    ) -> None:
        self._vault = vault
        self._treasury = treasury
        self._clock = clock
        self._seconds = seconds
        self._alone = alone
        self._turn: Turn | None = None
        self._until = 0.0

    async def turn(self) -> Turn | None:
        """The turn to name with what is written now; None while another process has the job."""
        now = self._clock.monotonic()
        if self._turn is None or now >= self._until:
            fence = await self._vault.take_job(Job.TREASURY, seconds=self._seconds, alone=self._alone)
            self._turn = None if fence is None else self._treasury.turn(fence)
            self._until = now + self._seconds / 2
        return self._turn

    async def rest_seconds(self, least: float) -> float:
        """How long there is nothing to do, for whoever is told of what this process writes down: `least` seconds where
        other processes write too, else until the next payment or request is due. Raises StorageError."""
        if not self._alone:
            return least
        due_ms = await self._treasury.next_due_ms()
        left = _LONGEST_REST_SECONDS if due_ms is None else (due_ms - self._clock.now_ms()) / 1000
        return max(least, min(left, _LONGEST_REST_SECONDS))

    async def sure(self) -> Turn:
        """The same; raises LostTurn where another process has the job."""
        turn = await self.turn()
        if turn is None:
            raise LostTurn("another process moves money now")
        return turn

    def lost(self) -> None:
        """The vault said that the turn is over: ask for another."""
        self._turn = None

    async def leave(self) -> None:
        """This process moves no more money: another need not wait for the lease."""
        self._turn = None
        try:
            await self._vault.lose_job(Job.TREASURY)
        except (StorageError, VaultUnavailable) as broken:
            _log.error("the treasury's lease could not be given back, and ends by itself: %s", broken)
