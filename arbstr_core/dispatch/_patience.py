"""How long a reply may keep us waiting."""

from __future__ import annotations

import asyncio
import math


class Patience:
    """Cancels the task that made it once its time is up, and says so in `over`.

    `asyncio.timeout` does as much at several times the cost, and anew for each wait; this is one timer a reply, which
    looks again when it was extended meanwhile. Whoever catches the CancelledError asks `forgive` whose it is.
    """

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "only a task can be interrupted"
        self._task = task
        self._others = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._end = self._looks_at = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._look)
        self.over = False

    def extend(self, seconds: float) -> None:
        """Wait for `seconds` from now on."""
        self._seconds = seconds
        self._end = self._loop.time() + seconds
        if self._end < self._looks_at:
            self._timer.cancel()
            self._look_in(seconds)

    def pause(self) -> None:
        """Nobody is waited for until the next `extend`."""
        self._end = math.inf

    def stop(self) -> None:
        """Wait for as long as it takes."""
        self._timer.cancel()

    def forgive(self) -> bool:
        """True where the cancellation was this one's alone; it is taken back then."""
        return self.over and self._task.uncancel() <= self._others

    def _look(self) -> None:
        left = self._end - self._loop.time()
        if left == math.inf:
            # Paused: whoever goes on extends it, and nobody may go on.
            self._looks_at = math.inf
        elif left > 0:
            self._look_in(min(left, self._seconds))
        else:
            self.over = True
            self._task.cancel()

    def _look_in(self, seconds: float) -> None:
        self._looks_at = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._look)
