"""How long a batch lingers, for others to join it. Pure: times and sizes in, a decision out."""

from __future__ import annotations

_IDLE_SECONDS, _IDLE_TURNS = 50e-6, 2
"""So many turns of the loop, each as short, did nothing: what one turn reads from a socket, the next one works on."""
_QUIET_TURNS = 2
"""Where as many are here as last time, and so many turns brought nobody, nobody else is to be expected."""
_QUIET_SECONDS = 0.003
_LONGEST_SECONDS = 0.02


class Linger:
    """One batch that waits, looked at once a turn of the event loop. `expected` operations came last time, at most
    `most` go together; times are monotonic, in seconds."""

    __slots__ = ("_came_at", "_expected", "_idle", "_looked_at", "_most", "_quiet", "_size", "_until")

    def __init__(self, now: float, *, expected: int, most: int) -> None:
        self._until = now + _LONGEST_SECONDS
        self._came_at = self._looked_at = now
        self._expected = expected
        self._most = most
        self._size = 1
        self._quiet = self._idle = 0

    def over(self, size: int, now: float) -> bool:
        """True where nobody is to be expected beside the `size` that are here, or has been waited for long enough."""
        if size > self._size:
            self._size, self._came_at, self._quiet = size, now, 0
        else:
            self._quiet += 1
        self._idle = self._idle + 1 if now - self._looked_at < _IDLE_SECONDS else 0
        self._looked_at = now
        return (
            self._idle >= _IDLE_TURNS
            or (self._quiet >= _QUIET_TURNS and size >= self._expected)
            or size >= self._most
            or now - self._came_at >= _QUIET_SECONDS
            or now >= self._until
        )
