"""The treasury and those that serve calls, as processes of their own: what each may be, and what runs in it."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from arbstr_core.api import Clock, Network, Unit, WalletRail
from arbstr_core.cli._house import House
from arbstr_core.cli._part import PROXY
from arbstr_core.flow import keep_forgetting, keep_sealing, rails_of_treasury
from arbstr_core.rails import Elsewhere, Rails
from arbstr_core.types import StorageError
from arbstr_core.vault import Treasury

_log = logging.getLogger("arbstr")


async def known_rails(treasury: Treasury) -> Sequence[WalletRail]:
    """The rails that the treasury said it has, when it last looked."""
    return [Elsewhere(name, Network(realm), Unit(unit)) for name, realm, unit in await rails_of_treasury(treasury)]


async def keep_rails(rails: Rails, treasury: Treasury, clock: Clock, *, seconds: float) -> None:
    """Know them as they are now, for ever."""
    while True:
        try:
            rails.become(await known_rails(treasury))
        except StorageError as broken:
            _log.error("the treasury's rails are not known now: %s", broken)
        await clock.sleep(seconds)


def works_of_money(house: House) -> dict[str, Coroutine[Any, Any, None]]:
    """What runs beside the calls, of what is about money, by name."""
    settings = house.settings
    if house.vault is None or house.heartbeat is None:
        return {}
    works = {"heartbeat": house.heartbeat.run()}
    if settings.server.role == PROXY:
        if house.moving is not None:
            moving, seconds = house.moving, settings.vault.check_seconds
            works["rails"] = keep_rails(moving.rails, moving.treasury, house.clock, seconds=seconds)
        return works
    works["reservations"] = house.flows.billing.run()
    works["claims"] = keep_forgetting(house.vault, house.clock)
    if house.approvals:
        works["approvals"] = house.approvals.tend()
    if house.flows.audit:
        works["checkpoints"] = house.flows.audit.run()
    if house.moving:
        works["deposits"] = house.moving.incoming.run()
        works["nodes"] = house.moving.topup.run()
        works["payments"] = house.moving.sender.run()
        works["change"] = house.moving.singles.run()
        works["sellers"] = house.flows.sellers.run()
        works["reconcile"] = house.moving.reconcile.run()
    if house.notifier:
        works["webhook"] = house.notifier.run()
    if house.vault.shared:
        works["sealer"] = keep_sealing(house.vault, house.clock)
        works["sweeper"] = house.heartbeat.sweep()
    return works
