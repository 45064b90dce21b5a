"""The heartbeat of a serving process: it says that it lives and what its calls have used, and looks after orphans."""

from __future__ import annotations

import logging

from arbstr_core.api import Clock
from arbstr_core.flow._lease import Lease
from arbstr_core.flow.call import CallFlow
from arbstr_core.types import StorageError, VaultUnavailable
from arbstr_core.vault import Job, Vault

_log = logging.getLogger("arbstr.flow")

_SHORT_SECONDS = 5.0
"""Calls that end within so long are never named with what they used: most cost no heartbeat anything."""
_AGAIN_SECONDS = 1.0
"""How soon a heartbeat that failed is tried again."""


class Heartbeat:
    """Beats every `seconds`. `sweeps`: it looks after what other processes leave open, too."""

    def __init__(
        self,
        calls: CallFlow,
        vault: Vault,
        clock: Clock,
        *,
        seconds: float,
        lease: Lease | None = None,
        sweeps: bool = True,
    ) -> None:
        self._calls = calls
        self._vault = vault
        self._clock = clock
        self._seconds = seconds
        self._lease = lease
        self._sweeps = sweeps

    async def begin(self) -> int:
        """Take the lease, and end what earlier processes left open; how much it was. Before calls are served."""
        await self.beat()
        return await self._vault.sweep_orphans() if self._sweeps else 0

    async def beat(self) -> None:
        """Beat once. Raises StorageError or VaultUnavailable."""
        asked_at = self._clock.monotonic()
        beat = await self._vault.heartbeat(self._calls.live(older_than=_SHORT_SECONDS))
        if self._lease is not None:
            self._lease.renewed(asked_at, lapsed=beat.lapsed)
        if beat.ended:
            _log.critical("%d holds were in no call any more, and were ended", beat.ended)

    async def run(self) -> None:
        """Beat for ever."""
        wait = self._seconds
        while True:
            await self._clock.sleep(wait)
            try:
                await self.beat()
                wait = self._seconds
            except (StorageError, VaultUnavailable) as broken:
                _log.error("the heartbeat failed: %s", broken)
                wait = min(self._seconds, _AGAIN_SECONDS)

    async def sweep(self) -> None:
        """On a shared database: end what processes left open that are gone, for ever. One process at a time does it,
        though two at once would do no harm."""
        while True:
            await self._clock.sleep(self._seconds)
            try:
                if await self._vault.take_job(Job.SWEEPER, seconds=self._vault.lease_seconds) is None:
                    continue
                orphans = await self._vault.sweep_orphans()
            except (StorageError, VaultUnavailable) as broken:
                _log.error("holds of processes that are gone were not ended: %s", broken)
                continue
            if orphans:
                _log.warning("%d holds of processes that are gone were ended", orphans)

    async def leave(self) -> None:
        """Say that this process ends, so that nobody waits for its lease."""
        try:
            await self._vault.leave()
            if self._vault.shared and self._sweeps:
                await self._vault.lose_job(Job.SWEEPER)
        except (StorageError, VaultUnavailable) as broken:
            _log.error("the end of this process could not be written down: %s", broken)
