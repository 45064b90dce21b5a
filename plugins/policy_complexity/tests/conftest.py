"""Hands the labelled prompts to the tests: `labelled` is the module beside this file, which `make bench` loads, too."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def labelled() -> ModuleType:
    spec = importlib.util.spec_from_file_location("labelled_prompts", Path(__file__).with_name("labelled.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
