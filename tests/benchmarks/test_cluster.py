"""The PostgreSQL that is measured is started by a process that knows nothing of the tests."""

from __future__ import annotations

import subprocess
import sys

from driving import ROOT

STARTS = """
from benchmarks.cluster import started_postgres
with started_postgres() as server:
    print(server.create_database())
"""


def test_it_starts_by_itself() -> None:
    done = subprocess.run([sys.executable, "-c", STARTS], cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("postgresql://")
