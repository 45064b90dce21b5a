"""For every test of arbstr: none is skipped, for what cannot run here has failed here; and PostgreSQL is here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from mints import Mints
    from postgres import Cluster

# A busy machine must not fail a test: how long an example takes says nothing.
settings.register_profile("arbstr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("arbstr")

_SENTENCE = "a test was skipped, and none may be: make what it needs available, or deselect it by its marker"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{_SENTENCE} ({report.longrepr})"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{_SENTENCE} ({report.longrepr})"
    return report


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """What a test makes of the log of this process, as a command does that serves, ends with it."""
    root, ours = logging.getLogger(), logging.getLogger("arbstr")
    levels, propagate = (root.level, ours.level), ours.propagate
    yield
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    ours.propagate = propagate


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server, started for the first test that asks; who stops or kills it starts it again."""
    # Imported here: its driver takes longer to load than most tests take.
    from postgres import Cluster

    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_made(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database that holds arbstr's tables and no rows: to copy it takes a tenth of making them."""
    from arbstr_core.cli._data import schemas
    from arbstr_core.plugins import LoopClock
    from arbstr_core.storage import Database

    url = postgres.create_database()
    opened = Database.open(url, data_dir=tmp_path_factory.mktemp("made"), clock=LoopClock(), schemas=schemas())
    asyncio.run(opened.close())
    return url.rsplit("/", 1)[1]


@pytest.fixture
def postgres_url(postgres: Cluster, postgres_made: str) -> Iterator[str]:
    """The url of a fresh database for one test, with arbstr's tables in it."""
    from postgres import database

    with database(postgres, postgres_made) as url:
        yield url


@pytest.fixture
def postgres_empty_url(postgres: Cluster) -> Iterator[str]:
    """The url of a database for one test, in which there is nothing at all."""
    from postgres import database

    with database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def mints() -> Iterator[Mints]:
    """Ecash mints, each started for the first test that asks for it."""
    from mints import mints as started

    with started() as made:
        yield made
