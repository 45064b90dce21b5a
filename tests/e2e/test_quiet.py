"""A server with nothing to do does hardly anything: what goes on all day is paid for by every call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from house import run, serving, write

from arbstr_core.storage import Database

SECONDS = 10
MOST = 30
"""It was 80 when everyone looked for himself, and is 13. A slow machine looks more seldom, never more often."""


def test_a_server_that_is_not_asked_seldom_reads_its_database(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    read = Database.read

    async def noted(self: Database, work: Callable[..., Any]) -> Any:
        asked.append(f"{work.__module__}.{work.__qualname__}")
        return await read(self, work)

    async def story() -> None:
        async with serving(write(tmp_path)) as served:
            await served.agent()
            await asyncio.sleep(1)
            asked.clear()
            await asyncio.sleep(SECONDS)
            assert len(asked) <= MOST, asked
            assert asked, "nobody looks after what is due"
            assert (await served.http.get("/readyz")).status_code == 200

    monkeypatch.setattr(Database, "read", noted)
    run(story())
