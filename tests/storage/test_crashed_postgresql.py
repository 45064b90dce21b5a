"""A PostgreSQL that crashed forgets numbers of transactions and gives them away again: they prove nothing then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cutting import Cutter, What, When
from notes import NOTES, Write, ids
from postgres import Cluster, database

from arbstr_core.storage import Database, NotCommitted


@pytest.fixture
def lazy() -> Iterator[Cluster]:
    """A server that writes late what nobody waits for, so a crash loses it."""
    with Cluster(wal_writer_delay="10000ms") as cluster:
        yield cluster


def test_a_number_that_another_transaction_got_is_no_answer(tmp_path: Path, lazy: Cluster, clock: object) -> None:
    async def story(url: str, cutter: Cutter) -> None:
        db = Database.open(cutter.url, data_dir=tmp_path, clock=clock, schemas=[NOTES])  # type: ignore[arg-type]
        try:
            await db.submit(Write(1000))
            cutter.at_commit(1, When.BEFORE, What.STALL)
            future = db.submit(Write(1))
            await asyncio.to_thread(cutter.wait, lambda c: c.stalls == 1)
            with psycopg.connect(url, autocommit=True) as other:
                held = "SELECT backend_xid::text::bigint FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
                ((number,),) = other.execute(held).fetchall()
            lazy.kill()
            lazy.start()
            with psycopg.connect(url, autocommit=True) as other:
                given: list[int] = []
                while not given or given[-1] < number:
                    given += other.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or ()
                assert number in given
                assert other.execute("SELECT pg_xact_status(%s::text::xid8)", [number]).fetchone() == ("committed",)
            cutter.cut()
            with pytest.raises(NotCommitted, match="the server crashed"):
                await future
            assert await db.read(ids) == [1000]
            assert await db.submit(Write(2)) == 1
        finally:
            await db.close()

    with database(lazy) as url, Cutter(url) as cutter:
        asyncio.run(story(url, cutter))
