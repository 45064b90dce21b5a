"""The server that the tests start, killed: what was committed is there, what was not is not, and nothing lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from postgres import Cluster, database

KEPT = "SELECT array_agg(x ORDER BY x) FROM kept"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One of its own, which no other test waits for."""
    with Cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("end", [Cluster.kill, Cluster.stop_immediately, Cluster.stop])
def test_only_what_was_committed_outlives_the_server(cluster: Cluster, end: Callable[[Cluster], None]) -> None:
    with database(cluster) as url:
        with psycopg.connect(url, autocommit=True) as setup:
            setup.execute("CREATE TABLE kept (x int)")
            setup.execute("INSERT INTO kept VALUES (1)")
        with psycopg.connect(url) as open_one, busy(url):
            open_one.execute("INSERT INTO kept VALUES (2)")
            children = [pid for (pid,) in open_one.execute("SELECT pid FROM pg_stat_activity")]
            assert open_one.info.backend_pid in children
            end(cluster)
            assert cluster.pid is None
            assert [pid for pid in children if alive(pid)] == []
            with pytest.raises(psycopg.OperationalError):
                open_one.execute("INSERT INTO kept VALUES (3)")
        cluster.start()
        with psycopg.connect(url) as again:
            assert again.execute(KEPT).fetchone() == ([1],)


def test_a_server_that_does_not_run_is_a_sentence(cluster: Cluster) -> None:
    cluster.kill()
    for what in (cluster.kill, cluster.stop, cluster.stop_immediately):
        with pytest.raises(RuntimeError, match=r"PostgreSQL does not run: see .*/log\Z"):
            what()
    cluster.start()


def test_it_does_not_outlive_the_tests() -> None:
    script = "from postgres import Cluster; c = Cluster(); c.start(); print(c.folder, c.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as tests:
        assert tests.stdout is not None
        folder, pid = tests.stdout.readline().split()
        assert alive(int(pid))
        tests.send_signal(signal.SIGKILL)
    limit = time.monotonic() + 30
    while alive(int(pid)):
        assert time.monotonic() < limit
        time.sleep(0.01)
    subprocess.run(["rm", "-r", folder], check=True)


@contextmanager
def busy(url: str) -> Iterator[None]:
    """Someone whose server process is at work, and does not notice by itself that the others are gone."""

    def work() -> None:
        with psycopg.connect(url, autocommit=True) as connection, suppress(psycopg.OperationalError):
            connection.execute("DO $$ BEGIN LOOP END LOOP; END $$")

    thread = threading.Thread(target=work)
    thread.start()
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute("SELECT FROM pg_stat_activity WHERE query LIKE 'DO %'").fetchall():
            assert thread.is_alive()
    yield
    thread.join(30)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
