"""A client that closes after k bytes, for every k: its call ends once, is paid for if anything was served, and leaks
nothing."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from house import Served, instance, run, serving, until_true, write
from leaving import asking, leave_after
from upstream import Act, Upstream

BOTH = pytest.mark.parametrize("stream", [False, True])
WORDS = 3
USED_MSAT = 11 + WORDS * 4
AT_ONCE = 24


async def every_size(served: Served, agent: dict[str, Any], stream: bool, step: int) -> list[bytes]:
    """Leave after 0, `step`, 2 x `step`, ... bytes, some at a time; what each client took."""
    ask = asking(served, agent, stream=stream)
    whole = await leave_after(served, ask, 10**9, abruptly=False)
    assert whole.count(b"word") == WORDS
    sizes = range(0, len(whole) + 1, step)
    ways = itertools.cycle([False, True])
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(size: int, abruptly: bool) -> bytes:
        async with gate:
            return await leave_after(served, ask, size, abruptly=abruptly)

    return [whole, *await asyncio.gather(*(one(size, next(ways)) for size in sizes))]


async def ended(served: Served) -> list[tuple[int, int]]:
    """(charge, hold) of every call, once none is open any more."""
    setup = served.setup
    await until_true(lambda: setup.rows("SELECT count(*) FROM hold WHERE state = 'held'") == [(0,)], 60)
    return setup.rows(
        "SELECT t.amount_msat, h.amount_msat FROM hold h LEFT JOIN transfer t ON t.hold_seq = h.seq ORDER BY h.seq"
    )


async def all_of_them(
    folder: Path, stream: bool, step: int, act: Act, dispatch: str
) -> tuple[list[bytes], list[Any], int]:
    with Upstream() as upstream:
        upstream.script("m", act)
        async with serving(write(folder, instance("x", upstream.url) + dispatch)) as served:
            agent = await served.agent()
            taken = await every_size(served, agent, stream, step)
            rows = await ended(served)
            await served.verified()
            return taken, rows, upstream.hits()


def check(taken: list[bytes], rows: list[Any], hits: int) -> int:
    """One end for each hold, within it, and a charge wherever a client saw output; how many charges there are."""
    assert hits <= len(rows) <= len(taken)
    assert all(charge is not None and 0 <= charge <= held for charge, held in rows), rows
    charged = sum(charge > 0 for charge, _ in rows)
    assert sum(b"word" in each for each in taken) <= charged <= hits
    return charged


@BOTH
def test_at_every_byte_of_an_answer_that_is_read_on(tmp_path: Path, stream: bool) -> None:
    """What the client does not hear is read for its usage: each call costs what it used, to the msat."""
    act = Act(words=WORDS, usage=(11, WORDS))
    taken, rows, hits = run(all_of_them(tmp_path, stream, 1, act, ""))
    assert check(taken, rows, hits) == hits
    assert {charge for charge, _ in rows} <= {0, USED_MSAT}


@BOTH
def test_at_every_byte_of_an_answer_that_is_let_go(tmp_path: Path, stream: bool) -> None:
    """Nothing is read on, and the provider takes its time: what came is counted, where something came."""
    act = Act(words=WORDS, usage=(11, WORDS), pause=0.01)
    taken, rows, hits = run(all_of_them(tmp_path, stream, 7, act, "[dispatch]\ndrain_seconds = 0\n"))
    check(taken, rows, hits)
