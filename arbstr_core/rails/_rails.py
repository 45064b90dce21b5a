"""The rails that are enabled, by the network they move money on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from arbstr_core.api import Network, RailCapability, RailState, RailStatus, WalletRail
from arbstr_core.rails._drive import Raised, answered
from arbstr_core.rails._elsewhere import Elsewhere
from arbstr_core.types import BadRequest

_STATUS_SECONDS = 10.0


class Rails:
    """The enabled wallet rails, in the order of the configuration."""

    def __init__(self, rails: Sequence[WalletRail]) -> None:
        self._rails = tuple(rails)

    def become(self, rails: Sequence[WalletRail]) -> None:
        """From now on these are enabled: of another process, which has said so."""
        self._rails = tuple(rails)

    @property
    def all(self) -> tuple[WalletRail, ...]:
        """All of them."""
        return self._rails

    def find(self, name: str) -> WalletRail | None:
        """The rail with this name."""
        return next((rail for rail in self._rails if rail.name == name), None)

    def named(self, name: str) -> WalletRail:
        """The same; raises BadRequest where there is none."""
        found = self.find(name)
        if found is None:
            names = ", ".join(rail.name for rail in self._rails) or "none"
            raise BadRequest(f"There is no rail {name!r}; rails here: {names}", param="rail")
        return found

    def realms(self) -> list[str]:
        """The realms whose money is moved here, in order."""
        return list(dict.fromkeys(rail.network.value for rail in self._rails))

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

    def within(self, realm: str, *needed: RailCapability) -> tuple[WalletRail, ...]:
        """The rails that move money of `realm` and can do all that is needed."""
        return tuple(rail for rail in self._rails if rail.network.value == realm and rail.capabilities >= set(needed))

    async def status(self, *, seconds: float = _STATUS_SECONDS) -> dict[str, RailStatus]:
        """The state of every rail of this process, by name; one that takes longer than `seconds` to say is down."""
        here = [rail for rail in self._rails if not isinstance(rail, Elsewhere)]
        found = await asyncio.gather(*(status_of(rail, seconds) for rail in here))
        return {rail.name: status for rail, status in zip(here, found, strict=True)}


class HasStatus(Protocol):
    """What says how it is."""

    async def status(self) -> RailStatus:
        """Its state."""


async def status_of(rail: HasStatus, seconds: float = _STATUS_SECONDS) -> RailStatus:
    """A rail's state; one that does not say is down."""
    said = await answered(rail.status(), seconds=seconds)
    return RailStatus(state=RailState.DOWN, detail=said.what) if isinstance(said, Raised) else said


def _listed(networks: set[Network]) -> str:
    return ", ".join(sorted(network.value for network in networks))
