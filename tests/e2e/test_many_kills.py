"""`make campaign N=200`: as many power cuts on SQLite, and a quarter as many deaths on PostgreSQL of a process, and of
the server. The seed is printed; SEED repeats it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Pair, cut_after_cut, moment
from postgres import Cluster, database
from upstream import Upstream

pytestmark = pytest.mark.campaign


@pytest.fixture
def seed() -> int:
    drawn = int(os.environ.get("SEED", random.randrange(10**9)))
    print(f"seed {drawn}")
    return drawn


@pytest.fixture
def rounds() -> int:
    return int(os.environ["CAMPAIGN_N"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One of its own, for it is killed."""
    with Cluster() as cluster:
        yield cluster


def test_many_power_cuts(tmp_path: Path, rounds: int, seed: int) -> None:
    cut_after_cut(tmp_path, cuts=rounds, seed=seed)


@pytest.mark.parametrize("processes", [1, 2])
def test_many_deaths_of_a_process(tmp_path: Path, cluster: Cluster, rounds: int, seed: int, processes: int) -> None:
    chance = random.Random(seed)
    with database(cluster) as url, Upstream() as upstream, Pair(tmp_path, url, upstream, processes) as pair:
        for _ in range(max(1, rounds // 4)):
            pair.kill_one(moment(chance), chance.randrange(processes))
        pair.require()


def test_many_deaths_of_the_server(tmp_path: Path, cluster: Cluster, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    with database(cluster) as url, Upstream() as upstream, Pair(tmp_path, url, upstream, 2) as pair:
        for _ in range(max(1, rounds // 4)):
            pair.kill_server(cluster, moment(chance), restart=chance.random() < 0.8)
        pair.require()
