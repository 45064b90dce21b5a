"""For every test of arbstr: none is skipped, for what cannot run here has failed here; and PostgreSQL is here."""

from __future__ import annotations

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server, started for the first test that asks; who stops or kills it starts it again."""
    # Imported here: its driver takes longer to load than most tests take.
    from postgres import Cluster

    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    """The url of a fresh database for one test."""
    from postgres import database

    with database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def mints() -> Iterator[Mints]:
    """Ecash mints, each started for the first test that asks for it."""
    from mints import mints as started

    with started() as made:
        yield made
