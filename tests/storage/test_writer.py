"""Group commit: what waits together is one transaction, and one bad operation does not spoil the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from notes import NOTE, NOTES, ONE, REWRITE, Poison, Settle, Wait, Write, count, ids, together

from arbstr_core.storage import Database, Dialect, Operation, RunFirst, Statement, constant
from arbstr_core.types import Overloaded, StorageError, VaultUnavailable


class Die(Operation[None]):
    """Raises what no operation should."""

    def run(self, tx: Any) -> None:
        raise SystemExit("the thread ends")


def test_what_waits_together_shares_one_transaction(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            wait = Wait()
            held = db.submit(wait)
            await asyncio.to_thread(wait.entered.wait, 30)
            futures = [db.submit(Write(n)) for n in range(10)]
            wait.go.set()
            await held
            assert await asyncio.gather(*futures) == [10] * 10
            assert await db.read(count) == 10

    asyncio.run(story())


@pytest.fixture
def only_turns(monkeypatch):
    """A batch waits as long as turns bring somebody, whatever the time."""
    monkeypatch.setattr("arbstr_core.storage._linger._IDLE_SECONDS", 0)
    monkeypatch.setattr("arbstr_core.storage._linger._QUIET_SECONDS", 3600)
    monkeypatch.setattr("arbstr_core.storage._linger._LONGEST_SECONDS", 3600)


async def one_a_turn(db, ids):
    futures = []
    for n in ids:
        futures.append(db.submit(Write(n)))
        await asyncio.sleep(0)
    return await asyncio.gather(*futures)


def test_after_a_busy_batch_what_each_turn_brings_goes_together(either, only_turns):
    async def story():
        async with either(schemas=[NOTES]) as db:
            await together(db, [Write(n) for n in range(4)])
            assert await one_a_turn(db, range(4, 12)) == [8] * 8
            assert await one_a_turn(db, range(12, 32)) == [20] * 20

    asyncio.run(story())


def test_after_a_quiet_batch_nobody_is_waited_for(either, only_turns):
    async def story():
        async with either(schemas=[NOTES]) as db:
            await together(db, [Write(n) for n in range(3)])
            assert max(await one_a_turn(db, range(4, 12))) < 8

    asyncio.run(story())


def test_a_full_batch_goes_at_once(either, only_turns, monkeypatch):
    async def story():
        async with either(schemas=[NOTES]) as db:
            await together(db, [Write(n) for n in range(12)])
            monkeypatch.setattr(db._writer, "_batch", 8)
            assert await one_a_turn(db, range(12, 20)) == [8] * 8

    asyncio.run(story())


@pytest.mark.parametrize("loop_ends", ["at work", "before it begins"])
@pytest.mark.parametrize("size", [1, 6])
def test_a_loop_that_ends_holds_up_no_later_one(tmp_path, clock, loop_ends, size):
    db = Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock, schemas=[NOTES])
    wait = Wait()

    async def first():
        if loop_ends == "at work":
            db.submit(wait)
            await asyncio.to_thread(wait.entered.wait, 30)
        else:
            await together(db, [Write(n) for n in range(size)])
            db.submit(wait)

    async def second():
        later = db.submit(Write(100))
        wait.go.set()
        await asyncio.wait_for(later, 60)
        assert 100 in await db.read(ids)
        await db.close()

    asyncio.run(first())
    asyncio.run(second())


def test_a_future_resolves_only_after_commit(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            for n in range(20):
                await db.submit(Write(n))
                assert await db.read(count) == n + 1

    asyncio.run(story())


def test_a_full_queue_refuses_all_but_settles(either):
    async def story():
        async with either(schemas=[NOTES], queue_bound=4) as db:
            wait = Wait()
            held = db.submit(wait)
            await asyncio.to_thread(wait.entered.wait, 30)
            futures = [db.submit(Write(n)) for n in range(4)]
            with pytest.raises(Overloaded):
                db.submit(Write(100))
            futures.append(db.submit(Settle(101)))
            wait.go.set()
            await asyncio.gather(held, *futures)
            assert await db.read(count) == 5

    asyncio.run(story())


def test_closing_finishes_what_waits_and_refuses_what_comes(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            futures = [db.submit(Write(n)) for n in range(50)]
            await db.close()
            assert len(await asyncio.gather(*futures)) == 50
            with pytest.raises(VaultUnavailable):
                db.submit(Write(99))
            with pytest.raises(StorageError):
                await db.read(count)

    asyncio.run(story())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_writer_tells_everyone_and_takes_nothing_more(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            wait = Wait()
            held = db.submit(wait)
            futures = [db.submit(Write(1)), db.submit(Die()), db.submit(Write(2))]
            wait.go.set()
            results = await asyncio.gather(held, *futures, return_exceptions=True)
            assert any(isinstance(result, VaultUnavailable) for result in results)
            with pytest.raises(VaultUnavailable):
                db.submit(Write(3))
            assert await db.read(count) <= 1

    asyncio.run(story())


class Needs(Write):
    """Writes, where note 9 is there: by `first`, in a transaction that came before."""

    def __init__(self, id: int, first: Operation[Any]) -> None:
        super().__init__(id)
        self._first = first

    def run(self, tx: Any) -> int:
        shared = super().run(tx)
        if tx.one(ONE, {"id": 9}) is None:
            raise RunFirst(self._first)
        return shared


class NeedsMany(Operation[int]):
    """Wants notes, each by a transaction that came before; gives how many operations shared its own."""

    def __init__(self, ids: range) -> None:
        self._ids = ids

    def run(self, tx: Any) -> int:
        for id in self._ids:
            if tx.one(ONE, {"id": id}) is None:
                raise RunFirst(Write(id))
        return len(tx.operations)


def test_what_comes_first_has_its_own_transaction_and_all_begins_again(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            work = [Write(1), Needs(2, Write(9)), Needs(3, Write(9)), Write(4)]
            assert await together(db, work) == [4] * 4
            assert await db.read(ids) == [1, 2, 3, 4, 9]

    asyncio.run(story())


def test_any_number_may_come_first(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            assert await together(db, [NeedsMany(range(1000, 1600))]) == [1]
            assert await db.read(count) == 600

    asyncio.run(story())


def test_where_what_comes_first_fails_only_who_needs_it_is_told(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            one, two, three = await together(db, [Write(1), Needs(2, Write(9, "bad")), Write(3)])
            assert (one, three) == (1, 1)
            assert isinstance(two, StorageError)
            assert await db.read(ids) == [1, 3]

    asyncio.run(story())


def test_a_cancelled_wait_does_not_undo_the_write(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            wait = Wait()
            held = db.submit(wait)
            future = db.submit(Write(1))
            future.cancel()
            wait.go.set()
            await held
            await db.submit(Write(2))
            assert await db.read(count) == 2

    asyncio.run(story())


def test_reads_see_one_snapshot(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            loop = asyncio.get_running_loop()

            def look(connection: sa.Connection) -> tuple[int, int]:
                before = count(connection)
                asyncio.run_coroutine_threadsafe(write(), loop).result(30)
                return before, count(connection)

            async def write() -> None:
                await db.submit(Write(1))

            assert await db.read(look) == (0, 0)
            assert await db.read(count) == 1

    asyncio.run(story())


def test_a_reader_cannot_write(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            with pytest.raises(StorageError):
                await db.read(lambda connection: connection.exec_driver_sql("DELETE FROM note"))

    asyncio.run(story())


@pytest.mark.parametrize("dialect", Dialect)
def test_a_statement_with_a_lost_value_is_refused(dialect):
    assert "'it''s'" in Statement(sa.select(constant("it's"))).sql(dialect)
    with pytest.raises(AssertionError, match="constant"):
        Statement(sa.select(NOTE).where(NOTE.c.text == "value")).sql(dialect)


def test_rows_that_were_changed_are_counted(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            await asyncio.gather(*(db.submit(Write(n)) for n in range(3)))
            changed = []
            await db.submit(Poison(lambda tx: changed.append(tx.run(REWRITE, {"id": 1, "new": "x"}))))
            await db.submit(Poison(lambda tx: changed.append(tx.run(REWRITE, {"id": 9, "new": "x"}))))
            assert changed == [1, 0]

    asyncio.run(story())


def test_what_was_asked_is_answered_in_any_order(either):
    async def story():
        async with either(schemas=[NOTES]) as db:
            await asyncio.gather(*(db.submit(Write(n, f"text {n}")) for n in range(3)))
            found = []

            def ask(tx):
                answers = [tx.ask(ONE, {"id": n}) for n in range(4)]
                found.extend(answer() for answer in reversed(answers))

            await db.submit(Poison(ask))
            assert found == [[], [("text 2",)], [("text 1",)], [("text 0",)]]

    asyncio.run(story())
