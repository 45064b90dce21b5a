"""Virtual time: hours pass at once, in order, and what waits for ever is found out."""

from __future__ import annotations

import asyncio
import time

import pytest

from arbstr_core.testing import VirtualClock, in_virtual_time
from arbstr_core.testing import _loop as loop


def test_hours_pass_at_once_and_in_order() -> None:
    woke: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        clock = VirtualClock()
        began = clock.now_ms()
        await clock.sleep(seconds)
        assert clock.now_ms() - began == seconds * 1000
        woke.append((name, clock.monotonic()))

    async def story() -> None:
        await asyncio.gather(sleeper("b", 7200), sleeper("a", 0.25), sleeper("c", 7200.5))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()

    began = time.monotonic()
    in_virtual_time(story())
    assert woke == [("a", 0.25), ("b", 7200.0), ("c", 7200.5)]
    assert time.monotonic() - began < 60


def test_threads_are_waited_for() -> None:
    async def story() -> str:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: "done")

    assert in_virtual_time(story()) == "done"


def test_what_cannot_come_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_STUCK_SECONDS", 0.01)

    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(loop.Stuck, match="every task waits"):
        in_virtual_time(story())
