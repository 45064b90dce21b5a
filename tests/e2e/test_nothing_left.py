"""A call that has ended is gone at once, however it ended: nothing of it waits for the collector.

The collector comes late by choice (`arbstr serve` sets it so). What holds itself until then is kilobytes a call,
and a process that grows for an hour.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from house import UNBROKEN, Served, chat, instance, run, serving, until_true, write
from leaving import asking, leave_after
from upstream import Act, Upstream

Way = Callable[[Served, dict[str, Any]], Awaitable[None]]

CALLS = 3
SLOW = Act(pause=0.08)
"""Lasts until its client is watched, which calls of a moment never are."""
ENDPOINTS = 'endpoints = ["chat/completions", "messages", "responses", "completions"]'
PATIENT, IMPATIENT = 60, 0.3
"""seconds that a provider may be silent; few where it is to be found out"""


@contextmanager
def uncollected() -> Iterator[Counter[str]]:
    """By class, those objects of ours that ended in the block and were held by nothing but themselves."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("arbstr_core"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def asked(path: str, status: int, **fields: Any) -> Way:
    """A call that is answered with `status`."""

    async def way(served: Served, agent: dict[str, Any]) -> None:
        headers = {"authorization": f"Bearer {agent['token']}"}
        answer = await served.http.post(f"/v1/{path}", json=fields, headers=headers)
        assert answer.status_code == status, answer.text

    return way


def left(size: int, *, stream: bool) -> Way:
    """A client that leaves after `size` bytes of its answer."""

    async def way(served: Served, agent: dict[str, Any]) -> None:
        taking = asyncio.ensure_future(leave_after(served, asking(served, agent, stream=stream), size, abruptly=stream))
        if not size:
            await asyncio.sleep(0.15)
        await taking

    return way


async def refused(served: Served, agent: dict[str, Any]) -> None:
    """A call of an agent that has nothing left."""
    if "poor" not in agent:
        agent["poor"] = await served.agent("poor", fund=0)
    answer = await served.call(agent["poor"])
    assert answer.status_code == 402, answer.text


async def kept(served: Served, agent: dict[str, Any]) -> None:
    """A call that is asked for again, by its key."""
    headers = {"authorization": f"Bearer {agent['token']}", "idempotency-key": secrets.token_hex(8)}
    asked = {"json": chat(stream=True), "headers": headers}
    first, again = [await served.http.post("/v1/chat/completions", **asked) for _ in range(2)]
    assert (first.status_code, again.status_code, first.text) == (200, 200, again.text)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


SAYS_NOTHING, FALLS_SILENT = "says nothing", "falls silent"
WAYS: dict[str, tuple[Way, tuple[Act, ...]]] = {
    "whole": (asked("chat/completions", 200, **chat()), (Act(),)),
    "stream": (asked("chat/completions", 200, **chat(stream=True)), (Act(),)),
    "slow stream": (asked("chat/completions", 200, **chat(stream=True)), (SLOW,)),
    "slow messages": (asked("messages", 200, **chat(stream=True, max_tokens=50)), (SLOW,)),
    "slow response": (asked("responses", 200, model="m", input="hello", stream=True), (SLOW,)),
    "unknown model": (asked("chat/completions", 404, **chat("unknown")), ()),
    "no request": (asked("chat/completions", 400, model="m"), ()),
    "too dear": (refused, ()),
    "provider fails": (asked("chat/completions", 502, **chat()), (Act(how="status", status=500),)),
    "provider refuses": (asked("chat/completions", 400, **chat()), (Act(how="status", status=400),)),
    "cut before it begins": (asked("chat/completions", 502, **chat(stream=True)), (Act(how="cut_before"),)),
    "cut in the middle": (asked("chat/completions", 200, **chat(stream=True)), (Act(how="cut"),)),
    SAYS_NOTHING: (asked("chat/completions", 504, **chat(stream=True)), (Act(how="hang"),)),
    FALLS_SILENT: (asked("chat/completions", 200, **chat(stream=True)), (Act(how="stall"),)),
    "leaves while it waits": (left(0, stream=False), (Act(how="hang"),)),
    "leaves in the middle": (left(400, stream=True), (Act(pause=0.08, words=20),)),
    "asks again": (kept, (SLOW,)),
}


@pytest.mark.parametrize("name", WAYS)
def test_nothing_waits_for_the_collector(tmp_path: Path, name: str) -> None:
    way, acts = WAYS[name]
    silent = IMPATIENT if name in (SAYS_NOTHING, FALLS_SILENT) else PATIENT
    rules = f"[dispatch]\nfirst_byte_seconds = {silent}\nidle_seconds = {silent}\ndrain_seconds = 0.1\n"

    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", *acts)
            setup = write(tmp_path, instance("x", upstream.url, more=ENDPOINTS) + UNBROKEN + rules)
            async with serving(setup) as served:
                agent = await served.agent()
                await way(served, agent)
                await no_call(served)
                with uncollected() as found:
                    for _ in range(CALLS):
                        await way(served, agent)
                    await no_call(served)
                assert not found

    run(story())


async def no_call(served: Served) -> None:
    """Wait until none is open, and its tasks have ended."""
    await until_true(lambda: not served.setup.rows("SELECT 1 FROM hold WHERE state = 'held'"))
    busy = ("RequestResponseCycle.run_asgi", "Watch._look")
    await until_true(lambda: not any(each.get_coro().__qualname__ in busy for each in asyncio.all_tasks()))
    await asyncio.sleep(0.05)
