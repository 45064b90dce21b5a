"""The sweep over clients rests where nobody is served, and is there again with the next one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arbstr_core.web import _watch
from arbstr_core.web._watch import Watches


async def _nothing() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


def awaited(task: asyncio.Task[None]) -> str:
    """What a task's own coroutine waits for."""
    own: Any = task.get_coro()
    return str(own.cr_await.__qualname__)


def test_the_sweep_rests_where_nobody_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watch, "_SWEEP_SECONDS", 0.0)

    async def story() -> None:
        watches = Watches(stall_seconds=60)
        sweeping = asyncio.create_task(watches.sweep())
        for _ in range(3):
            for _ in range(5):
                await asyncio.sleep(0)
            assert awaited(sweeping) == "Event.wait", "it looks, and nobody is there"
            watch = watches.begin(_nothing, watches.task(), lambda _: False)
            while not watch.seen:
                await asyncio.sleep(0)
            watches.end(watch)
        sweeping.cancel()

    asyncio.run(story())
