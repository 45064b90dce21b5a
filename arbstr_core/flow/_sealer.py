"""The sealer of a serving process: on a shared database the audit's rows are chained within a second."""

from __future__ import annotations

import logging

from arbstr_core.api import Clock
from arbstr_core.types import StorageError, VaultUnavailable
from arbstr_core.vault import Vault

_log = logging.getLogger("arbstr.flow")

_SECONDS = 0.5


async def keep_sealing(vault: Vault, clock: Clock) -> None:
    """Chain what waits, for ever, whenever this process is the one that does."""
    while True:
        await clock.sleep(_SECONDS)
        try:
            await vault.seal()
        except (StorageError, VaultUnavailable) as broken:
            _log.error("the audit could not be chained: %s", broken)
