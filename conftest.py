"""Rules for every test of arbstr: none is skipped. What cannot run here has failed here."""

from __future__ import annotations

from collections.abc import Generator

import pytest

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
