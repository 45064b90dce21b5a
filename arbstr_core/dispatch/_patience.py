"""How long a reply may keep us waiting.

`asyncio.timeout` does as much for one wait, at several times the cost; here one timer looks after all of them.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Patience:
    """Cancels a task once its time is up. Whoever catches the CancelledError asks `forgive` whose it is."""

    __slots__ = ("_all", "_others", "_task", "end", "over")

    def __init__(self, all_of_them: Patiences, task: asyncio.Task[Any]) -> None:
        self._all = all_of_them
        self._task = task
        self._others = task.cancelling()
        self.end = 0.0
        self.over = False

    def extend(self, seconds: float) -> None:
        """Wait for `seconds` from now on."""
        self._all.watch(self, seconds)

    def stop(self) -> None:
        """Wait for as long as it takes, until the next `extend`."""
        self._all.forget(self)

    def forgive(self) -> bool:
        """True where the cancellation was this one's alone; it is taken back then."""
        return self.over and self._task.uncancel() <= self._others

    def end_it(self) -> None:
        """The time is up."""
        self.over = True
        self._task.cancel()


class Patiences:
    """All waits that are going on in one loop. `tick_seconds` is by how much one may be exceeded."""

    def __init__(self, *, tick_seconds: float = 0.05) -> None:
        self._tick_seconds = tick_seconds
        self._waiting: set[Patience] = set()
        self._ticking = False

    def begin(self, seconds: float) -> Patience:
        """Bound what the running task waits for from now on."""
        task = asyncio.current_task()
        assert task is not None, "only a task can be interrupted"
        patience = Patience(self, task)
        self.watch(patience, seconds)
        return patience

    def watch(self, patience: Patience, seconds: float) -> None:
        """Look after it until `forget`, or until its time is up."""
        loop = asyncio.get_running_loop()
        patience.end = loop.time() + seconds
        self._waiting.add(patience)
        if not self._ticking:
            self._ticking = True
            loop.call_later(self._tick_seconds, self._tick, loop)

    def forget(self, patience: Patience) -> None:
        """Look after it no more."""
        self._waiting.discard(patience)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for patience in [each for each in self._waiting if each.end <= now]:
            self._waiting.discard(patience)
            patience.end_it()
        self._ticking = bool(self._waiting)
        if self._ticking:
            loop.call_later(self._tick_seconds, self._tick, loop)
