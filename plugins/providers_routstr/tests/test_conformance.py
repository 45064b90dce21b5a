"""Held to the kits: as a plugin, and as a provider whose one node has money of ours."""

from __future__ import annotations

from typing import Any

import arbstr_providers_routstr
import httpx
import msgspec
import pytest
from arbstr_providers_routstr import RoutstrProvider
from arbstr_providers_routstr._records import NodeRecord
from routstr.node import Model

from arbstr_core.testing import KitTools, MemoryStore, PluginSuite, ProviderSuite, configure

TABLE = {"network": "regtest", "nodes": ["https://node.example"]}


class TestPlugin(PluginSuite):
    @pytest.fixture
    def plugin(self):
        return arbstr_providers_routstr

    def table(self) -> dict[str, Any]:
        return {**TABLE, "tiers": {"big-*": "frontier"}, "cap": "50 sat", "topup": "10 sat"}


def pages(request: httpx.Request) -> httpx.Response:
    match request.url.path:
        case "/v1/info":
            return httpx.Response(200, json={"name": "n", "mints": []})
        case "/v1/models":
            return httpx.Response(200, json={"data": [Model().row]})
        case "/v1/balance/info":
            return httpx.Response(200, json={"balance": 10_000_000, "reserved": 0, "total_spent": 0})
    return httpx.Response(404)


class TestRoutstr(ProviderSuite):
    @pytest.fixture
    def make(self):
        return lambda tools: RoutstrProvider(configure(arbstr_providers_routstr, TABLE), tools)

    def tools(self, **more: Any) -> KitTools:
        record = NodeRecord(url="https://node.example", key="sk-kit", balance_msat=10_000_000)
        store = MemoryStore()
        store._values["node:node.example"] = msgspec.json.encode(record)
        return super().tools(http=pages, store=store, **more)


def test_what_makes_no_sense_is_refused() -> None:
    for table, why in (
        ({"nodes": ["ftp://a"]}, "no http or https"),
        ({"nodes": ["https://u:p@a"]}, "a user"),
        ({"nodes": ["https://a", "https://a/v1/"]}, "the same"),
        ({"pay": []}, "pay is empty"),
        ({"cap": "10 sat", "topup": "20 sat"}, "cap at least topup"),
    ):
        with pytest.raises(Exception, match=why):
            configure(arbstr_providers_routstr, table)
