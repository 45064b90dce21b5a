"""How each offer has done lately: success and time to first byte, as moving means in memory."""

from __future__ import annotations

from arbstr_core.types import Record

Key = tuple[str, str, str]

_WEIGHT = 0.2
"""How much the newest attempt counts."""


class Standings:
    """Keeps records. A plan is made without a pause, so it may look at them as they are."""

    def __init__(self) -> None:
        self.records: dict[Key, Record] = {}
        self.waited_ms: dict[Key, float] = {}
        """how long calls of both kinds wait for it, as a moving mean"""
        self._streamed: set[Key] = set()
        self._answered: dict[Key, float] = {}

    def served(self, key: Key, ms: float, now: float, *, stream: bool) -> None:
        """It answered at `now`, on a monotonic clock, after `ms`. A whole answer comes at its end, so that it tells of
        the first byte only while no stream has."""
        old = self.records.get(key)
        self._answered[key] = now
        self.waited_ms[key] = _moved(self.waited_ms.get(key, ms), ms)
        success, first_byte = (old.success, old.first_byte_ms or ms) if old else (1.0, ms)
        if stream and key not in self._streamed:
            self._streamed.add(key)
            first_byte = ms
        elif stream or key not in self._streamed:
            first_byte = _moved(first_byte, ms)
        self.records[key] = Record(success=_moved(success, 1.0), first_byte_ms=first_byte)

    def failed(self, key: Key) -> None:
        """It failed, through its own fault."""
        old = self.records.get(key)
        success, first_byte = (old.success, old.first_byte_ms) if old else (1.0, 0.0)
        self.records[key] = Record(success=success * (1.0 - _WEIGHT), first_byte_ms=first_byte)

    def answered_at(self, key: Key) -> float:
        """When it answered last."""
        return self._answered.get(key, float("-inf"))


def _moved(mean: float, newest: float) -> float:
    return mean + _WEIGHT * (newest - mean)
