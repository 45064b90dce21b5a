"""Owns the PostgreSQL that is measured: a throw-away cluster as the tests start it, with a few more buffers, and on
a disk."""

from __future__ import annotations

import importlib.util
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
    file = HERE.parent / "tests" / "postgres.py"
    spec = importlib.util.spec_from_file_location("postgres", file)
    assert spec is not None, file
    assert spec.loader is not None, file
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    try:
        cluster = tests.Cluster(within=Path(tempfile.gettempdir()), shared_buffers="128MB", max_wal_size="2GB")
    except RuntimeError as absent:
        raise Missing(str(absent)) from absent
    with cluster:
        yield cluster
