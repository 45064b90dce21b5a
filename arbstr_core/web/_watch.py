"""Notices a client that leaves: a client that does so does not cancel a raw ASGI application."""

from __future__ import annotations

import asyncio
from typing import Any

from arbstr_core.web._asgi import Receive

_BEGIN_SECONDS = 0.05
"""Most calls are over by then, and a task for each would cost more than it tells."""


class Watch:
    """Cancels `task` once its client is gone, and says so; until `stop`."""

    def __init__(self, receive: Receive, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.gone = False
        self._receive = receive
        self._looking: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_BEGIN_SECONDS, self._begin)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self.task.cancel()
