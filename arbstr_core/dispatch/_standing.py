"""How each offer has done lately: success and time to first byte, as moving means in memory."""

from __future__ import annotations

from arbstr_core.types import Offer, Outcome, Record, Standing

_WEIGHT = 0.2
"""How much the newest attempt counts."""

_ITS_FAULT = frozenset(
    {Outcome.CONNECT_FAILED, Outcome.TIMED_OUT, Outcome.REFUSED, Outcome.RATE_LIMITED, Outcome.BAD_KEY,
     Outcome.BAD_REPLY, Outcome.CUT}
)  # fmt: skip


class Standings:
    """Keeps records. A plan is made without a pause, so it may look at them as they are."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str, str], Record] = {}
        self._standing = Standing(self._records)

    def note(self, offer: Offer, outcome: Outcome, ms: int) -> None:
        """Remember how an attempt ended. A caller's own mistake says nothing about the provider."""
        served = outcome is Outcome.SERVED
        if not served and outcome not in _ITS_FAULT:
            return
        old = self._records.get(offer.key)
        success, first_byte = (old.success, old.first_byte_ms) if old else (1.0, float(ms) if served else 0.0)
        self._records[offer.key] = Record(
            success=success + _WEIGHT * (float(served) - success),
            first_byte_ms=first_byte + _WEIGHT * (ms - first_byte) if served else first_byte,
        )

    def standing(self) -> Standing:
        """What is known now."""
        return self._standing
