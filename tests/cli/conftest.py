"""A house for commands, once with a server that runs and once without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from house import Setup, instance, process, write
from upstream import Upstream


@pytest.fixture(params=["running", "alone"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setup]:
    """A house with one model on offer."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        found = write(tmp_path, instance("x", upstream.url))
        if request.param == "running":
            stack.enter_context(process(found))
        yield found
