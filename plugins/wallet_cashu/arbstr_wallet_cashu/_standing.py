"""Owns what the operator is told of the purse: whether it can be used, and what to do where it cannot."""

from __future__ import annotations

import asyncio

from arbstr_core.api import RailState, RailStatus
from arbstr_wallet_cashu._config import STEM
from arbstr_wallet_cashu._mint import MintSilent
from arbstr_wallet_cashu._places import Health, Place
from arbstr_wallet_cashu._purse import Locked, Purse

_STATUS_SECONDS = 5.0


class Standing:
    """How one purse stands."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse

    async def status(self) -> RailStatus:
        """Ready where a mint is. Another mint than before, or records older than the mint's, stop it."""
        try:
            identity = (await self._purse.open()).seed.identity
        except Locked as locked:
            return RailStatus(state=RailState.LOCKED, detail=str(locked), identity="unknown")
        await asyncio.gather(*(self._ask(place) for place in self._purse.places.all))
        return self._said(identity, await self._strangers())

    @staticmethod
    async def _ask(place: Place) -> None:
        """How a mint is now, in `health`."""
        try:
            await asyncio.wait_for(place.refresh(), _STATUS_SECONDS)
        except MintSilent as silent:
            place.down(silent)
        except TimeoutError:
            place.down(MintSilent(f"{place.url} did not answer within {_STATUS_SECONDS:g} s"))

    def _said(self, identity: str, warnings: tuple[str, ...]) -> RailStatus:
        places = self._purse.places.all
        spoiled = tuple(f"the mint {place.name}: {why}" for place in places for why in place.spoiled.values())
        detail = "; ".join(f"{place.name}: {place.why or place.health}" for place in places)
        health = {place.health for place in places}
        state = RailState.DOWN
        if Health.OTHER in health:
            state = RailState.WRONG_NODE
        elif Health.AHEAD in health:
            state = RailState.ROLLED_BACK
            detail += f"; run: arbstr plugin run {STEM} restore"
        elif Health.READY in health:
            state = RailState.READY
        return RailStatus(state=state, detail=detail, identity=identity, warnings=warnings + spoiled)

    async def _strangers(self) -> tuple[str, ...]:
        """What the purse has at mints that the configuration does not know any more."""
        found = []
        for name in await self._purse.book.mints():
            if not self._purse.places.knows(name):
                total = sum(coin.amount for coin in (await self._purse.book.coins(name)).values())
                found.append(f"{total} sat are at the mint {name!r}, which is not in [plugins.{STEM}.mints] any more")
        return tuple(found)
