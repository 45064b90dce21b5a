"""Acme's own test, as its author would write it: a class and a fixture."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from arbstr_core.api import Provider
from arbstr_core.testing import KitTools, ProviderSuite, configure, kit_tools

URL = "https://acme.example/v1"
PRICES = [{"model": "acme-1", "input": 1_000_000, "output": 4_000_000}]


class TestAcme(ProviderSuite):
    def tools(self, **more: object) -> KitTools:
        return kit_tools(http=lambda request: httpx.Response(200, json=PRICES), **more)

    @pytest.fixture
    def make(self, acme: object) -> Callable[[KitTools], Provider]:
        config = configure(acme, {"url": URL})
        return lambda tools: acme.arbstr_providers(config, tools)[0]


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The plugin, importable for one test."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "arbstr_providers_acme")
    import arbstr_providers_acme

    yield arbstr_providers_acme
    sys.modules.pop("arbstr_providers_acme")
