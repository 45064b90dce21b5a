"""The LND rail, held to the kit's suites in front of a node of our own."""

from __future__ import annotations

from typing import Any

import arbstr_wallet_lnd
import pytest
from lightning import world as lightning

from arbstr_core.api import WalletRail
from arbstr_core.testing import KitTools, LoopClock, PluginSuite, WalletSuite, WalletWorld, kit_tools


class TestPlugin(PluginSuite):
    @pytest.fixture
    def plugin(self):
        return arbstr_wallet_lnd

    def table(self) -> dict[str, Any]:
        return {"macaroon": "file:arbstr.macaroon", "network": "regtest"}


class TestRail(WalletSuite):
    @pytest.fixture
    def world(self):
        self.secrets: dict[str, str | bytes] = {}
        return WalletWorld(other=lightning.other, make=self.make, endings=lightning.ENDINGS)

    def tools(self, **more: Any) -> KitTools:
        return kit_tools(clock=LoopClock(), secrets=self.secrets, **more)

    def make(self, tools: KitTools, other: lightning.Lightning) -> WalletRail:
        self.secrets.update(lightning.secrets_for(other.node))
        return lightning.rail_at(other.node, tools)
