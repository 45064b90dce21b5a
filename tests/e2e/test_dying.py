"""`make campaign N=20`: twenty rounds of real processes that die and come back, past two hundred calls a second.

Six providers, each a process: three are killed and started again, or stopped and let go on, at random. Every call for
which a candidate was up from its beginning to its end has to succeed. The seed is printed; SEED repeats it. In virtual
time it is tests/dispatch/test_dying.py.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from house import Process, Setup, instance, process, write
from ports import free_port

from benchmarks.processes import MODEL, compiled_upstream

pytestmark = pytest.mark.campaign

SECONDS = 10
A_SECOND = 200
NODES = 6
DYING = 3
RARE = "rare"
"""what only those sell that die"""
MARGIN = 0.1
"""seconds in which a process may already be what it is said to become"""
TABLES = (
    "[routing]\nkeep = 3\n[dispatch]\nfirst_byte_seconds = 2\nidle_seconds = 2\n[dispatch.breaker]\nopen_seconds = 2\n"
)


@dataclass
class Node:
    """A provider: its process, and when it was up."""

    program: Path
    number: int
    port: int = field(default_factory=free_port)
    turns: list[tuple[float, bool]] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _stopped: bool = False

    @property
    def name(self) -> str:
        return f"providers_openai.n{self.number}"

    async def rise(self) -> None:
        """Go on, or start again."""
        if self._stopped:
            assert self._process is not None
            self._process.send_signal(signal.SIGCONT)
            self._stopped = False
        else:
            self._process = subprocess.Popen([str(self.program), "-p", str(self.port)])
            while not self._answers():
                await asyncio.sleep(0.01)
        self.turns.append((time.monotonic() + MARGIN, True))

    def fall(self, *, hang: bool) -> None:
        """Take calls and say nothing, or be gone."""
        self.turns.append((time.monotonic() - MARGIN, False))
        assert self._process is not None
        self._stopped = hang
        self._process.send_signal(signal.SIGSTOP if hang else signal.SIGKILL)
        if not hang:
            self._process.wait()

    def end(self) -> None:
        self.turns.append((time.monotonic() - MARGIN, False))
        self._stopped = False
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def up_all_of(self, began: float, ended: float) -> bool:
        before = [up for at, up in self.turns if at <= began]
        return bool(before) and before[-1] and not any(began < at <= ended for at, _ in self.turns)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@dataclass
class Told:
    """How the calls of a round went."""

    calls: int = 0
    served: int = 0
    refused: int = 0
    """there was nobody to ask: no candidate was held"""
    wronged: list[str] = field(default_factory=list)


async def leads_a_life(node: Node, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.uniform(0.5, 3))
        node.fall(hang=chance.random() < 0.5)
        await asyncio.sleep(chance.uniform(0.5, 3))
        await node.rise()


async def one(http: aiohttp.ClientSession, url: str, model: str, nodes: list[Node], told: Told) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello. " * 60}], "max_tokens": 200}
    began = time.monotonic()
    async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
        text = await answer.text()
    ended = time.monotonic()
    told.calls += 1
    told.served += answer.status == 200
    if answer.status == 503 and "open circuits" in text:
        told.refused += 1
    elif answer.status != 200 and any(node.name in text and node.up_all_of(began, ended) for node in nodes):
        told.wronged.append(f"{answer.status} after {ended - began:.2f} s: {text}")


async def round_of(seed: int, url: str, token: str, nodes: list[Node]) -> Told:
    chance, told = random.Random(seed), Told()
    for node in nodes:
        await node.rise()
    await asyncio.sleep(2 * MARGIN)
    headers = {"authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(limit=0)
    lives = [asyncio.create_task(leads_a_life(node, chance)) for node in nodes[:DYING]]
    async with aiohttp.ClientSession(connector=connector, headers=headers) as http:
        calls, start = [], time.monotonic()
        for number in range(SECONDS * A_SECOND):
            await asyncio.sleep(max(0.0, start + number / A_SECOND - time.monotonic()))
            model = RARE if chance.random() < 0.3 else MODEL
            calls.append(asyncio.create_task(one(http, url, model, nodes, told)))
        await asyncio.gather(*calls)
    for life in lives:
        life.cancel()
    await asyncio.gather(*lives, return_exceptions=True)
    return told


def sold(number: int) -> str:
    price = f'input = "{100 + number} sat"\noutput = "{100 + number} sat"\n'
    common = f'[models."{MODEL}"]\n{price}'
    return common + (f'[models.{RARE}]\nupstream = "{MODEL}"\n{price}' if number < DYING else "")


def played(setup: Setup, served: Process, seed: int, nodes: list[Node]) -> Told:
    name = f"agent-{seed}"
    limits = ("--fund", "0.1btc", "--max-charge", "1btc", "--daily", "1btc")
    agent = setup.json("agent", "create", name, *limits)
    try:
        told = asyncio.run(round_of(seed, setup.url, agent["token"], nodes))
    finally:
        for node in nodes:
            node.end()
    assert served.running
    return told


def test_whoever_holds_one_that_is_up_gets_an_answer(tmp_path: Path) -> None:
    first = int(os.environ.get("SEED", random.randrange(10**9)))
    program = compiled_upstream(tmp_path)
    nodes = [Node(program, number) for number in range(NODES)]
    rows = [instance(f"n{node.number}", f"http://127.0.0.1:{node.port}/v1", sold(node.number)) for node in nodes]
    setup = write(tmp_path, "".join(rows) + TABLES)
    with process(setup) as served:
        for seed in range(first, first + int(os.environ["CAMPAIGN_N"])):
            told = played(setup, served, seed, nodes)
            print(f"seed {seed}: {told.served} of {told.calls} served, {told.refused} with nobody to ask")
            assert told.wronged == [], seed
            assert told.served > 0.7 * told.calls, seed
        found = setup.json("audit", "verify")
        assert (found["ok"], found["open_holds"]) == (True, 0), found
