"""History page by page: all of it once, newest first, of one account alone, and each page at a bounded price."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from arbstr_core.storage import Database
from arbstr_core.vault import (
    AgentRecord,
    Filter,
    Granted,
    History,
    HoldRequest,
    Limits,
    NewAgent,
    Refused,
    Settlement,
    Vault,
    _walks,
    schema,
)

Run = Callable[[Callable[["Books"], Coroutine[Any, Any, None]]], None]
ALL = Filter()
WIDE = Limits(max_charge_msat=10**9, daily_msat=10**10)


class Clock:
    """Time that moves when told to; only SQLite asks it."""

    ms = 1_750_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Books:
    """A vault, and what is read of it."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self.db = db
        self.clock = clock
        self.vault = Vault(db, boot_id="b1")
        self.history = History(db)
        self._made = 0

    async def agent(self, name: str, *, parent: str | None = None, limits: Limits = WIDE) -> AgentRecord:
        return await self.vault.create_agent(
            NewAgent(
                id=f"ag_{name}",
                name=name,
                realm="sim",
                token_hash=hashlib.sha256(name.encode()).digest(),
                limits=limits,
                parent=parent,
                fund_msat=0 if parent else 10**9,
                rail="simulated",
            )
        )

    async def held(self, agent: str, *, model: str = "m", kind: str = "call") -> str:
        self._made += 1
        self.clock.ms += 1
        request = HoldRequest(
            id=f"req_{self._made:06d}", agent=agent, ceilings=(100,), candidates=b"[]", model=model, kind=kind
        )
        assert isinstance(await self.vault.hold(request), Granted)
        return request.id

    async def settled(self, agent: str, charge: int = 7, **more: str) -> str:
        name = await self.held(agent, **more)
        await self.vault.settle(Settlement(id=name, charge_msat=charge, costs=(), receipt=b"{}"))
        return name

    async def released(self, agent: str) -> str:
        name = await self.held(agent)
        await self.vault.release(name, b"{}")
        return name

    async def created(self, id: str) -> int:
        found = await self.history.hold(id)
        assert found is not None
        return found.created_ms

    async def account(self, agent: str) -> int:
        found = await self.history.account_of(agent)
        assert found is not None
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def run(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[Callable[[Books], Coroutine[Any, Any, None]]], None]:
    url = "sqlite:///arbstr.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Books]:
        clock = Clock()
        db = Database.open(url, data_dir=tmp_path, clock=clock, schemas=[schema()])
        try:
            yield Books(db, clock)
        finally:
            await db.close()

    def told(story: Callable[[Books], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            async with opened() as books:
                await story(books)

        asyncio.run(whole())

    return told


async def pages(ask: Callable[[int | None], Coroutine[Any, Any, Any]], most: int) -> list[Any]:
    """All rows, part by part."""
    rows: list[Any] = []
    before = None
    for _ in range(1_000):
        part = await ask(before)
        assert len(part.rows) <= most
        rows += part.rows
        before = part.following
        if before is None:
            return rows
    raise AssertionError("it does not end")


def test_all_of_it_once_and_newest_first(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        await books.agent("b")
        calls = []
        for number in range(11):
            await books.settled("ag_b")
            calls.append(await (books.released if number % 3 == 0 else books.settled)("ag_a"))
        account = await books.account("ag_a")
        history = books.history
        for most in (1, 3, 11, 50):
            rows = await pages(lambda before: history.holds(account, ALL, before=before, most=most), most)
            assert [row.id for row in rows] == calls[::-1]
            rows = await pages(lambda before: history.holds(None, ALL, before=before, most=most), most)
            assert len(rows) == 22
            assert [row.seq for row in rows] == sorted((row.seq for row in rows), reverse=True)
            moved = await pages(lambda before: history.transfers(account, ALL, before=before, most=most), most)
            # A release moves nothing.
            assert [row.hold for row in moved if row.hold] == [c for n, c in enumerate(calls) if n % 3][::-1]
            assert sum(row.change_msat for row in moved) == 10**9 - 7 * 7
            everything = await pages(lambda before: history.transfers(None, ALL, before=before, most=most), most)
            assert [row.kind for row in everything].count("release") == 4
        for row in everything:
            assert sum(e.amount_msat if e.side == "debit" else -e.amount_msat for e in row.entries) == 0

    run(story)


def test_filters(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        await books.agent("child", parent="ag_a")
        of_child = await books.settled("ag_child")
        other = await books.settled("ag_a", model="other")
        billing = await books.held("ag_a", kind="billing")
        account = await books.account("ag_child")
        assert account == await books.account("ag_a")

        async def found(**wanted: Any) -> list[str]:
            part = await books.history.holds(account, Filter(**wanted), before=None, most=50)
            assert part.following is None
            return [row.id for row in part.rows]

        assert await found(agents=frozenset(["ag_child"])) == [of_child]
        assert await found(model="other") == [other]
        assert await found(kind="billing") == [billing]
        assert await found() == [billing, other, of_child]
        rows = (await books.history.holds(account, ALL, before=None, most=50)).rows
        then = rows[1].created_ms
        assert billing in await found(since_ms=then)
        assert of_child not in await found(since_ms=then + 1)
        assert billing not in await found(until_ms=then)
        part = await books.history.transfers(account, Filter(agents=frozenset(["ag_child"])), before=None, most=9)
        assert [row.hold for row in part.rows] == [of_child]
        opened = await books.history.open_holds(ALL, before=None, most=9)
        assert [row.id for row in opened.rows] == [billing]
        assert (await books.history.open_holds(Filter(kind="call"), before=None, most=9)).rows == ()

    run(story)


def test_served_calls_are_those_that_were_settled_each_with_its_receipt(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        await books.agent("b")
        first = await books.settled("ag_a", 9, model="other")
        await books.released("ag_a")
        await asyncio.sleep(0.005)  # PostgreSQL's clock is its own
        second = await books.settled("ag_b")
        await books.settled("ag_a", kind="billing")
        await books.held("ag_b")
        await books.vault.correct(first, 4, reason="too much", key="k")
        since, until = await books.created(first), await books.created(second) + 1

        async def found(since_ms: int | None = None, until_ms: int | None = None) -> list[tuple[Any, ...]]:
            times = {"since_ms": since_ms, "until_ms": until_ms}
            rows = await pages(lambda before: books.history.served(**times, before=before, most=2), 2)
            return [(row.agent, row.model, row.charged_msat, row.body) for row in rows]

        both = [("ag_b", "m", 7, b"{}"), ("ag_a", "other", 4, b"{}")]
        assert await found() == await found(since, until) == both
        assert await found(since_ms=since + 1) == both[:1]
        assert await found(until_ms=since + 1) == both[1:]

    run(story)


@pytest.mark.parametrize("run", ["sqlite"], indirect=True)  # it alone asks the clock that is moved
def test_served_calls_of_long_ago_are_not_read_where_they_are_not_asked_for(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        for _ in range(4):
            await books.settled("ag_a")
        books.clock.ms += 3 * 86_400_000
        recent = await books.created(await books.settled("ag_a"))
        part = await books.history.served(since_ms=recent, until_ms=None, before=None, most=2)
        assert [row.created_ms for row in part.rows] == [recent]
        assert part.following is None

    run(story)


def test_a_correction_is_its_calls_agents(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        await books.agent("child", parent="ag_a")
        call = await books.settled("ag_child", 50)
        await books.vault.correct(call, 20, reason="too much", key="k")
        account = await books.account("ag_a")
        wanted = Filter(agents=frozenset(["ag_child"]))
        rows = (await books.history.transfers(account, wanted, before=None, most=9)).rows
        assert [(row.kind, row.change_msat, row.agent) for row in rows] == [
            ("correction", 30, "ag_child"),
            ("settle", -50, "ag_child"),
        ]
        (hold,) = (await books.history.holds(account, ALL, before=None, most=9)).rows
        assert (hold.charged_msat, hold.state) == (20, "settled")
        assert await books.history.hold(call) == hold

    run(story)


def test_a_place_in_anothers_history_leads_nowhere(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        await books.agent("b")
        for _ in range(3):
            await books.settled("ag_b")
        mine, theirs = await books.account("ag_a"), await books.account("ag_b")
        holds = (await books.history.holds(theirs, ALL, before=None, most=1)).following
        transfers = (await books.history.transfers(theirs, ALL, before=None, most=1)).following
        assert (await books.history.holds(mine, ALL, before=holds, most=9)).rows == ()
        assert (await books.history.transfers(mine, ALL, before=transfers, most=9)).rows == ()

    run(story)


def test_a_part_is_bounded_and_says_where_it_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a filter leaves out is looked at a few rows at a time."""
    monkeypatch.setattr(_walks, "_STEPS", 4)
    monkeypatch.setattr(_walks, "LOOKED_AT", 4)

    async def story(books: Books) -> None:
        await books.agent("a")
        first = await books.settled("ag_a", model="rare")
        for _ in range(10):
            await books.settled("ag_a")
        account = await books.account("ag_a")
        wanted = Filter(model="rare")
        for whose in (account, None):
            part = await books.history.holds(whose, wanted, before=None, most=2)
            assert part.rows == ()
            assert part.following is not None
            rows = await pages(lambda before, w=whose: books.history.holds(w, wanted, before=before, most=2), 2)
            assert [row.id for row in rows] == [first]
            funded = Filter(kind="fund")
            part = await books.history.transfers(whose, funded, before=None, most=2)
            assert (part.rows, part.following is None) == ((), False)
            rows = await pages(lambda before, w=whose: books.history.transfers(w, funded, before=before, most=2), 2)
            assert [row.kind for row in rows] == ["fund"]

    run(story)


def test_what_is_older_than_wanted_ends_the_walk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_walks, "_STEPS", 2)

    async def story(books: Books) -> None:
        await books.agent("a")
        for _ in range(6):
            await books.settled("ag_a")
        account = await books.account("ag_a")
        future = Filter(since_ms=4_000_000_000_000)
        assert (await books.history.holds(account, future, before=None, most=2)).following is None
        assert (await books.history.transfers(account, future, before=None, most=2)).following is None

    run(story)


def test_a_page_of_an_account_is_found_without_a_scan(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        for _ in range(5):
            await books.settled("ag_a")
        account = await books.account("ag_a")
        asked: list[str] = []
        engine = books.db._engine

        def note(_c: Any, _cursor: Any, statement: str, params: Any, *_: Any) -> None:
            asked.append(statement)

        sa.event.listen(engine, "before_cursor_execute", note)
        await books.history.holds(account, ALL, before=None, most=3)
        await books.history.transfers(account, ALL, before=None, most=3)
        sa.event.remove(engine, "before_cursor_execute", note)
        assert any("RECURSIVE" in each for each in asked)
        if engine.dialect.name != "sqlite":
            return
        with engine.connect() as connection:
            for statement in asked:
                marks = tuple(0 for _ in range(statement.count("?")))
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", marks).all()
                scans = [row[3] for row in plan if row[3].startswith("SCAN") and "back" not in row[3]]
                assert [each for each in scans if "CONSTANT" not in each] == [], (statement, scans)

    run(story)


def test_the_audit_by_subject_and_action(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        await books.agent("b")
        await books.settled("ag_a")
        seal = getattr(books.vault, "seal", None)
        if books.vault.shared and seal is not None:
            await seal()
        history = books.history

        async def found(most: int = 50, **wanted: Any) -> list[Any]:
            wanted = {"subject": None, "action": None, **wanted}
            return await pages(lambda before: history.audit(**wanted, before=before, most=most), most)

        of_a = await found(subject="ag_a")
        assert {row.action for row in of_a} == {"agent.create", "token.add", "limits.set"}
        assert await found(1, subject="ag_a") == of_a
        assert {row.subject for row in await found(action="agent.create")} == {"ag_a", "ag_b"}
        assert all(row.action != "ledger" for row in await found())
        assert len(await found(2, action="ledger")) >= 1

    run(story)


def test_versions_of_limits_and_keys(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        for charge in (1, 2, 3):
            await books.vault.set_limits("ag_a", Limits(max_charge_msat=charge, daily_msat=5, models=("m",)))
        rows = await pages(lambda before: books.history.limits("ag_a", before=before, most=2), 2)
        assert [row.limits.version for row in rows] == [4, 3, 2, 1]
        assert rows[0].limits == Limits(version=4, max_charge_msat=3, daily_msat=5, models=("m",))
        await books.agent("kid", parent="ag_a")
        await books.agent("kidskid", parent="ag_kid")
        await books.agent("z")
        names = [row.id for row in await pages(lambda after: _agents(books, None, after), 2)]
        assert names == ["ag_a", "ag_kid", "ag_kidskid", "ag_z"]
        assert [row.id for row in await pages(lambda after: _agents(books, "ag_a", after), 2)] == ["ag_kid"]
        assert [row.id for row in await books.history.keys_below("ag_a")] == ["ag_kid", "ag_kidskid"]
        assert [row.id for row in await books.history.lineage("ag_kidskid")] == ["ag_kidskid", "ag_kid", "ag_a"]
        assert await books.history.lineage("ag_none") == []

    run(story)


async def _agents(books: Books, parent: str | None, after: Any) -> Any:
    return await books.history.agents(parent=parent, after=after, most=2)


@pytest.mark.parametrize(("limit", "most"), [("daily", 1_000), ("hourly", 1_000), ("per_minute", 3), ("concurrent", 3)])
def test_what_is_left_is_what_the_next_hold_finds(run: Run, limit: str, most: int) -> None:
    """The reading of a limit and its refusal are two pieces of code: they must say the same."""
    field = f"{limit}_msat" if limit in ("daily", "hourly") else limit
    wide: dict[str, Any] = {"max_charge_msat": 10**9, "daily_msat": 10**10, "zone": "Europe/Berlin"}

    async def story(books: Books) -> None:
        await books.agent("a", limits=Limits(**{**wide, field: most}))
        await books.agent("kid", parent="ag_a")
        await books.settled("ag_kid", 40)
        held = [await books.held("ag_a"), await books.held("ag_kid")]
        now = await books.db.read(lambda connection: _now(connection, books.clock))
        (row,) = [each for each in await books.history.left("ag_kid", now) if each.limit == limit and each.most == most]
        assert row.agent == "ag_a"
        assert row.used == {"daily": 240, "hourly": 240, "per_minute": 3, "concurrent": 2}[limit]
        assert row.left == most - row.used
        if limit == "concurrent":
            held.append(await books.held("ag_a"))
        ceiling = row.left + 1 if limit in ("daily", "hourly") else 1
        refused = await books.vault.hold(
            HoldRequest(id="req_last", agent="ag_kid", ceilings=(ceiling,), candidates=b"[]", model="m")
        )
        assert isinstance(refused, Refused)
        named = {"per_minute": "rate"}.get(limit, limit)
        assert (refused.reason, refused.agent) == (named, "ag_a")
        if limit in ("daily", "hourly"):
            assert refused.left_msat == row.left
        assert refused.resets_ms == row.resets_ms

    run(story)


def _now(connection: sa.Connection, clock: Clock) -> int:
    if connection.dialect.name == "sqlite":
        return clock.now_ms()
    return int(connection.exec_driver_sql("SELECT arbstr_now()").scalar() or 0)


def test_old_reservations_end(run: Run) -> None:
    async def story(books: Books) -> None:
        await books.agent("a")
        old = await books.held("ag_a", kind="billing")
        call = await books.held("ag_a")
        assert await books.vault.end_old_reservations(3600) == 0
        assert await books.vault.end_old_reservations(-1) == 1
        found = await books.history.hold(old)
        assert found is not None
        assert (found.state, found.charged_msat, found.orphaned) == ("released", 0, True)
        late = await books.vault.settle(Settlement(id=old, charge_msat=60, costs=(), receipt=b"{}"))
        assert (late.charged_msat, late.first) == (60, False)
        kept = await books.history.hold(call)
        assert kept is not None
        assert kept.state == "held"
        await books.vault.release(call, b"{}")
        assert (await books.vault.verify()).first_bad is None

    run(story)
