"""The lease of this process, as it knows it: while it lasts nobody else ends its holds, and it may forward replies."""

from __future__ import annotations

from arbstr_core.api import Clock


class Lease:
    """It lasts from the moment a renewal was asked for, so it always ends here before it ends in the database."""

    def __init__(self, clock: Clock, *, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._until = float("-inf")
        self.term = 0
        """grows each time that it ran out: what began in an earlier term may have been ended by another process"""

    def renewed(self, asked_at: float, *, lapsed: bool) -> None:
        """The database renewed it, which was asked for at `asked_at` (monotonic seconds). `lapsed`: it says that it had
        run out there."""
        if lapsed or self._clock.monotonic() >= self._until:
            self.term += 1
        self._until = asked_at + self._seconds

    def serves(self, term: int) -> bool:
        """True while what began in `term` may go on."""
        return term == self.term and self._clock.monotonic() < self._until
