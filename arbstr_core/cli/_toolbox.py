"""What a plugin is handed and lives by: its tools, made once for the objects that it makes with one configuration."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from arbstr_core import config
from arbstr_core.api import Clock
from arbstr_core.config import Settings
from arbstr_core.net import Guard, UpstreamPools, control_client, origins_in
from arbstr_core.plugins import PluginTools, Supervisor
from arbstr_core.storage import Cipher, Database, PluginStore
from arbstr_core.types import ConfigError, Secret, SecretRef

_GRACE_SECONDS = 10.0

Learn = Callable[[bytes], None]
"""Told of each secret that is read, so that no log shows it"""


def nothing(secret: bytes) -> None:
    """Learn nothing."""


class Toolkit:
    """The tools of one plugin whose table is `table`."""

    def __init__(self, box: Toolbox, settings: Settings, stem: str) -> None:
        self.table: Mapping[str, Any] = settings.plugins.get(stem, {})
        self._seen: dict[str, bytes] = {}
        self._learn = box.learn
        self._find = partial(config.resolve_bytes, base=settings.base)
        guard = Guard(frozenset(origins_in(self.table)))
        self._http = control_client(guard)
        self._tasks = box.supervisor.anew(stem)
        self.tools = PluginTools(
            http=self._http,
            upstream=box.pools.client(guard),
            clock=box.clock,
            log=logging.getLogger(f"arbstr.plugins.{stem}"),
            store=PluginStore(box.database, box.cipher, stem),
            tasks=self._tasks,
            data_dir=settings.data_dir / stem,
            secret=partial(self._secret, settings),
            secret_bytes=self._secret_bytes,
            port=guard.port,
        )

    def holds(self) -> bool:
        """Whether everything that the plugin was told by reference is still what is there."""
        try:
            return all(self._digest(SecretRef(ref)) == digest for ref, digest in self._seen.items())
        except ConfigError:
            return False

    async def aclose(self) -> None:
        """End its background work, and let go of its connections."""
        await self._tasks.aclose(_GRACE_SECONDS)
        await self._http.aclose()

    def _secret(self, settings: Settings, ref: SecretRef) -> Secret | None:
        self._note(ref)
        return config.resolve_secret(ref, settings.base)

    def _secret_bytes(self, ref: SecretRef) -> bytes | None:
        return self._note(ref) or None

    def _note(self, ref: SecretRef) -> bytes:
        found = self._find(ref) or b""
        self._learn(found)
        self._seen[ref.ref] = hashlib.sha256(found).digest()
        return found

    def _digest(self, ref: SecretRef) -> bytes:
        return hashlib.sha256(self._find(ref) or b"").digest()


class Toolbox:
    """What all toolkits share."""

    def __init__(
        self,
        database: Database,
        cipher: Cipher,
        pools: UpstreamPools,
        supervisor: Supervisor,
        clock: Clock,
        learn: Learn = nothing,
    ) -> None:
        self.database = database
        self.cipher = cipher
        self.pools = pools
        self.supervisor = supervisor
        self.clock = clock
        self.learn = learn
