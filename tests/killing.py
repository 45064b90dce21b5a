"""Load on an arbstr that is killed, again and again; what its clients were told, and what must be true after it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
from house import ARBSTR, Process, Setup, chat, instance, run, share_keys, until_true, write
from postgres import Cluster
from unsynced import Unsynced
from upstream import Act, Upstream

FUND = 10**12
CALLERS = 6
CALLS = 30
"""How many must go through after a death that others outlive"""
PRICE = 11 + 4 * 5
"""What a call of the script costs, in msat."""
INPUT = -(-len('[{"role":"user","content":"Say hello"}]') // 4)
"""What its input costs as arbstr counts it."""
ORPHANS = """SELECT h.id FROM transfer x JOIN hold h ON h.seq = x.hold_seq WHERE x.memo = 'orphaned'"""
ENDS = "SELECT h.id, x.kind, x.amount_msat FROM transfer x JOIN hold h ON h.seq = x.hold_seq"
BALANCES = "SELECT a.id, b.posted_msat FROM agent a JOIN account b ON b.id = a.account_id"
LOST = "was acknowledged and is lost"


@dataclass(frozen=True)
class OnPostgres(Setup):
    """A setup whose database is on a server."""

    database_url: str

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query).fetchall()


def on_postgres(folder: Path, database_url: str, upstream: str, *, beside: Setup | None = None) -> OnPostgres:
    """A setup on PostgreSQL that beats often; `beside` another one, it has the same keys."""
    tables = f'[vault]\nheartbeat_seconds = 1\n[storage]\nurl = "{database_url}"\n'
    place = write(folder, instance("x", upstream) + tables)
    if beside is not None:
        share_keys(beside, place)
    return OnPostgres(place.folder, place.port, database_url)


@dataclass
class Acknowledged:
    """What clients were told, and saw."""

    charged: dict[str, int] = field(default_factory=dict)
    """msat by request id, of whole replies"""
    streamed: set[str] = field(default_factory=set)
    """streams that came to their end"""
    output: set[str] = field(default_factory=set)
    """streams of which at least a word came"""
    funded: dict[str, int] = field(default_factory=dict)
    """msat by agent id"""

    def enough(self, rounds: int) -> bool:
        """Whether so much was acknowledged that the checks of so many rounds say something."""
        return min(self._counts()) > rounds

    def require(self, rounds: int) -> None:
        """Enough was."""
        assert self.enough(rounds), self._counts()

    def _counts(self) -> tuple[int, ...]:
        return len(self.charged), len(self.streamed), len(self.output), 2 * len(self.funded)


def payer(place: Setup) -> dict[str, Any]:
    """The agent that pays for all calls."""
    new = {"name": "payer", "fund_msat": FUND, "max_charge_msat": 10**9, "daily_msat": FUND}
    answer = httpx.post(f"{place.url}/admin/agents", json=new, headers=place.operator(), timeout=30, trust_env=False)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


class Load:
    """Calls of both kinds, and work for the operator, on one arbstr.

    `patient` clients ask again where the ledger cannot be used, or a connection to arbstr breaks.
    """

    def __init__(self, place: Setup, agent: dict[str, Any], said: Acknowledged, name: str, *, patient: bool) -> None:
        self._place = place
        self._known = {"authorization": f"Bearer {agent['token']}"}
        self._said = said
        self._name = name
        self._patient = patient
        self._ending = False
        self.calls = 0
        """how many came to their end"""

    async def until(self, kill: Callable[[], Awaitable[object]]) -> None:
        """Load until `kill` is done; patient clients end their last call, with the others the connection breaks."""
        async with httpx.AsyncClient(base_url=self._place.url, timeout=60, trust_env=False) as http:
            work = [self._calls(http, stream=caller % 2 == 1) for caller in range(CALLERS)]
            tasks = [asyncio.create_task(each) for each in (*work, self._agents(http))]
            try:
                await kill()
            finally:
                self._ending = True
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, httpx.TransportError):
                raise outcome

    async def _calls(self, http: httpx.AsyncClient, *, stream: bool) -> None:
        while not self._ending:
            body = chat(stream=stream, max_tokens=50)
            async with http.stream("POST", "/v1/chat/completions", json=body, headers=self._known) as answer:
                if not await self._refused(answer):
                    await self._take(answer, stream=stream)

    async def _refused(self, answer: httpx.Response) -> bool:
        if answer.status_code == 200:
            return False
        await answer.aread()
        _require_known(answer)
        assert self._patient, answer.text
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "vault_unavailable"), answer.text
        await asyncio.sleep(0.02)
        return True

    async def _take(self, answer: httpx.Response, *, stream: bool) -> None:
        name = answer.headers["x-request-id"]
        text = b""
        async for part in answer.aiter_bytes():
            text += part
            if stream and b" word" in text:
                self._said.output.add(name)
        self.calls += 1
        if not stream:
            self._said.charged[name] = int(answer.headers["x-arbstr-cost-msat"])
        elif text.endswith(b"data: [DONE]\n\n"):
            self._said.streamed.add(name)
        else:
            assert self._patient, text
            assert b'"code":"vault_unavailable"' in text, text

    async def _agents(self, http: httpx.AsyncClient) -> None:
        turn = 0
        while not self._ending:
            turn += 1
            new = {"name": f"agent-{self._name}-{turn}", "fund_msat": 1000}
            made = await self._asked(http, "/admin/agents", new)
            if made is None:
                continue
            self._said.funded[made["id"]] = 1000
            for key in ("first", "second", "second"):
                funding = {"amount_msat": 500, "key": f"{key}-{made['id']}"}
                while (answer := await self._asked(http, f"/admin/agents/{made['id']}/fund", funding)) is None:
                    pass
                self._said.funded[made["id"]] = answer["posted_msat"]
            assert self._said.funded[made["id"]] == 2000, f"a funding of {made['id']} {LOST}"

    async def _asked(self, http: httpx.AsyncClient, path: str, document: dict[str, Any]) -> Any:
        """The answer, or None where patient clients are to ask again."""
        answer = await http.post(path, json=document, headers=self._place.operator())
        if answer.is_success:
            return answer.json()
        _require_known(answer)
        assert self._patient, answer.text
        assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.02)
        return None


def _require_known(answer: httpx.Response) -> None:
    """Whom a client was told of is there."""
    assert answer.status_code not in (401, 404), f"an agent {LOST}: {answer.text}"


def check(place: Setup, agent: dict[str, Any], said: Acknowledged, executed: int, *, seconds: float = 0) -> None:
    """Nothing acknowledged is lost, every hold has one end, and the sums are right; `executed`: what providers did.

    After a start on SQLite that is true at once; elsewhere holds are ended when the lease of their process is over.
    """
    _require_acknowledged(place, agent, said)
    _require_all_ended(place, seconds)
    settled = _require_ends(place, said, executed)
    balances = dict(place.rows(BALANCES))
    assert balances[agent["id"]] == FUND - settled, (balances[agent["id"]], settled)
    assert all(balances[name] <= 2000 for name in said.funded), balances


def _require_acknowledged(place: Setup, agent: dict[str, Any], said: Acknowledged) -> None:
    holds = {row[0] for row in place.rows("SELECT id FROM hold")}
    ends = {row[0]: row[1:] for row in place.rows(ENDS)}
    balances = dict(place.rows(BALANCES))
    for kind, told, found in (
        ("call", said.charged.keys() | said.streamed | said.output, holds),
        ("agent", said.funded.keys() | {agent["id"]}, balances.keys()),
    ):
        assert told <= found, f"the {kind} {min(told - found)} {LOST}, one of {len(told - found)}"
    for name, msat in said.charged.items():
        assert ends.get(name) == ("settle", msat) == ("settle", PRICE), f"the charge of {name} {LOST}: {ends.get(name)}"
    for name, msat in said.funded.items():
        assert balances[name] >= msat, f"the funding of {name} {LOST}"


def _require_all_ended(place: Setup, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        answer = httpx.get(f"{place.url}/admin/audit/verify", headers=place.operator(), timeout=60, trust_env=False)
        if (answer.status_code == 200 and not answer.json()["open_holds"]) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert answer.status_code == 200, answer.text
    ledger = answer.json()
    assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"]) == (True, 0, 0), ledger


def _require_ends(place: Setup, said: Acknowledged, executed: int) -> int:
    """Each hold ended once, as it must; what was settled altogether."""
    ends: dict[str, tuple[str, int]] = {}
    for hold, kind, msat in place.rows(ENDS):
        assert hold not in ends, f"{hold} ended twice"
        ends[hold] = (kind, msat)
    holds = {row[0] for row in place.rows("SELECT id FROM hold")}
    assert ends.keys() == holds, ends.keys() ^ holds
    for name in said.output | said.streamed:
        kind, msat = ends[name]
        assert (kind, msat > 0) == ("settle", True), f"output of {name} was seen, and it cost nothing"
    orphans = {row[0] for row in place.rows(ORPHANS)}
    # Nobody heard of the end of these: what was seen of each is its input, whether or not it had been sent yet.
    assert all(ends[hold] == ("settle", INPUT) for hold in orphans), {hold: ends[hold] for hold in orphans}
    assert not orphans & said.charged.keys(), orphans & said.charged.keys()
    settled = {hold: msat for hold, (kind, msat) in ends.items() if kind == "settle"}
    assert len(settled.keys() - orphans) <= executed, (len(settled), len(orphans), executed)
    return sum(settled.values())


async def after(seconds: float, kill: Callable[[], object]) -> None:
    """Wait for the moment that was drawn, and kill."""
    await asyncio.sleep(seconds)
    await asyncio.to_thread(kill)


def pauses(upstream: Upstream) -> Upstream:
    """Its calls take different times from now on."""
    upstream.script("m", *[Act(pause=0.005 * (turn % 3)) for turn in range(100_000)])
    return upstream


def cut_after_cut(folder: Path, *, cuts: int, seed: int, program: Sequence[str] = (ARBSTR,)) -> None:
    """Kill it so many times on SQLite; after each of them all that was not synced is lost, or a random part of it.

    Where the machine is so slow that it acknowledges little between two deaths, there are more of them.
    """
    chance = random.Random(seed)
    said = Acknowledged()
    (folder / "data").mkdir(mode=0o700)
    with Upstream() as upstream, Unsynced(folder / "data", pattern="*") as power:
        place = write(folder, instance("x", pauses(upstream).url))
        served = Process(place, env=power.environment(), program=program)
        try:
            agent = payer(place)
            for number in range(5 * cuts):
                if number >= cuts and said.enough(cuts):
                    break
                load = Load(place, agent, said, str(number), patient=False)
                run(load.until(partial(after, moment(chance), served.kill)))
                power.cut(seed=chance.choice((None, chance.getrandbits(32))))
                served = Process(place, env=power.environment(), program=program)
                check(place, agent, said, upstream.hits())
        finally:
            if served.running:
                served.kill()
    said.require(cuts)


def moment(chance: random.Random) -> float:
    """A moment to kill at, in seconds from the start of the load."""
    return chance.uniform(0.05, 0.4)


class Pair:
    """Processes on one database of PostgreSQL, all under load; one of them is killed, or the server is."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        upstream: Upstream,
        processes: int,
        *,
        program: Sequence[str] = (ARBSTR,),
    ) -> None:
        self._said = Acknowledged()
        self._upstream = pauses(upstream)
        self._rounds = 0
        self._places: list[OnPostgres] = []
        self._served: list[Process] = []
        self._program = program
        for number in range(processes):
            beside = self._places[0] if number else None
            self._places.append(on_postgres(folder / str(number), database_url, upstream.url, beside=beside))
            self._served.append(Process(self._places[-1], program=program))
        self._agent = payer(self._places[0])

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._served:
            if each.running:
                each.kill()

    def kill_one(self, seconds: float, which: int) -> None:
        """Kill one process after so many seconds of load; the others go on for a while, and end what it left."""
        loads = self._loads(patient=False)
        others = [number for number in range(len(loads)) if number != which]

        async def kill() -> None:
            await _go_on(loads, 3)
            await after(seconds, self._served[which].kill)
            await _go_on([loads[number] for number in others], CALLS)

        run(_while_all_load([loads[which], *(loads[number] for number in others)], kill))
        for number in others:
            self._check(self._places[number])
        self._served[which] = Process(self._places[which], program=self._program)
        self._check(self._places[which])

    def kill_server(self, cluster: Cluster, seconds: float, *, restart: bool) -> None:
        """Kill the server after so many seconds of load, and start it again; calls go through again by themselves.

        A hold whose COMMIT had no answer is nobody's: with `restart` the next processes end it, else its own does, as
        soon as it has been in no call for a minute.
        """
        loads = self._loads(patient=True)

        async def kill() -> None:
            await _go_on(loads, 3)
            await after(seconds, cluster.kill)
            # Not in another thread: the server ends with the one that started it.
            cluster.start()
            await _go_on(loads, CALLS)

        run(_while_all_load(loads, kill))
        if restart:
            assert [each.stop() for each in self._served] == [0] * len(self._served)
            self._served = [Process(place, program=self._program) for place in self._places]
        for place in self._places:
            self._check(place)

    def require(self) -> None:
        """Enough was acknowledged."""
        self._said.require(self._rounds)

    def _loads(self, *, patient: bool) -> list[Load]:
        self._rounds += 1
        return [
            Load(place, self._agent, self._said, f"{self._rounds}-{number}", patient=patient)
            for number, place in enumerate(self._places)
        ]

    def _check(self, place: OnPostgres) -> None:
        check(place, self._agent, self._said, self._upstream.hits(), seconds=90)


async def _while_all_load(loads: Sequence[Load], kill: Callable[[], Awaitable[None]]) -> None:
    killed = asyncio.create_task(kill())
    await asyncio.gather(*(load.until(partial(asyncio.wait, [killed])) for load in loads))
    await killed


async def _go_on(loads: Sequence[Load], more: int) -> None:
    """Wait until each has done so many calls more, which may wait for the end of a transaction to be found out."""
    enough = [(load, load.calls + more) for load in loads]
    await until_true(lambda: all(load.calls >= calls for load, calls in enough), 60)
