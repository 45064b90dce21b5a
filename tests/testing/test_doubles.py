"""The kit's doubles keep the promises of the tools they stand for; the store beside the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from arbstr_core.api import Reply, SecretRef, Store
from arbstr_core.storage import Database, PluginStore, open_cipher
from arbstr_core.testing import (
    FakeClock,
    MemoryStore,
    a_call,
    a_quote,
    an_offer,
    an_outbound,
    answers,
    kit_tools,
)


@asynccontextmanager
async def memory(folder: Path) -> AsyncIterator[Store]:
    yield MemoryStore()


@asynccontextmanager
async def real(folder: Path) -> AsyncIterator[Store]:
    db = Database.open("sqlite:///arbstr.db", data_dir=folder, clock=FakeClock())
    try:
        yield PluginStore(db, await open_cipher(db, folder / "master.key"), "kit")
    finally:
        await db.close()


@pytest.fixture(params=[memory, real])
def with_store(request: pytest.FixtureRequest, tmp_path: Path):
    def run(scenario: Callable[[Store], Awaitable[None]]) -> None:
        async def main() -> None:
            async with request.param(tmp_path) as store:
                await scenario(store)

        asyncio.run(main())

    return run


def test_a_store_gives_back_what_was_put(with_store):
    async def scenario(store: Store) -> None:
        assert await store.get("a") is None
        await store.put({"a": b"1", "b": b""})
        await store.put({"a": b"2"})
        assert await store.get("a") == b"2"
        assert await store.get("b") == b""

    with_store(scenario)


def test_a_store_scans_by_prefix_in_order(with_store):
    async def scenario(store: Store) -> None:
        await store.put({"x/2": b"2", "x/10": b"10", "x": b"0", "y/1": b"1", "x%": b"!"})
        assert list((await store.scan("x/")).items()) == [("x/10", b"10"), ("x/2", b"2")]
        assert len(await store.scan("")) == 5

    with_store(scenario)


def test_a_store_swaps_only_what_is_as_said(with_store):
    async def scenario(store: Store) -> None:
        assert await store.compare_and_set("a", None, b"1")
        assert not await store.compare_and_set("a", None, b"2")
        assert not await store.compare_and_set("a", b"0", b"2")
        assert await store.compare_and_set("a", b"1", b"2")
        assert await store.compare_and_set("a", b"2", None)
        assert await store.get("a") is None

    with_store(scenario)


def test_a_store_writes_many_only_if_all_is_as_said(with_store):
    async def scenario(store: Store) -> None:
        assert await store.put({"a": b"1", "b": b"2", "c": b"3"})
        assert not await store.put({"a": b"9", "new": b"9"}, where={"a": b"1", "b": b"other", "none": None})
        assert not await store.put({"a": b"9", "0": b"9"}, where={"0": None, "a": b"1", "c": None})
        assert await store.scan("") == {"a": b"1", "b": b"2", "c": b"3"}
        assert await store.put({"a": None, "b": b"4", "0": b"5"}, where={"a": b"1", "0": None, "c": b"3", "none": None})
        assert await store.scan("") == {"0": b"5", "b": b"4", "c": b"3"}
        assert await store.put({"b": None, "never": None})
        assert await store.scan("") == {"0": b"5", "c": b"3"}

    with_store(scenario)


def test_of_many_that_swap_at_once_one_wins(with_store):
    async def scenario(store: Store) -> None:
        won = await asyncio.gather(*(store.compare_and_set("a", None, str(each).encode()) for each in range(20)))
        assert sum(won) == 1
        assert await store.get("a") == str(won.index(True)).encode()

    with_store(scenario)


def test_sleepers_wake_in_order_and_at_once():
    clock, woke = FakeClock(now=1000.0), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woke.append((seconds, clock.monotonic()))

    async def scenario() -> None:
        await asyncio.gather(*(sleeper(seconds) for seconds in (3600, 1, 60)))

    asyncio.run(scenario())
    assert woke == [(1, 1.0), (60, 60.0), (3600, 3600.0)]
    assert clock.now_ms() == (1000 + 3600) * 1000


def test_a_cancelled_sleeper_holds_nobody_up():
    clock = FakeClock()

    async def scenario() -> None:
        early = asyncio.create_task(clock.sleep(1))
        late = asyncio.create_task(clock.sleep(2))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.wait_for(late, 5)

    asyncio.run(scenario())
    assert clock.monotonic() == 2.0


def test_advance_moves_time():
    clock = FakeClock()
    before = clock.now_ms()
    clock.advance(1.5)
    assert clock.now_ms() - before == 1500


def test_tools_answer_with_the_given_functions():
    async def scenario() -> None:
        tools = kit_tools(
            upstream=lambda outbound: Reply.of_json(b"{}", status=418),
            http=lambda request: httpx.Response(200, json={"at": request.url.path}),
            secrets={"env:KEY": "sk-1", "file:cert": b"\x02\n"},
        )
        reply = await tools.upstream.send(an_outbound())
        assert (reply.status, len(tools.upstream.sent)) == (418, 1)
        assert (await tools.http.get("https://example.com/v1/models")).json() == {"at": "/v1/models"}
        known, unknown = tools.secret(SecretRef("env:KEY")), tools.secret(SecretRef("env:OTHER"))
        assert known is not None
        assert (known.reveal(), unknown) == ("sk-1", None)
        assert tools.secret_bytes(SecretRef("env:KEY")) == b"sk-1"
        assert tools.secret_bytes(SecretRef("file:cert")) == b"\x02\n"
        assert tools.secret_bytes(SecretRef("file:other")) is None
        folder = Path(tools.data_dir)
        assert folder.is_dir()
        await tools.aclose()
        assert not folder.exists()

    asyncio.run(scenario())


def test_tools_end_the_tasks_and_tell_of_failures():
    async def fails() -> None:
        raise OSError("the disk is gone")

    async def scenario() -> None:
        tools = kit_tools()
        tools.tasks.spawn("waits", asyncio.sleep(3600))
        await tools.aclose()
        tools.tasks.spawn("fails", fails())
        await asyncio.sleep(0)
        await tools.aclose()

    with pytest.raises(OSError, match="the disk is gone"):
        asyncio.run(scenario())


def test_builders_make_whole_values():
    call = a_call("Hello", stream=True, output_limit=5)
    assert msgspec.json.decode(call.raw("messages") or b"") == [{"role": "user", "content": "Hello"}]
    assert call.last_user_message() == "Hello"
    quote = a_quote(an_offer(), input_tokens=2_000_000, output_limit=1_000_000)
    assert quote.cost_msat == quote.ceiling_msat == 2_000_000
    assert a_quote(cost_msat=1).cost_msat == 1


@pytest.mark.parametrize("stream", [True, False])
def test_the_default_upstream_answers_as_asked(stream: bool):
    assert answers(an_outbound(stream=stream)).streaming is stream
