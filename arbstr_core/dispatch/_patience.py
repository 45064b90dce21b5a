"""How long a reply may keep us waiting.

`asyncio.timeout` does as much for one wait, at several times the cost; here one timer looks after all of them.
"""

from __future__ import annotations

import asyncio
from typing import Any

Key = tuple[str, str, str]


class Patience:
    """Cancels a task once its time is up. Whoever catches the CancelledError asks `forgive` whose it is."""

    __slots__ = ("_all", "_others", "_task", "loop", "lost", "of", "over", "seconds", "until")

    def __init__(self, all_of_them: Patiences, task: asyncio.Task[Any], of: Key | None) -> None:
        self._all = all_of_them
        self._task = task
        self.loop = task.get_loop()
        self._others = task.cancelling()
        self.until = 0.0
        self.seconds = 0.0
        """what it was extended by last, which is up at `until`"""
        self.of = of
        """the offer that is waited for, where there are others to go to"""
        self.over = False
        self.lost = False
        """True where `Patiences.lose` has cut its time short"""

    def adopt(self) -> None:
        """From now on it is the running task that waits, and it has nobody else to go to."""
        task = asyncio.current_task(self.loop)
        assert task is not None, "only a task can be interrupted"
        self._task, self._others, self.of = task, task.cancelling(), None

    def extend(self, seconds: float) -> None:
        """Wait for `seconds` from now on."""
        self._all.watch(self, seconds)

    def stop(self) -> None:
        """Wait for as long as it takes, until the next `extend`."""
        self._all.forget(self)

    def end(self) -> None:
        """Nothing is waited for any more. A task that fails keeps its traceback, which leads here: held from here it
        would hold itself."""
        self.stop()
        del self._task

    def forgive(self) -> bool:
        """True where the cancellation was this one's alone; it is taken back then."""
        return self.over and self._task.uncancel() <= self._others

    def interrupt(self) -> None:
        """The time is up."""
        self.over = True
        self._task.cancel()


class Patiences:
    """All waits that are going on in one loop. `tick_seconds` is by how much one may be exceeded."""

    def __init__(self, *, tick_seconds: float = 0.05) -> None:
        self._tick_seconds = tick_seconds
        self._waiting: set[Patience] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticking = False

    def begin(self, seconds: float, of: Key | None = None) -> Patience:
        """Bound what the running task waits for from now on; `of` is for `lose`."""
        loop = self._loop
        if loop is None or not loop.is_running():
            # Asking for it is a call into the kernel, on Python 3.11.
            loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "only a task can be interrupted"
        patience = Patience(self, task, of)
        self.watch(patience, seconds)
        return patience

    def watch(self, patience: Patience, seconds: float) -> None:
        """Look after it until `forget`, or until its time is up."""
        loop = patience.loop
        patience.until, patience.seconds = loop.time() + seconds, seconds
        self._waiting.add(patience)
        if not self._ticking:
            self._ticking = True
            loop.call_later(self._tick_seconds, self._tick, loop)

    def forget(self, patience: Patience) -> None:
        """Look after it no more."""
        self._waiting.discard(patience)

    def lose(self, of: Key, seconds: float) -> None:
        """Little is to be hoped for from this offer: whoever waits for it, and could go elsewhere, waits for so long
        altogether."""
        for patience in self._waiting:
            if patience.of == of and seconds < patience.seconds:
                patience.until += seconds - patience.seconds
                patience.seconds, patience.lost = seconds, True

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for patience in [each for each in self._waiting if each.until <= now]:
            self._waiting.discard(patience)
            patience.interrupt()
        self._ticking = bool(self._waiting)
        if self._ticking:
            loop.call_later(self._tick_seconds, self._tick, loop)
