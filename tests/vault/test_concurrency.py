"""Many at once: on one agent and on a family of keys, in one process and in eight, at the edges of the limits' windows.

The eight share one database, whose clock says what a table says; their own are days off.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from serial import Seen, serial
from vault.world import CLOCK

from arbstr_core.vault import Granted, Limits, NewAgent, RefusalReason, Refused

PROCESSES = 8
DAY = 86_400_000
NOON = 20_300 * DAY + DAY // 2


async def child(vault, name, parent="ag_alice", **limits):
    """A child key."""
    own = Limits(**{"max_charge_msat": 10**9, "daily_msat": 10**9, **limits})
    token = hashlib.sha256(name.encode()).digest()
    await vault.create_agent(NewAgent(id=name, name=name, realm="sim", token_hash=token, parent=parent, limits=own))


def test_what_one_child_gives_back_its_sibling_may_use_in_the_same_batch(bench):
    async def story():
        async with bench.vault() as vault:
            await bench.agent(vault, fund=100_000, max_charge=1_000, daily=1_000)
            for name in ("amy", "ben"):
                await child(vault, name)
            first = bench.request(1_000, agent="amy")
            assert isinstance(await vault.hold(first), Granted)
            second = bench.request(1_000, agent="ben")
            _, answer = await asyncio.gather(vault.release(first.id, b"{}"), vault.hold(second))
            assert isinstance(answer, Granted), answer
            assert (await vault.verify()).ok

    asyncio.run(story())


@pytest.mark.parametrize(
    ("daily", "reason"), [(10**9, RefusalReason.INSUFFICIENT), (10_000, RefusalReason.DAILY)], ids=["balance", "limit"]
)
def test_t1_t18_a_family_of_keys_gets_what_its_root_has_and_no_more(bench, daily, reason):
    """T1, T18: 64 calls of a root, its children and theirs, and another agent's beside them."""

    async def story():
        async with bench.vault() as vault:
            await bench.agent(vault, fund=10_000 if daily == 10**9 else 10**6, daily=daily)
            await bench.agent(vault, "bob", fund=3_000, daily=10**9)
            for name, parent in (("amy", "ag_alice"), ("ben", "ag_alice"), ("cat", "amy")):
                await child(vault, name, parent)
            callers = itertools.cycle(("ag_alice", "amy", "ben", "cat"))
            ours = [bench.request(1_000, agent=next(callers)) for _ in range(64)]
            others = [bench.request(1_000, agent="ag_bob") for _ in range(8)]
            answers = await asyncio.gather(*map(vault.hold, random.Random(1).sample(ours + others, 72)))
            granted = Counter(type(answer) for answer in answers)
            assert granted == {Granted: 10 + 3, Refused: 54 + 5}
            refused = {answer.reason for answer in answers if isinstance(answer, Refused)}
            assert refused == {reason, RefusalReason.INSUFFICIENT}
            assert (await vault.agent("alice")).held_msat == 10_000
            assert (await vault.verify()).ok

    asyncio.run(story())


class Rivals:
    """Eight processes, and the database that they share."""

    def __init__(self, url, folder, log):
        self.url, self._log, self._numbers = url, log, itertools.count()
        self.connection = psycopg.connect(url, autocommit=True)
        self._processes = []
        for n in range(PROCESSES):
            own = folder / f"rival-{n}"
            own.mkdir()
            script = str(Path(__file__).with_name("rival.py"))
            command = [sys.executable, script, url, str(own), f"rival-{n}", str((n - 4) * DAY)]
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            )
        assert [each.stdout.readline() for each in self._processes] == ["ready\n"] * PROCESSES
        self._read = self._log.stat().st_size

    def begin(self, work):
        """`work` gives each process its stories."""
        for process, stories in zip(self._processes, work, strict=True):
            process.stdin.write(json.dumps(stories) + "\n")

    def done(self):
        """What each step gave, of all of them."""
        told = [step for process in self._processes for step in json.loads(process.stdout.readline())]
        assert [step for step in told if step[3][0] == "error"] == []
        return told

    def play(self, work):
        self.begin(work)
        return self.done()

    def complaints(self):
        """What the server said of deadlocks and constraints since; its own housekeeping may give way to us."""
        with self._log.open() as log:
            log.seek(self._read)
            told = [line for line in log if "ERROR" in line or "deadlock" in line]
        return [line for line in told if "canceling autovacuum task" not in line]

    def tell(self, now):
        self.connection.execute("UPDATE told_time SET ms = %s", (now,))

    def name(self):
        return f"call-{next(self._numbers)}"

    def hold(self, agent, *ceilings):
        return ["hold", self.name(), agent, ceilings]

    def end(self):
        self.connection.close()
        for process in self._processes:
            process.communicate(timeout=30)
        assert [process.returncode for process in self._processes] == [0] * PROCESSES


@pytest.fixture(scope="module")
def rivals(postgres, new_bench, tmp_path_factory):
    url, folder = postgres.create_database(), tmp_path_factory.mktemp("rivals")

    async def make():
        async with new_bench(folder, url).vault():
            pass

    asyncio.run(make())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CLOCK)
    made = Rivals(url, folder, postgres.log)
    made.tell(NOON)
    yield made
    made.end()
    postgres.drop_database(url)


@pytest.fixture
def shared(rivals, new_bench, tmp_path):
    """A bench on their database, and afterwards a look at all of it."""
    bench = new_bench(tmp_path, rivals.url)
    rivals.tell(NOON)
    yield bench

    async def look():
        async with bench.vault("looker") as vault:
            found = await vault.verify()
            assert found.ok, found.first_bad

    asyncio.run(look())
    assert rivals.complaints() == []


def prepare(bench, **agents):
    """Make agents: name = (fund, daily, more limits)."""

    async def make():
        async with bench.vault("maker") as vault:
            for name, (fund, daily, more) in agents.items():
                await bench.agent(vault, name, fund=fund, max_charge=10**9, daily=daily)
                if more:
                    limits = Limits(max_charge_msat=10**9, daily_msat=daily, **more)
                    await vault.set_limits(f"ag_{name}", limits)

    asyncio.run(make())


def of_account(told, agent):
    """What an account's owner saw, for `serial`."""
    amounts = {step[1]: result[1] for step, _, _, result in told if step[0] == "hold" and result[0] == "granted"}
    mine = {step[1] for step, *_ in told if step[0] == "hold" and step[2] == agent}
    for step, start, end, result in told:
        if step[1] not in mine:
            continue
        if step[0] != "hold":
            held, charge = amounts[step[1]], result[1]
            yield Seen(start, end, held=-held, posted=-charge, used=charge - held) if result[2] else Seen(start, end)
        elif result[0] == "granted":
            yield Seen(start, end, held=result[1], used=result[1])
        elif result[0] == "insufficient":
            yield Seen(start, end, refused=True, left=result[1], open=result[2])
        else:
            assert result[0] == "daily"
            yield Seen(start, end, refused=True, daily_left=result[1], open=result[2])


def test_eight_processes_share_one_agent_to_the_last_msat(rivals, shared):
    """T1, with replicas: balance for forty, and four hundred ask for it."""
    prepare(shared, one=(4_000, 10**9, {}))
    told = rivals.play([[[rivals.hold("ag_one", 100)] for _ in range(50)] for _ in range(PROCESSES)])
    assert Counter(result[0] for *_, result in told) == {"granted": 40, "insufficient": 360}
    assert serial(list(of_account(told, "ag_one")), posted=4_000, daily=10**9)


def test_eight_processes_do_what_one_could_have_done(rivals, shared):
    """Calls that come and go, on one agent whose money and whose day are both scarce: some order explains each
    answer."""
    prepare(shared, scarce=(2_000, 1_700, {}))
    chance = random.Random(7)
    work = [[calls(rivals, chance, "ag_scarce") for _ in range(3)] for _ in range(PROCESSES)]
    told = rivals.play(work)
    seen = list(of_account(told, "ag_scarce"))
    assert sum(each.refused for each in seen) > 20
    assert sum(each.held > 0 for each in seen) > 10
    assert serial(seen, posted=2_000, daily=1_700)


def calls(rivals, chance, *agents, costs=(), sellers=(None,), calls=6):
    """One caller's: each call is ended before the next."""
    steps = []
    for _ in range(calls):
        hold = rivals.hold(chance.choice(agents), chance.choice((100, 300)))
        steps.append(hold)
        if chance.random() < 0.3:
            steps.append(["release", hold[1]])
        else:
            bills = [chance.choice(costs)] if costs else []
            steps.append(["settle", hold[1], chance.choice((0, 60, 100)), bills, chance.choice(sellers)])
        if chance.random() < 0.2:
            # It is told twice, and ends once.
            steps.append(steps[-1])
    return steps


def test_twenty_agents_with_nodes_and_sellers_and_funding_never_wait_in_a_circle(rivals, shared):
    """All accounts of a transaction are locked in one order, those that only the calls' ends name included; and what
    is new to all of them is made once."""
    names = [f"many{n}" for n in range(20)]
    prepare(shared, **{name: (5_000, 10**9, {}) for name in names})
    chance, work = random.Random(11), []
    agents = [f"ag_{name}" for name in names]
    for _ in range(PROCESSES):
        costs = [[10, f"node{n}"] for n in range(6)] + [[10, None]]
        sellers = [f"seller{n}" for n in range(6)] + [None]
        stories = [calls(rivals, chance, *agents, costs=costs, sellers=sellers) for _ in range(8)]
        funds = [[["fund", chance.choice(agents), 10, rivals.name()] for _ in range(5)] for _ in range(2)]
        work.append(stories + funds)
    told = rivals.play(work)
    funded = Counter(step[1] for step, *_ in told if step[0] == "fund")
    charged = Counter()
    for _, _, _, result in told:
        charged["settled"] += result[1] if result[0] == "settled" and result[2] else 0
    sums = "SELECT sum(posted_msat), sum(held_msat) FROM account WHERE name LIKE 'agent:ag_many%'"
    posted, held = rivals.connection.execute(sums).fetchone()
    assert (posted, held) == (20 * 5_000 + 10 * funded.total() - charged["settled"], 0)


def test_t19_no_window_is_passed_at_its_edge_while_the_clock_jumps(rivals, shared):
    """T19: a day, an hour and a minute, while time goes back and forth over their edges; and each is used up."""
    prepare(
        shared,
        day=(10**9, 1_000, {}),
        hour=(10**9, 10**9, {"hourly_msat": 1_000}),
        minute=(10**9, 10**9, {"per_minute": 10}),
    )
    edge, chance = 20_400 * DAY, random.Random(13)
    agents = ("ag_day", "ag_hour", "ag_minute")

    def rush():
        return [[[rivals.hold(agent, 100) for agent in agents for _ in range(4)]] for _ in range(PROCESSES)]

    for _ in range(4):
        rivals.tell(edge - 1)
        rivals.begin(rush())
        for _ in range(100):
            rivals.tell(edge + chance.choice((-1, 0, -6_000, 6_000, -59_999, 60_000, -3_599_999, 3_600_000)))
        rivals.done()
    for now in (edge - 1, edge):
        rivals.tell(now)
        rivals.play(rush())
    rows = rivals.connection.execute(
        "SELECT agent_id, window_start_ms, created_ms FROM hold WHERE agent_id = ANY(%s)", (list(agents),)
    ).fetchall()
    assert Counter(row[1] for row in rows if row[0] == "ag_day") == {edge - DAY: 10, edge: 10}
    for agent, span in (("ag_hour", 3_600_000), ("ag_minute", 60_000)):
        times = sorted(row[2] for row in rows if row[0] == agent)
        assert max(sum(start <= at < start + span for at in times) for start in times) <= 10
        rivals.tell(edge + DAY)
        told = rivals.play([[[rivals.hold(agent, 100) for _ in range(4)]] for _ in range(PROCESSES)])
        assert Counter(result[0] for *_, result in told)["granted"] == 10


def test_the_clocks_of_processes_do_not_count(rivals, shared):
    """They are days apart, and every hold is of the database's time."""
    prepare(shared, skewed=(10**6, 1_000, {}))
    told = rivals.play([[[rivals.hold("ag_skewed", 100)] for _ in range(4)] for _ in range(PROCESSES)])
    assert Counter(result[0] for *_, result in told)["granted"] == 10
    when = rivals.connection.execute(
        "SELECT DISTINCT window_start_ms, created_ms FROM hold WHERE agent_id = 'ag_skewed'"
    ).fetchall()
    assert when == [(NOON - DAY // 2, NOON)]


@pytest.mark.parametrize(
    ("answers", "possible"),
    [
        ([Seen(0, 1, held=60, used=60), Seen(0, 1, refused=True, left=40, open=60)], True),
        ([Seen(0, 1, held=60, used=60), Seen(0, 1, refused=True, left=100, open=0)], True),
        ([Seen(0, 1, held=60, used=60), Seen(2, 3, refused=True, left=100, open=0)], False),
        ([Seen(0, 1, held=60, used=60), Seen(0, 1, held=60, used=60)], False),
        ([Seen(0, 1, held=60, used=60), Seen(0, 1, refused=True, left=50)], False),
        ([Seen(0, 1, held=60, used=60), Seen(2, 3, held=-60, posted=-60), Seen(4, 5, held=60, used=60)], False),
        ([Seen(0, 5, held=60, used=60), Seen(1, 4, held=60, used=60), Seen(2, 3, held=-60, used=-60)], True),
    ],
)
def test_the_search_for_an_order_can_fail(answers, possible):
    assert serial(answers, posted=100, daily=100) is possible
