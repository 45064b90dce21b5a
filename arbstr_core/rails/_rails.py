"""The rails that are enabled, by the network they move money on."""

from __future__ import annotations

from collections.abc import Sequence

from arbstr_core.api import Network, RailStatus, WalletRail
from arbstr_core.types import BadRequest


class Rails:
    """The enabled wallet rails, in the order of the configuration."""

    def __init__(self, rails: Sequence[WalletRail]) -> None:
        self._rails = tuple(rails)

    def default_realm(self) -> str:
        """Where a new agent's money lives if nobody says: `sim` if a simulated rail is there, else the one network.

        Raises BadRequest where there is no rail, or more than one network to choose from.
        """
        networks = {rail.network for rail in self._rails}
        if Network.SIM in networks:
            return Network.SIM.value
        if len(networks) == 1:
            return networks.pop().value
        if not networks:
            raise BadRequest("No wallet rail is enabled: add one to [arbstr] plugins, or name the realm", param="realm")
        raise BadRequest(f"Rails of several networks are enabled; name one: {_listed(networks)}", param="realm")

    def of_realm(self, realm: str) -> WalletRail:
        """The first rail that moves money of `realm`; raises BadRequest where there is none."""
        for rail in self._rails:
            if rail.network.value == realm:
                return rail
        networks = _listed({rail.network for rail in self._rails}) or "none"
        raise BadRequest(f"No enabled rail moves money of realm {realm!r}; realms here: {networks}", param="realm")

    async def status(self) -> dict[str, RailStatus]:
        """Every rail's state, by name."""
        return {rail.name: await rail.status() for rail in self._rails}


def _listed(networks: set[Network]) -> str:
    return ", ".join(sorted(network.value for network in networks))
