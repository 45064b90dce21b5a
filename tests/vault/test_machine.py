"""Thousands of steps of the machine, on both databases, against the model; and that it finds what is broken."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from postgres import Cluster
from vault.machine import Machine
from vault.world import PostgresWorlds, SqliteWorlds

EXAMPLES = {"sqlite_worlds": 100, "postgres_worlds": 40}
STEPS = 40


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def sqlite_worlds(runner):
    worlds = SqliteWorlds(runner)
    yield worlds
    worlds.remove()


@pytest.fixture(scope="module")
def postgres_worlds(runner):
    # What is proven here is arithmetic, not durability.
    with Cluster(fsync="off", full_page_writes="off", synchronous_commit="off") as cluster:
        worlds = PostgresWorlds(runner, cluster)
        yield worlds
        worlds.remove()


def run(worlds, *, examples, number, steps=STEPS, phases=(Phase.generate,)):
    """Run the machine there; the number of steps. A failure says with which seed it comes again."""
    machine = seed(number)(type("Machine", (Machine,), {"worlds": worlds}))
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine, settings=how)
    except BaseException as failure:
        failure.add_note(f"SEED={number} repeats it")
        raise
    return machine.steps


def chosen():
    return int(os.environ.get("SEED", random.randrange(10**9)))


@pytest.mark.parametrize("where", ["sqlite_worlds", "postgres_worlds"])
def test_any_order_of_anything_gives_what_the_model_says(request, where):
    steps = run(request.getfixturevalue(where), examples=EXAMPLES[where], number=chosen())
    assert steps >= 10 * EXAMPLES[where]


@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_receipts_and_candidates_come_back_byte_for_byte(new_bench, text):
    async def story(bench):
        async with bench.vault() as vault:
            await bench.agent(vault)
            request = bench.request(5, candidates=text.encode())
            await vault.hold(request)
            await vault.release(request.id, text.encode())
            assert (await vault.receipt(request.id)).body == text.encode()
            assert bench.rows("SELECT CAST(candidates AS BLOB) FROM hold") == [(text.encode(),)]
            assert (await vault.verify()).first_bad is None

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(new_bench(Path(folder))))
