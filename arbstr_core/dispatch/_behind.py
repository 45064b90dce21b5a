"""Attempts that nobody waits for any more: they end by themselves, and what they opened is closed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from arbstr_core.dispatch._attempt import FailedAttempt
from arbstr_core.dispatch._open_reply import OpenReply
from arbstr_core.types import ReplyCut

_log = logging.getLogger("arbstr.dispatch")


class Behind:
    """Follows them until `aclose`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def follow(self, task: asyncio.Task[OpenReply]) -> None:
        """Close the reply of `task` once it has one."""
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def aclose(self) -> None:
        """End them."""
        while self._tasks:
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # What they opened is closed by tasks of their own.
            await asyncio.sleep(0)

    def _ended(self, task: asyncio.Task[OpenReply]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        failed = task.exception()
        if failed is None:
            closing = asyncio.get_running_loop().create_task(_closed(task.result()))
            self._tasks.add(closing)
            closing.add_done_callback(self._tasks.discard)
        elif not isinstance(failed, FailedAttempt):
            _log.error("an attempt that nobody waited for failed", exc_info=failed)


async def _closed(opened: OpenReply) -> None:
    try:
        await opened.aclose()
    except ReplyCut as failed:
        _log.warning("%s", failed, exc_info=failed)
