"""The same suite in front of a real LND: `pytest plugins/wallet_lnd -m live`, with two nodes in the environment.

The README says how they are named. What our own node of the other tests does is held to what these see.
"""

from __future__ import annotations

from typing import Any

import arbstr_wallet_lnd
import pytest
from lightning.peer import ENDINGS, Peer, live_secrets, live_table, peer

from arbstr_core.api import WalletRail
from arbstr_core.testing import KitTools, LoopClock, WalletSuite, WalletWorld, configure, kit_tools


def rail_at_the_node(tools: KitTools, _: Peer | None = None) -> WalletRail:
    (rail,) = arbstr_wallet_lnd.arbstr_wallet_rails(configure(arbstr_wallet_lnd, live_table()), tools)
    return rail


@pytest.mark.live
class TestLiveRail(WalletSuite):
    @pytest.fixture
    def world(self):
        return WalletWorld(other=peer, make=rail_at_the_node, endings=ENDINGS)

    def tools(self, **more: Any) -> KitTools:
        return kit_tools(clock=LoopClock(), secrets=live_secrets(), **more)
