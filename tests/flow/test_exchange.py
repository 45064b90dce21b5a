"""One call, one end: settled or released once, whatever the plugin, the caller or the database does meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from exchanges import CHUNK, DONE, PRICE, bench, chunks, everything, good

from arbstr_core.api import Outbound, Reply
from arbstr_core.flow import Exchange
from arbstr_core.types import CallFacts, ConnectFailed, Msat, ShuttingDown, UpstreamFailed, Usage, VaultUnavailable


@pytest.mark.parametrize("stream", [False, True])
def test_closing_again_and_from_many_places_ends_it_once(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        async with bench(tmp_path, good) as made:
            exchange = made.begin(stream=stream)
            await exchange.open()
            await (everything(exchange) if stream else exchange.body())
            await asyncio.gather(*(exchange.close() for _ in range(5)), exchange.finish())
            await exchange.close()
            assert made.vault.tried == 1
            state, charged, receipt = made.end()
            assert (state, receipt["ending"]) == ("settled", "complete")
            assert charged > 0

    asyncio.run(story())


def test_what_a_hold_was_for_is_kept_with_it(tmp_path: Path) -> None:
    """In the words of docs/audit.md: where it could go, what it could count there, and at which rates."""

    async def story() -> None:
        async with bench(tmp_path, good) as made:
            exchange = made.begin(stream=False)
            await exchange.open()
            await exchange.body()
            await exchange.close()
            ((amount, said),) = made.rows("SELECT amount_msat, candidates FROM hold")
            ((provider, node, upstream, ceiling, most_in, most_out, price, cost),) = json.loads(said)
            assert (provider, node, upstream, cost) == ("acme", "", "model-a", None)
            assert price == [PRICE.input, PRICE.cached_input, PRICE.output, PRICE.request]
            assert amount == ceiling == most_in + most_out == PRICE.cost(input_tokens=most_in, output_tokens=most_out)

    asyncio.run(story())


@pytest.mark.parametrize(
    "facts",
    [
        KeyError("facts"),
        CallFacts(usage=Usage(input_tokens=-5, output_tokens=-5)),
        CallFacts(usage=Usage(input_tokens=10**30, cached_input_tokens=10**31, output_tokens=10**30)),
        CallFacts(cost_msat=Msat(-(10**30))),
        CallFacts(cost_msat=Msat(10**30)),
    ],
)
def test_facts_of_a_broken_plugin(tmp_path: Path, facts: CallFacts | Exception) -> None:
    class Odd(Reply):
        def facts(self) -> CallFacts:
            if isinstance(facts, Exception):
                raise facts
            return facts

        async def aclose(self) -> None:
            raise KeyError("close")

    async def does(call: Outbound) -> Reply:
        return Odd(200, {"content-type": "text/event-stream"}, chunks(CHUNK, CHUNK, DONE))

    async def story() -> None:
        async with bench(tmp_path, does) as made:
            exchange = made.begin()
            await exchange.open()
            assert (await everything(exchange)).endswith(DONE)
            await exchange.close()
            state, charged, _ = made.end()
            assert state == "settled"
            assert 0 <= charged <= 10**6
            if isinstance(facts, Exception):
                assert charged == 2 + -(-len(b'[{"role":"user","content":"Say hello"}]') // 4)

    asyncio.run(story())


@pytest.mark.parametrize("fails", [False, True])
def test_a_database_that_fails_for_a_while_gets_the_end_all_the_same(tmp_path: Path, fails: bool) -> None:
    async def refuses(call: Outbound) -> Reply:
        raise ConnectFailed("down")

    async def story() -> None:
        async with bench(tmp_path, refuses if fails else good) as made:
            made.vault.failures = 3
            exchange = made.begin(stream=False)
            if fails:
                with pytest.raises(UpstreamFailed):
                    await exchange.open()
            else:
                await exchange.open()
                await exchange.body()
            await exchange.close()
            assert made.vault.tried == 4
            assert made.end()[0] == ("released" if fails else "settled")

    asyncio.run(story())


def test_a_hold_that_fails_sends_nothing(tmp_path: Path) -> None:
    asked = []

    async def does(call: Outbound) -> Reply:
        asked.append(call)
        return await good(call)

    async def story() -> None:
        async with bench(tmp_path, does) as made:
            made.vault.hold_fails = True
            exchange = made.begin()
            with pytest.raises(VaultUnavailable) as refused:
                await exchange.open()
            assert "disk" not in str(refused.value)
            await exchange.close()
            assert asked == []
            assert made.rows("SELECT * FROM hold") == []

    asyncio.run(story())


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_at_any_moment(tmp_path: Path, turns: int, stream: bool) -> None:
    """A caller that leaves after so many turns of the loop; its end comes all the same, and once."""

    async def slow() -> AsyncIterator[bytes]:
        for part in (CHUNK, CHUNK, CHUNK, DONE):
            await asyncio.sleep(0)
            yield part

    async def does(call: Outbound) -> Reply:
        await asyncio.sleep(0)
        return Reply.of_events(slow()) if call.stream else await good(call)

    async def serve(exchange: Exchange) -> None:
        try:
            await exchange.open()
            await (everything(exchange) if stream else exchange.body())
        finally:
            await exchange.close()

    async def story() -> None:
        async with bench(tmp_path, does) as made:
            if turns % 3 == 2:
                made.vault.gate = asyncio.Event()
            exchange = made.begin(stream=stream)
            task = asyncio.create_task(serve(exchange))
            for _ in range(turns):
                await asyncio.sleep(0)
            if turns % 2 and not made.vault.gate:
                await asyncio.sleep(0.002 * turns)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            if made.vault.gate:
                made.vault.gate.set()
            await asyncio.gather(task, return_exceptions=True)
            if turns:
                await exchange.finish()
                assert made.rows("SELECT count(*) FROM hold WHERE state = 'held'") == [(0,)]
            assert made.rows("SELECT count(*) FROM transfer WHERE hold_seq IS NOT NULL")[0][0] <= 1

    asyncio.run(story())


def test_draining_ends_what_is_open_and_begins_no_more(tmp_path: Path) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield CHUNK
        await asyncio.Event().wait()

    async def does(call: Outbound) -> Reply:
        return Reply.of_events(silent())

    async def story() -> None:
        async with bench(tmp_path, does) as made:
            exchange = made.begin()
            await exchange.open()
            events = exchange.events()
            assert await anext(events) == (CHUNK, False)
            assert await made.flow.drain(5) == 0
            state, charged, receipt = made.end()
            assert (state, receipt["ending"]) == ("settled", "client_gone")
            assert charged > 0
            with pytest.raises(ShuttingDown):
                made.begin()
            await exchange.close()
            await events.aclose()

    asyncio.run(story())


def test_the_headers_of_a_reply(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, good) as made:
            exchange = made.begin(stream=False)
            await exchange.open()
            assert "x-arbstr-cost-msat" not in dict(exchange.headers())
            await exchange.body()
            said = dict(exchange.headers())
            assert said["x-arbstr-provider"] == "acme"
            assert said["x-arbstr-cost-msat"] == "4"
            assert int(said["x-arbstr-reserved-msat"]) >= 4
            await exchange.close()

    asyncio.run(story())
