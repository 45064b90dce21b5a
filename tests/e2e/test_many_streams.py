"""Many slow streams at a time in one process: its memory stays what it is, and nobody waits for the others.

The upstream sends an event every 5 ms in each stream. It is the benchmarks' own, in C: another one would be slower than
what is measured.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvloop
from house import PRICED, Process, Setup, instance, run, serving, until, write
from streaming import asking, connected, slow_upstream

from arbstr_core.flow._kept import KeptAnswer
from arbstr_core.net._http1 import Incoming
from arbstr_core.web import HttpProtocol
from arbstr_core.wire import SseFramer

KB = 1024


def held(streams: int) -> tuple[int, float]:
    """(streams that are open, bytes a stream that an upstream has sent and that wait for its client, or for who asks
    again), in this process."""
    found = gc.get_objects()
    coming = [each for each in found if type(each) is Incoming and not each.ended]
    going = [each.transport for each in found if type(each) is HttpProtocol and each.transport is not None]
    size = sum(each._size for each in coming) + sum(len(each._rest) for each in found if type(each) is SseFramer)
    size += sum(each.held_bytes for each in found if type(each) is KeptAnswer)
    size += sum(each.get_write_buffer_size() for each in going if not each.is_closing())
    return min(len(coming), len(going)), size / streams


def test_what_is_held_for_a_stream(tmp_path: Path) -> None:
    """Next to nothing: what comes goes on at once, and what may be asked for again is packed."""
    streams, events = 60, 400

    async def story() -> None:
        with slow_upstream(tmp_path, events) as url:
            async with serving(write(tmp_path, instance("x", url))) as served:
                agent = await served.agent()
                ask = asking(agent["token"], events)
                readers = await asyncio.gather(*(connected(served.setup.port, ask) for _ in range(streams)))
                samples = []
                while not all(reader.whole.done() for reader in readers):
                    samples.append(held(streams))
                    await asyncio.sleep(0.05)
                assert all([await reader.whole for reader in readers])
                assert max(open for open, _ in samples) > streams // 2, "nobody looked while they were open"
                assert statistics.median(size for _, size in samples) < 10 * KB, samples
                await served.verified()

    run(story())


def test_clients_that_do_not_read_hold_up_the_upstream(tmp_path: Path) -> None:
    """Of ten megabytes that are there at once, arbstr takes a few hundred kilobytes; and all once they read on."""
    streams, events = 10, 40_000

    async def story() -> None:
        with slow_upstream(tmp_path, events, pause_ms=0) as url:
            async with serving(write(tmp_path, instance("x", url))) as served:
                agent = await served.agent()
                ask = asking(agent["token"], events)
                readers = [await connected(served.setup.port, ask, stopped=True) for _ in range(streams)]

                async def full() -> bool:
                    before = held(streams)
                    await asyncio.sleep(0.3)
                    return before == held(streams) and before[0] == streams and before[1] > 64 * KB

                await until(full, 60)
                _, size = held(streams)
                assert size < 1024 * KB
                for reader in readers:
                    reader.resume()
                assert all([await reader.whole for reader in readers])
                assert held(streams)[1] == 0
                await served.verified()

    run(story())


@dataclass
class Figures:
    """Of one process; sizes in bytes."""

    before: int
    peaks: list[int]
    longest_wait: float
    parts: int
    """the pieces that streams came in"""
    seconds: float


def resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * KB


async def rounds(setup: Setup, pid: int, token: str, streams: int, events: int, often: int) -> Figures:
    """`streams` at a time, `often` one after the other."""
    figures = Figures(0, [], 0.0, 0, 0.0)
    ask = asking(token, events)
    running = True

    async def look() -> None:
        """Whether anybody else has to wait, and how large the process is."""
        async with httpx.AsyncClient(base_url=setup.url, trust_env=False, timeout=60) as other:
            while running:
                began = time.monotonic()
                assert (await other.get("/readyz")).status_code == 200
                figures.longest_wait = max(figures.longest_wait, time.monotonic() - began)
                figures.peaks[-1] = max(figures.peaks[-1], resident(pid))
                await asyncio.sleep(0.02)

    # What the first calls load and keep is not the streams'.
    figures.before = await warmed(setup, pid, ask)
    figures.peaks.append(0)
    looking = asyncio.create_task(look())
    began = time.monotonic()
    for number in range(often):
        if number:
            figures.peaks.append(0)
        readers = await asyncio.gather(*(connected(setup.port, ask) for _ in range(streams)))
        assert all([await reader.whole for reader in readers])
        figures.parts += sum(reader.parts for reader in readers)
    figures.seconds = time.monotonic() - began
    running = False
    await looking
    return figures


async def warmed(setup: Setup, pid: int, ask: bytes) -> int:
    assert await (await connected(setup.port, ask)).whole
    return resident(pid)


def measured(folder: Path, streams: int, events: int, often: int) -> Figures:
    with slow_upstream(folder, events) as url:
        setup = write(folder, instance("x", url, f"[models.m]\n{PRICED}"))
        running = Process(setup)
        try:
            agent = setup.json(
                "agent", "create", "a", "--fund", "100000sat", "--max-charge", "1000sat", "--daily", "1btc"
            )
            story = rounds(setup, running.pid, agent["token"], streams, events, often)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                figures = runner.run(story)
            ledger = setup.json("audit", "verify")
            assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"]) == (True, 0, 0)
            assert ledger["transfers"] >= streams * often
            return figures
        finally:
            running.stop()


def test_the_memory_of_many_streams_is_theirs_alone(tmp_path: Path) -> None:
    """Nothing is left of a stream that has ended."""
    streams, often = 200, 10
    figures = measured(tmp_path, streams, 60, often)
    first, *_, last = figures.peaks
    assert (first - figures.before) / streams < 150 * KB, figures
    assert last - first < streams * often * 8 * KB, figures


@pytest.mark.campaign
def test_a_thousand_streams(tmp_path: Path) -> None:
    """For docs/evidence.md; on a machine that has nothing else to do, nobody waits for a second."""
    streams = 1000
    figures = measured(tmp_path, streams, 200, int(os.environ["CAMPAIGN_N"]))
    print(figures, f"{(figures.peaks[0] - figures.before) / streams / KB:.0f} KB a stream")
    first, *others = figures.peaks
    assert all(peak < 1.3 * first for peak in others), figures
    assert figures.longest_wait < 1.0, figures
