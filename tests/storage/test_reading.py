"""Long reading, shared out to processes: all see one state, and what goes wrong in another is told here."""

from __future__ import annotations

import asyncio
import operator
from functools import partial

import pytest
from notes import NOTES, Write

from arbstr_core.types import StorageError
from arbstr_core.vault._checks import first


def told(query):
    """Work that another process can do: the text of the first row's first value."""
    return partial(first, "{0}", query)


def test_all_readers_see_one_state_whatever_is_written_meanwhile(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            await db.submit(Write(1))
            loop = asyncio.get_running_loop()

            def work(readers):
                seen = [readers[0].run(told("SELECT count(*) FROM note"))]
                asyncio.run_coroutine_threadsafe(written(2), loop).result(30)
                return seen + [reader.run(told("SELECT count(*) FROM note")) for reader in readers]

            async def written(n):
                await db.submit(Write(n))

            assert await db.read_together(work, 3) == ["1"] * 4
            assert await db.read_together(work_of_one("SELECT count(*) FROM note"), 1) == "2"

    asyncio.run(story())


def work_of_one(query):
    return lambda readers: readers[-1].run(told(query))


def test_what_a_database_refuses_elsewhere_is_told_with_its_name(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            for count in (1, 2):
                with pytest.raises(StorageError, match="absent") as refused:
                    await db.read_together(work_of_one("SELECT * FROM absent"), count)
                assert db.name in str(refused.value)

    asyncio.run(story())


@pytest.mark.parametrize(("deed", "status"), [("kill", "-9"), ("fault", "1")])
def test_a_reader_that_dies_is_told_and_leaves_nothing_behind(either, capfd, deed, status):
    async def story():
        async with either(schemas=[NOTES]) as db:

            def work(readers):
                if deed == "kill":
                    readers[1]._process.kill()
                    readers[1].run(told("SELECT count(*) FROM note"))
                readers[1].run(operator.methodcaller("nothing_of_the_kind"))

            with pytest.raises(StorageError, match=f"ended with status {status}"):
                await db.read_together(work, 2)
            assert await db.read_together(work_of_one("SELECT count(*) FROM note"), 2) == "0"

    asyncio.run(story())
    assert ("nothing_of_the_kind" in capfd.readouterr().err) is (deed == "fault")
