"""Connections cut around a COMMIT, with a real driver and a real server: who learnt what, and what is there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from cutting import Cutter, What, When, _Answered, is_commit

INSERT = "INSERT INTO kept VALUES (%s)"


def simple(connection: psycopg.Connection, x: int) -> None:
    """Simple queries, as psycopg sends BEGIN and COMMIT."""
    connection.execute(INSERT, (x,))
    connection.commit()


def pipelined(connection: psycopg.Connection, x: int) -> None:
    """BEGIN, INSERT and COMMIT by Parse, Bind and Execute, before one Sync."""
    with connection.pipeline():
        connection.execute(INSERT, (x,))
        connection.commit()


def prepared(connection: psycopg.Connection, x: int) -> None:
    """COMMIT as a statement that was prepared, after two others in its batch."""
    connection.set_autocommit(True)
    with connection.pipeline():
        connection.execute("BEGIN", prepare=True)
        connection.execute(INSERT, (x,), prepare=True)
        connection.execute("COMMIT", prepare=True)


def in_one_query(connection: psycopg.Connection, x: int) -> None:
    """All statements in one simple query."""
    connection.set_autocommit(True)
    connection.execute(f"BEGIN; INSERT INTO kept VALUES ({x}); commit")


def failing(connection: psycopg.Connection) -> None:
    """A COMMIT that the server skips, for what was before it in its batch failed."""
    with connection.pipeline():
        connection.execute("BEGIN")
        connection.execute("SELECT 1 / 0")
        connection.execute("COMMIT")


Committing = Callable[[psycopg.Connection, int], None]
every_way = pytest.mark.parametrize("commit", [simple, pipelined, prepared, in_one_query])


@pytest.fixture
def cutter(postgres_url: str) -> Iterator[Cutter]:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept (x int)")
    with Cutter(postgres_url) as cutter:
        yield cutter


@pytest.fixture
def kept(postgres_url: str) -> Callable[[], list[int]]:
    """What is in the database, asked past the proxy."""

    def read() -> list[int]:
        with psycopg.connect(postgres_url) as connection:
            return [x for (x,) in connection.execute("SELECT x FROM kept ORDER BY x")]

    return read


@every_way
def test_all_passes_and_commits_are_counted(cutter: Cutter, kept: Callable[[], list[int]], commit: Committing) -> None:
    for x in (1, 2):
        with psycopg.connect(cutter.url) as connection:
            commit(connection, x)
    cutter.wait(lambda c: c.connections == 0)
    assert (kept(), cutter.commits, cutter.cuts) == ([1, 2], 2, 0)


@every_way
def test_cut_before_the_commit_nothing_is_there(
    cutter: Cutter, kept: Callable[[], list[int]], commit: Committing
) -> None:
    with psycopg.connect(cutter.url) as connection:
        cutter.at_commit()
        with pytest.raises(psycopg.OperationalError):
            commit(connection, 1)
        assert connection.broken
    assert (kept(), cutter.commits, cutter.cuts) == ([], 1, 1)


@every_way
def test_cut_after_the_commit_all_is_there_and_nobody_knows(
    cutter: Cutter, kept: Callable[[], list[int]], commit: Committing
) -> None:
    with psycopg.connect(cutter.url) as connection:
        cutter.at_commit(when=When.AFTER)
        with pytest.raises(psycopg.OperationalError):
            commit(connection, 1)
        assert connection.broken
    assert (kept(), cutter.commits, cutter.cuts) == ([1], 1, 1)


@every_way
@pytest.mark.parametrize("when", When)
def test_the_commit_that_is_cut_is_the_one_named(
    cutter: Cutter, kept: Callable[[], list[int]], commit: Committing, when: When
) -> None:
    cutter.at_commit(3, when)
    with psycopg.connect(cutter.url) as connection:
        for x in (1, 2):
            commit(connection, x)
        with pytest.raises(psycopg.OperationalError):
            commit(connection, 3)
    with psycopg.connect(cutter.url) as connection:
        commit(connection, 4)
    assert kept() == ([1, 2, 4] if when is When.BEFORE else [1, 2, 3, 4])
    assert (cutter.commits, cutter.cuts) == (4, 1)


@every_way
@pytest.mark.parametrize("when", When)
def test_a_stalled_commit_goes_on_when_told(
    cutter: Cutter, kept: Callable[[], list[int]], commit: Committing, when: When
) -> None:
    cutter.at_commit(when=when, what=What.STALL)
    with psycopg.connect(cutter.url) as connection:
        work = threading.Thread(target=commit, args=(connection, 1))
        work.start()
        cutter.wait(lambda c: c.stalls == 1)
        assert kept() == ([] if when is When.BEFORE else [1])
        assert work.is_alive()
        cutter.resume()
        work.join(30)
        assert kept() == [1]
        commit(connection, 2)
    assert (kept(), cutter.cuts) == ([1, 2], 0)


@pytest.mark.parametrize("when", When)
def test_a_stalled_commit_can_be_cut(cutter: Cutter, kept: Callable[[], list[int]], when: When) -> None:
    cutter.at_commit(when=when, what=What.STALL)
    errors = []

    def work() -> None:
        with psycopg.connect(cutter.url) as connection:
            try:
                simple(connection, 1)
            except psycopg.OperationalError as error:
                errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    cutter.wait(lambda c: c.stalls == 1)
    assert cutter.cut() == 1
    thread.join(30)
    assert len(errors) == 1
    assert kept() == ([] if when is When.BEFORE else [1])
    with psycopg.connect(cutter.url) as connection:
        simple(connection, 2)


def test_all_connections_are_cut_at_once(cutter: Cutter, kept: Callable[[], list[int]]) -> None:
    with psycopg.connect(cutter.url) as one, psycopg.connect(cutter.url) as other:
        one.execute(INSERT, (1,))
        assert (cutter.connections, cutter.cut(), cutter.connections) == (2, 2, 0)
        for connection in (one, other):
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    assert kept() == []


def test_everything_stalls_until_it_resumes(cutter: Cutter) -> None:
    async def talk() -> object:
        async with await psycopg.AsyncConnection.connect(cutter.url) as connection:
            cutter.stall()
            asked = asyncio.create_task(connection.execute("SELECT 7"))
            done, _ = await asyncio.wait({asked}, timeout=0.05)
            assert not done
            cutter.resume()
            return await (await asked).fetchone()

    assert asyncio.run(talk()) == (7,)


def test_a_plan_can_be_forgotten(cutter: Cutter, kept: Callable[[], list[int]]) -> None:
    cutter.at_commit()
    cutter.forget()
    with psycopg.connect(cutter.url) as connection:
        simple(connection, 1)
    assert kept() == [1]


def test_what_counts_as_a_commit_can_be_told(postgres_url: str, cutter: Cutter, kept: Callable[[], list[int]]) -> None:
    def autocommitted(connection: psycopg.Connection, x: int) -> None:
        connection.execute(INSERT, (x,))

    with Cutter(postgres_url, counts=lambda statement: statement.startswith("INSERT")) as own:
        for x, when in ((1, When.BEFORE), (2, When.AFTER)):
            own.at_commit(when=when)
            with psycopg.connect(own.url, autocommit=True) as connection, pytest.raises(psycopg.OperationalError):
                autocommitted(connection, x)
        assert (own.commits, own.cuts, cutter.commits) == (2, 2, 0)
    assert kept() == [2]


def test_a_commit_that_was_never_executed_is_no_commit_to_cut_after(
    cutter: Cutter, kept: Callable[[], list[int]]
) -> None:
    cutter.at_commit(when=When.AFTER)
    with psycopg.connect(cutter.url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            failing(connection)
        connection.rollback()
        in_one_query(connection, 1)
    assert (kept(), cutter.commits, cutter.cuts) == ([1], 2, 0)


@pytest.mark.parametrize(
    ("execute", "answers", "withheld"),
    [
        (0, [b"C BEGIN", b"C INSERT 0 1", b"C COMMIT"], [(True, False), (True, False), (True, True)]),
        (0, [b"E", b"Z"], [(True, False), (True, True)]),
        (2, [b"1", b"C BEGIN", b"D", b"C COMMIT"], [(False, False), (False, False), (False, False), (True, True)]),
        (2, [b"C SELECT 1", b"C INSERT 0 1", b"Z"], [(False, False), (True, False), (True, True)]),
        (2, [b"C BEGIN", b"E", b"Z", b"C COMMIT"], [(False, False), (False, False), (False, False), (False, False)]),
    ],
    ids=["one query", "one that fails", "the second execute", "no COMMIT ends it", "skipped"],
)
def test_what_is_withheld_and_until_when(execute: int, answers: list[bytes], withheld: list[tuple[bool, bool]]) -> None:
    """Until the commit is done: a server may have sent what comes before it."""
    answered = _Answered()
    answered.message(b"R", b"")
    answered.message(b"Z", b"I")
    answered.withhold(1, execute, What.CUT)
    assert [answered.message(each[:1], each[2:] + b"\0") for each in answers] == withheld


def test_a_server_that_is_away_is_one_that_resets(postgres_url: str) -> None:
    away = Cutter(postgres_url.replace(postgres_url.split("@")[1], "127.0.0.1:1/x"))
    with away, pytest.raises(psycopg.OperationalError):
        psycopg.connect(away.url)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("COMMIT", True),
        (" commit work ;", True),
        ("END", True),
        ("COMMIT AND NO CHAIN", True),
        ("BEGIN; INSERT INTO kept VALUES (1); COMMIT;", True),
        ("COMMIT PREPARED 'x'", False),
        ("SELECT 'commit'", False),
        ("SELECT CASE WHEN x THEN 1 END FROM commit", False),
        ("ROLLBACK", False),
    ],
)
def test_what_a_commit_is(statement: str, expected: bool) -> None:
    assert is_commit(statement) is expected
