"""Owns the PostgreSQL that is measured: a throw-away cluster as the tests start it, with a few more buffers, and on
a disk."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import Missing
from benchmarks.processes import HERE


@contextmanager
def started_postgres() -> Iterator[Any]:
    """A server that answers; `create_database()` gives the url of a fresh database. Raises Missing."""
    if (folder := str(HERE.parent / "tests")) not in sys.path:
        sys.path.append(folder)
    tests = importlib.import_module("postgres")
    try:
        cluster = tests.Cluster(within=Path(tempfile.gettempdir()), shared_buffers="128MB", max_wal_size="2GB")
    except RuntimeError as absent:
        raise Missing(str(absent)) from absent
    with cluster:
        yield cluster
