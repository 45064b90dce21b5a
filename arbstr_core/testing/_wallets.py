"""Owns the conformance suite of wallet rails: money moves once, and nothing is called failed without evidence."""

from __future__ import annotations

from arbstr_core.api import Network, RailBalance, RailCapability, RailLimits, RailStatus, Unit
from arbstr_core.testing._other_side import Scene, WalletWorld
from arbstr_core.testing._rail_deposits import DepositTests
from arbstr_core.testing._rail_payments import PaymentTests
from arbstr_core.testing._rail_tokens import TokenTests


class WalletSuite(PaymentTests, DepositTests, TokenTests):
    """What every wallet rail promises. Subclass it as `TestAcme`, with one fixture that returns a WalletWorld:

    @pytest.fixture
    def world(self):
        return WalletWorld(other=acme_node, make=lambda tools, node: AcmeRail(node.url, tools), endings=(...))
    """

    def test_says_what_it_is(self, world: WalletWorld) -> None:
        """Name, network, unit and capabilities are what the contract's types say; its state comes without raising."""

        async def scenario(scene: Scene) -> None:
            rail = scene.rail
            assert isinstance(rail.name, str), f"a rail's name is text, not {rail.name!r}"
            assert rail.name.strip(), "the rail's name is empty"
            assert isinstance(rail.network, Network), f"network is {rail.network!r}"
            assert isinstance(rail.unit, Unit), f"unit is {rail.unit!r}"
            assert all(isinstance(each, RailCapability) for each in rail.capabilities), f"{rail.capabilities!r}"
            status = await rail.status()
            assert isinstance(status, RailStatus), f"status() returned {status!r}"
            assert status.identity, "status() does not say whose money it is"
            assert isinstance(await rail.limits(), RailLimits), "limits() are none"
            balance = await rail.balance()
            assert isinstance(balance, RailBalance), f"balance() returned {balance!r}"
            for amount in (balance.spendable_msat, balance.in_flight_msat, balance.closing_msat):
                assert type(amount) is int, f"balance() has {amount!r}, not integer msat"
                assert amount >= 0, f"balance() has {amount}"
            costs = [cost async for cost in rail.costs("")]
            assert len({cost.reference for cost in costs}) == len(costs), f"a cost comes twice: {costs!r}"

        self._run(world, scenario)

    def test_aclose_is_idempotent(self, world: WalletWorld) -> None:
        """`start`, then `aclose` twice."""

        async def scenario(scene: Scene) -> None:
            await scene.rail.aclose()
            await scene.rail.aclose()

        self._run(world, scenario)
