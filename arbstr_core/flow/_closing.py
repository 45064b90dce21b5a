"""The end of a hold, asked for until the database takes it: it is never given up while the process lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from arbstr_core.flow._rooms import CallRooms
from arbstr_core.types import ArbstrError, StorageError
from arbstr_core.vault import Closed

_log = logging.getLogger("arbstr.flow")


class Closing:
    """Asks the vault for the end of one call with `ask`, and calls `done` once it is durable, or never will be."""

    __slots__ = ("_ask", "_call_id", "_done", "_rooms", "_tried")

    def __init__(
        self, rooms: CallRooms, call_id: str, ask: Callable[[], asyncio.Future[Closed]], done: Callable[[], None]
    ) -> None:
        self._rooms = rooms
        self._call_id = call_id
        self._ask = ask
        self._done = done
        self._tried = 0

    def submit(self) -> None:
        """Ask once, and again for as long as the database refuses."""
        try:
            end = self._ask()
        except ArbstrError as broken:
            self._leave_open(broken)
        except BaseException as broken:
            self._leave_open(broken)
            raise
        else:
            end.add_done_callback(self._after)

    def _leave_open(self, broken: BaseException) -> None:
        """Nobody may wait for ever for an end that will not come; a heartbeat finds the hold, or the next start."""
        _log.critical("%s: the hold stays open: %s", self._call_id, broken)
        self._done()

    def _after(self, end: asyncio.Future[Closed]) -> None:
        broken = None if end.cancelled() else end.exception()
        if isinstance(broken, StorageError):
            _log.error("%s: could not be ended, trying again: %s", self._call_id, broken)
            asyncio.get_running_loop().call_later(self._wait(), self.submit)
        elif broken is not None:
            self._leave_open(broken)
        else:
            if not end.cancelled() and not end.result().first:
                _log.critical("%s: the ledger had ended this call already, as %s", self._call_id, end.result())
            self._done()

    def _wait(self) -> float:
        """Seconds until the next try: twice as long each time, and not all calls at once."""
        rooms = self._rooms
        wait = min(rooms.most_retry_seconds, rooms.retry_seconds * 2.0 ** min(self._tried, 32))
        self._tried += 1
        return wait * (1 - rooms.jitter() / 2)
