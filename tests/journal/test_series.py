"""Sums of the request log over time, on both databases."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from arbstr_core.journal import CallRow, Journal, RequestFilter, Series, schema
from arbstr_core.storage import Database
from arbstr_core.testing import FakeClock

HOUR = 3_600_000


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return "sqlite:///arbstr.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def test_names_that_cost_most_have_lines_of_their_own(tmp_path: Path, url: str) -> None:
    async def story() -> None:
        clock = FakeClock()
        db = Database.open(url, data_dir=tmp_path, clock=clock, schemas=[schema()])
        log, series = Journal(db, clock), Series(db)
        began = clock.now_ms()
        for n, (model, charged, outcome) in enumerate(
            [("a", 5, "complete"), ("b", 2**40, "complete"), ("c", 1, "cut"), ("b", 7, "complete"), ("", 0, "NotFound")]
        ):
            at = clock.now_ms()
            row = {"agent": "ag_1", "model": model, "status": 200, "outcome": outcome, "charged_msat": charged}
            log.note(CallRow(id=f"req_{at:012x}{n:016x}", input_tokens=10, total_ms=30, **row))
            clock.advance(HOUR / 1000)
        await log.flush()
        wanted = RequestFilter(since_ms=began, until_ms=clock.now_ms())
        found = await series.read(wanted, by="model", most=2, step_ms=HOUR)
        assert found.names == ("b", "a")
        first = began // HOUR
        assert sorted(
            (step - first, name or "-", sums.charged_msat, sums.good) for step, name, sums in found.steps
        ) == [*((0, "a", 5, 1), (1, "b", 2**40, 1), (2, "-", 1, 0), (3, "b", 7, 1), (4, "-", 0, 0))]
        ((_, name, sums),) = (await series.read(wanted, by="agent", most=5, step_ms=100_000 * HOUR)).steps
        assert (name, sums.calls, sums.good, sums.input_tokens, sums.latency_ms) == ("ag_1", 5, 3, 50, 150)
        before = RequestFilter(since_ms=0, until_ms=began)
        assert (await series.read(before, by="provider", most=5, step_ms=HOUR)).names == ()
        await db.close()

    asyncio.run(story())
