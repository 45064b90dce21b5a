"""What the checks are worth: an arbstr that does not wait for the disk is caught by them, on both databases."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from house import NotServing
from killing import LOST, Pair, cut_after_cut
from postgres import Cluster, database
from upstream import Upstream

SQLITE = """
import sys
from arbstr_core.storage import _sqlite
told = _sqlite._PRAGMAS
_sqlite._PRAGMAS = tuple(each.replace("synchronous=FULL", "synchronous={}") for each in told)
assert _sqlite._PRAGMAS != told
from arbstr_core.cli import main
main()
"""
POSTGRESQL = """
import sys
from arbstr_core.storage import _postgresql
assert _postgresql._SETTINGS["synchronous_commit"] == "on"
_postgresql._SETTINGS["synchronous_commit"] = "off"
from arbstr_core.cli import main
main()
"""


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_sqlite_that_syncs_no_commit_is_caught(tmp_path: Path, synchronous: str) -> None:
    program = (sys.executable, "-c", SQLITE.format(synchronous))
    with pytest.raises((AssertionError, NotServing), match=LOST):
        cut_after_cut(tmp_path, cuts=5, seed=7, program=program)


@pytest.fixture
def lazy() -> Iterator[Cluster]:
    """A server that writes late what nobody waits for."""
    with Cluster(wal_writer_delay="10000ms") as cluster:
        yield cluster


def kill_after_kill(folder: Path, cluster: Cluster, program: Sequence[str]) -> None:
    with (
        database(cluster) as url,
        Upstream() as upstream,
        Pair(folder, url, upstream, 1, program=program) as pair,
    ):
        for _ in range(5):
            pair.kill_server(cluster, 0.5, restart=False)


def test_postgresql_that_syncs_no_commit_is_caught(tmp_path: Path, lazy: Cluster) -> None:
    with pytest.raises(AssertionError, match=LOST):
        kill_after_kill(tmp_path, lazy, (sys.executable, "-c", POSTGRESQL))
