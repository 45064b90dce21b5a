"""Runs a suite of the kit by calling its methods, and tells which of them fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Failures = Callable[..., dict[str, str]]


@pytest.fixture
def failures() -> Failures:
    """`failures(Suite(), fixture=value)`: the failed tests of a suite by name, with what each one says."""
    return _failures


def _failures(suite: object, **fixtures: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, test in inspect.getmembers(suite, inspect.ismethod):
        if not name.startswith("test_"):
            continue
        for case in _cases(test):
            with pytest.MonkeyPatch.context() as patch:
                known = {"monkeypatch": patch, **fixtures, **case}
                wanted = {each: known[each] for each in inspect.signature(test).parameters}
                try:
                    test(**wanted)
                except (Exception, pytest.fail.Exception) as failed:
                    found[name] = f"{type(failed).__name__}: {failed}"
    return found


def _cases(test: Any) -> Iterator[dict[str, Any]]:
    """One dictionary of arguments for each case of a parametrized test; an empty one for another test."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    if not marks:
        yield {}
    for mark in marks:
        name, values = mark.args
        for value in values:
            yield {name: value}
