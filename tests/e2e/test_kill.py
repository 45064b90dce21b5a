"""Killed at random moments under load: nothing that was acknowledged is lost, nothing is paid twice, on both databases.

On SQLite the power is cut with it. On PostgreSQL one of two processes dies and the other ends its holds, or the server
itself dies under both.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Pair, cut_after_cut, moment
from postgres import Cluster, database
from upstream import Upstream


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One of its own, for it is killed."""
    with Cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("seed", [20_260_101, 20_260_102])
def test_ten_power_cuts(tmp_path: Path, seed: int) -> None:
    cut_after_cut(tmp_path, cuts=10, seed=seed)


def test_one_of_two_processes_dies(tmp_path: Path, postgres_url: str) -> None:
    chance = random.Random(3)
    with Upstream() as upstream, Pair(tmp_path, postgres_url, upstream, 2) as pair:
        for which in (0, 1):
            pair.kill_one(moment(chance), which)
        pair.require()


def test_the_server_dies(tmp_path: Path, cluster: Cluster) -> None:
    chance = random.Random(4)
    with database(cluster) as url, Upstream() as upstream, Pair(tmp_path, url, upstream, 1) as pair:
        for _ in range(3):
            pair.kill_server(cluster, moment(chance), restart=True)
        pair.require()
