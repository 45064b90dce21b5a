"""Another configuration while calls are served: all of it counts from one moment on, or none does.

What is new is made and started beside what is old; then calls that begin walk through the new, those that are open go
on in the old, and what nobody uses any more is closed once the last of them has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from arbstr_core.api import Command
from arbstr_core.cli._toolbox import Toolbox
from arbstr_core.cli._trade import STARTED, Trade, load_plugins, require_fixed, require_same, trade_of
from arbstr_core.config import Settings
from arbstr_core.flow import CallFlow
from arbstr_core.plugins import Lives
from arbstr_core.types import ArbstrError, Conflict
from arbstr_core.web import Sites

_log = logging.getLogger("arbstr.reload")

Reread = Callable[[], Settings]
"""The configuration as it is in the file now. Raises ConfigError."""


class Reload:
    """Puts another trade in the place of the one that there is. `trade` is the present one."""

    def __init__(
        self,
        trade: Trade,
        calls: CallFlow,
        box: Toolbox,
        lives: Lives,
        reread: Reread,
        commands: dict[str, tuple[Command, ...]],
        sites: Sites,
    ) -> None:
        self.trade = trade
        self._calls = calls
        self._box = box
        self._lives = lives
        self._reread = reread
        self._commands = commands
        self._sites = sites
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()

    async def __call__(self) -> dict[str, Any]:
        """Read the configuration again, and let it count. Raises Conflict with all that is wrong with it; then
        everything is as it was."""
        async with self._turn:
            if self._calls.stopping:
                raise Conflict("arbstr is shutting down")
            try:
                return await self._renewed()
            except ArbstrError as bad:
                _log.error("the configuration was not changed: %s", bad)
                raise Conflict(f"The configuration is as it was before. {bad}") from bad

    def soon(self) -> None:
        """The same in the background: for a signal. What comes of it is in the log."""
        task = asyncio.get_running_loop().create_task(self._logged(), name="reload")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def run(self) -> None:
        """Keep the market of the present trade fresh, for ever."""
        while True:
            self._changed.clear()
            market = asyncio.create_task(self.trade.market.run())
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait({market, changed}, return_when=asyncio.FIRST_COMPLETED)
                if market.done():
                    market.result()
            finally:
                for task in (market, changed):
                    task.cancel()
                await asyncio.gather(market, changed, return_exceptions=True)

    async def aclose(self) -> None:
        """Close what was still kept for open calls: there are none any more."""
        for task in tuple(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _logged(self) -> None:
        try:
            await self()
        except Conflict:
            return  # the log has it

    async def _renewed(self) -> dict[str, Any]:
        old, settings = self.trade, await asyncio.to_thread(self._reread)
        require_same(old.settings, settings)
        new = await trade_of(settings, load_plugins(settings, mock=old.mock), self._box, mock=old.mock, before=old)
        fresh = [name for name, kit in new.kits.items() if old.kits.get(name) is not kit]
        started = Lives(_log)
        try:
            require_fixed(old, new)
            sites = Sites(new.objects("arbstr_sites"))
            for hook in STARTED:
                await started.start([(name, objects) for name, objects in new.made[hook] if name in fresh])
            await new.market.refresh()
        except BaseException:
            await started.aclose()
            await new.aclose(fresh)
            raise
        self._lives.adopt(started)
        return self._swapped(old, new, sites, fresh)

    def _swapped(self, old: Trade, new: Trade, sites: Sites, fresh: list[str]) -> dict[str, Any]:
        """From here on the new one counts. Nothing waits in here."""
        calls, rooms = self._calls, self._calls.rooms
        gone = [name for name, kit in old.kits.items() if new.kits.get(name) is not kit]
        rooms.experience.keep(new.settings.routing.cache_seconds)
        drain = new.settings.dispatch.drain_seconds
        self.trade = new
        left = calls.renew(
            replace(rooms, market=new.market, router=new.router, dispatch=new.dispatch, drain_seconds=drain)
        )
        new.dispatch.forget({provider.name for provider in new.objects("arbstr_providers", fresh)})
        self._commands.clear()
        self._commands.update(new.made["arbstr_commands"])
        self._sites.renew(sites)
        self._changed.set()
        open_calls = len(calls.open_calls())
        self._end_soon(old, gone, left)
        offers = sum(len(row.listings) for row in new.market.snapshot.models.values())
        _log.info("the configuration counts; made anew: %s; %d calls go on as they began", fresh or "none", open_calls)
        return {
            "made": fresh,
            "kept": [name for name in new.kits if name not in fresh],
            "closed": gone,
            "offers": offers,
            "open_calls": open_calls,
            "notices": new.notices.texts,
        }

    def _end_soon(self, old: Trade, gone: list[str], left: asyncio.Future[None]) -> None:
        task = asyncio.get_running_loop().create_task(self._end(old, gone, left), name="drain of an old configuration")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _end(self, old: Trade, gone: list[str], left: asyncio.Future[None]) -> None:
        try:
            await left
        finally:
            await old.dispatch.aclose()
            await self._lives.end(old.lives(gone))
            await old.aclose(gone)
            _log.info("what the configuration before had made is closed: %s", gone or "nothing")
