"""Limits as they are kept, and the windows of time that they speak of."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from arbstr_core.types import MAX_MSAT, BadRequest
from arbstr_core.vault._values import Limits

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
TENTH_OF_MINUTE_MS = 6_000
PAYOUT = "payout"
"""The kind of a hold that is not for a call"""
FLOOR = "floor"
"""A window without time: the agent has a floor, and is looked at when the hold ends"""
ATTEMPTS = "attempts"
"""Counts what failed attempts cost us, by the hour"""

_DECODER = msgspec.json.Decoder(Limits)
_NO_MORE = Limits()
_MOST = {"approval_seconds": 30 * 86_400, "alert_cooldown_seconds": 366 * 86_400, "pending_approvals": 10_000}
"""msat aside, the most that a limit may be"""
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory", "right", "posix"})
"""What lies beside the zones on some machines: this machine's own, and copies of all, some with leap seconds"""


@lru_cache(maxsize=1024)
def more_of(text: str | None) -> Limits:
    """The limits that are kept as JSON."""
    return _NO_MORE if text is None else _DECODER.decode(text)


def day_of(zone: str | None, now_ms: int) -> tuple[int, int]:
    """The start of the day that `now_ms` is in, and of the next, in the named zone (None: UTC). Days of 23 and 25 hours
    included; one that begins with an hour that is left out begins where that hour would."""
    if zone is None:
        start = now_ms - now_ms % DAY_MS
        return start, start + DAY_MS
    there = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone))
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = midnight + timedelta(days=1)
    return int(midnight.timestamp() * 1000), int(following.timestamp() * 1000)


def check_limits(limits: Limits) -> None:
    """Raises BadRequest, which names the limit, for what none can be."""
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if isinstance(value, int) and not 0 <= value <= _MOST.get(name, MAX_MSAT):
            raise BadRequest(
                f"{name} = {value} is not a limit: it is from 0 to {_MOST.get(name, MAX_MSAT)}", param=name
            )
    try:
        if limits.zone is not None and limits.zone.partition("/")[0] in _NO_ZONES:
            raise ValueError(limits.zone)
        day_of(limits.zone, 0)
    except (KeyError, ValueError, OSError):
        raise BadRequest(
            f"this machine knows no time zone {limits.zone!r}: write an IANA name, as Europe/Berlin", param="zone"
        ) from None
