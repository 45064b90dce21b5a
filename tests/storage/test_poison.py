"""One bad operation in a batch of 64: it is refused, whatever is wrong with it, and the other 63 go through."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
import sqlalchemy as sa
from notes import INSERT, NOTES, ONE, REWRITE, TOUCH, Poison, Write, ids, together

from arbstr_core.storage import ConstraintFailed, Database, Statement
from arbstr_core.types import Conflict, StorageError

TOO_LARGE = (2**63, 2**64, -(2**63) - 1, 2**200)


def insert(*row):
    return lambda tx: tx.bulk(INSERT, [row])


def raising(error):
    def work(tx):
        insert(500, "lost with it", 1)(tx)
        raise error

    return work


REFUSED = {
    "a CHECK": (insert(500, "bad", 1), ConstraintFailed),
    "a key that is taken": (insert(1000, "good", 1), ConstraintFailed),
    "the same key twice": (lambda tx: tx.bulk(INSERT, [(500, "a", 1), (500, "b", 1)]), ConstraintFailed),
    "a guard": (lambda tx: tx.run(REWRITE, {"id": 1000, "new": "LOUD"}), ConstraintFailed),
    "a NULL": (insert(500, None, 1), ConstraintFailed),
    "an unknown table": (lambda tx: tx.run(Statement(sa.text("DELETE FROM nothing")), {}), StorageError),
    "a lone surrogate": (insert(500, "\ud800", 1), ValueError),
    "a lone surrogate, asked for": (lambda tx: tx.run(REWRITE, {"id": 1, "new": "\ud800"}), ValueError),
    "what is no text": (insert(500, object(), 1), (StorageError, AttributeError, TypeError)),
    "a missing value": (lambda tx: tx.one(ONE, {}), (StorageError, LookupError)),
    "too few columns": (lambda tx: tx.bulk(INSERT, [(500, "x")]), (StorageError, ValueError)),
    "an answer nobody waits for": (lambda tx: tx.ask(Statement(sa.text("SELECT nothing")), {}), StorageError),
}
RAISED = (
    Conflict("said no"),
    AssertionError("bug"),
    KeyError("bug"),
    AttributeError("bug"),
    ZeroDivisionError("bug"),
    TypeError("bug"),
    RecursionError("bug"),
    UnboundLocalError("bug"),
    OSError("bug"),
    msgspec.ValidationError("bug"),
    sa.exc.InvalidRequestError("bug"),
)


async def poisoned(opener, work):
    """What becomes of the one, with all others in place; and a batch later everything is as it was."""
    async with opener(schemas=[NOTES]) as db:
        await db.submit(Write(1000))
        batch = [Poison(work) if n == 17 else Write(n) for n in range(64)]
        results = await together(db, batch)
        others = results[:17] + results[18:]
        assert [type(each) for each in others] == [int] * 63
        assert await db.read(ids) == [*(n for n in range(64) if n != 17), 1000]
        for start in range(100, 400, 100):
            assert await together(db, [Write(n) for n in range(start, start + 5)]) == [5] * 5
        return results[17]


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_database_refuses(either, what):
    work, error = REFUSED[what]
    assert isinstance(asyncio.run(poisoned(either, work)), error)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_what_an_operation_raises(either, error):
    assert asyncio.run(poisoned(either, raising(error))) is error


@pytest.mark.parametrize("number", TOO_LARGE)
@pytest.mark.parametrize("how", ["inserted", "named", "asked"])
def test_t26_numbers_that_are_too_large(either, how, number):
    works = {
        "inserted": insert(500, "good", number),
        "named": lambda tx: tx.bulk(TOUCH, [(1000, number)]),
        "asked": lambda tx: tx.one(ONE, {"id": number}),
    }
    assert isinstance(asyncio.run(poisoned(either, works[how])), (StorageError, ArithmeticError, ValueError))


@pytest.mark.parametrize("work", [insert(500, "a\0b", 1), lambda tx: tx.run(REWRITE, {"id": 1, "new": "a\0b"})])
def test_a_nul_is_refused_by_postgresql(postgres_url, tmp_path, clock, work):
    async def story():
        db = Database.open(postgres_url, data_dir=tmp_path, clock=clock, schemas=[NOTES])
        told = await together(db, [Write(1), Poison(work), Write(2)])
        assert isinstance(told[1], StorageError)
        assert await db.read(ids) == [1, 2]
        await db.close()

    asyncio.run(story())


def test_many_faults_in_a_row_spoil_nothing(either):
    """The driver must not remember as prepared what the server skipped after an earlier fault."""

    async def story():
        async with either(schemas=[NOTES]) as db:
            for round in range(12):
                first = 100 * round
                work = (insert(5000, "bad", 1), raising(Conflict("no")), insert(5000, "big", 2**70))[round % 3]

                def then_touch(tx, work=work):
                    work(tx)
                    tx.bulk(TOUCH, [(first, 1)])
                    tx.one(ONE, {"id": first})

                told = await together(db, [Write(first), Poison(then_touch), Write(first + 1)])
                assert [type(each) for each in (told[0], told[2])] == [int, int]
                assert isinstance(told[1], BaseException)
                await db.submit(Poison(lambda tx, first=first: tx.bulk(TOUCH, [(first, 7)])))

    asyncio.run(story())
