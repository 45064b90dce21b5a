"""What an agent may spend: the limits of it and of all its parents, decided against what the book says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from arbstr_core.vault import _rows
from arbstr_core.vault._book import DAY_MS, Book
from arbstr_core.vault._rows import Node, Purse
from arbstr_core.vault._values import HoldRequest, Limits, RefusalReason

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
_TENTH_OF_MINUTE_MS = 6_000

_DECODER = msgspec.json.Decoder(Limits)
_NO_MORE = Limits()


class Bound(msgspec.Struct, frozen=True):
    """One thing that limits a hold: what it leaves, in msat, and when that changes by itself."""

    reason: RefusalReason
    left: int
    agent: str
    resets_ms: int | None = None


class Window(msgspec.Struct, frozen=True):
    """A bucket that a hold counts in, beside its own agent's day."""

    agent: str
    kind: str
    start: int


@lru_cache(maxsize=1024)
def more_of(text: str | None) -> Limits:
    """The limits that are kept as JSON."""
    return _NO_MORE if text is None else _DECODER.decode(text)


def day_of(zone: str | None, now_ms: int) -> tuple[int, int]:
    """The start of the day that `now_ms` is in, and of the next, in the named zone (None: UTC). Days of 23 and 25 hours
    included."""
    if zone is None:
        start = now_ms - now_ms % DAY_MS
        return start, start + DAY_MS
    from datetime import datetime, timedelta

    there = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone))
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = midnight + timedelta(days=1)
    return int(midnight.timestamp() * 1000), int(following.timestamp() * 1000)


class Spending:
    """What one chain of agents may spend in one hold, and the buckets that the hold will count in."""

    def __init__(self, book: Book, chain: Sequence[Node], request: HoldRequest) -> None:
        self._book = book
        self._chain = chain
        self._request = request
        self.windows: list[Window] = []
        self.day = book.day
        self.bounds: list[Bound] = []

    def refused(self) -> Bound | None:
        """Why nothing may be held whatever it costs, or None. Fills `bounds`, tightest reasons first looked at."""
        for node in self._chain:
            flat = self._flat(node)
            if flat is not None:
                return flat
        for node in self._chain:
            assert node.max_charge is not None, "looked at in _flat"
            self.bounds.append(Bound(RefusalReason.MAX_CHARGE, node.max_charge, node.id))
        for node in self._chain:
            self.bounds.extend(self._in_windows(node))
        purse: Purse = self._book.purse(self._chain[0].account)
        self.bounds.append(Bound(RefusalReason.INSUFFICIENT, purse.posted - purse.held, self._chain[0].id))
        return None

    def _flat(self, node: Node) -> Bound | None:
        """What refuses any amount."""
        if not node.enabled:
            return Bound(RefusalReason.DISABLED, 0, node.id)
        if node.max_charge is None or node.daily is None:
            return Bound(RefusalReason.NO_LIMITS, 0, node.id)
        if node.more is None:
            return None
        more = more_of(node.more)
        if more.expires_ms is not None and self._book.now_ms >= more.expires_ms:
            return Bound(RefusalReason.EXPIRED, 0, node.id)
        if more.models is not None and self._request.model not in more.models:
            return Bound(RefusalReason.MODEL, 0, node.id)
        return self._too_many(node, more)

    def _too_many(self, node: Node, more: Limits) -> Bound | None:
        if more.concurrent is not None and self._open_of(node) >= more.concurrent:
            return Bound(RefusalReason.CONCURRENT, 0, node.id)
        if more.per_minute is None:
            return None
        start = self._book.now_ms - self._book.now_ms % _TENTH_OF_MINUTE_MS
        since = start - MINUTE_MS + _TENTH_OF_MINUTE_MS
        used = self._book.used(node.id, "requests", since)
        if sum(used.values()) >= more.per_minute:
            return Bound(RefusalReason.RATE, 0, node.id, min(used) + MINUTE_MS)
        return None

    def _open_of(self, node: Node) -> int:
        """How many holds are open of this agent and its children."""
        book = self._book
        agents = [row[0] for row in book.tx.all(_rows.OPEN_OF_ACCOUNT, {"account": node.account})]
        counted = sum(any(each.id == node.id for each in book.chain(agent)) for agent in agents)
        return counted + book.opened_here(node.id)

    def _in_windows(self, node: Node) -> Iterator[Bound]:
        assert node.daily is not None, "looked at in _flat"
        more = more_of(node.more)
        start, following = day_of(more.zone, self._book.now_ms)
        used = node.used if more.zone is None else self._book.used(node.id, "day", start).get(start)
        if used is None:
            self._book.open_bucket(node.id, "day", start)
        yield Bound(RefusalReason.DAILY, max(0, node.daily - (used or 0)), node.id, following)
        if node is self._chain[0]:
            self.day = start
        else:
            self.windows.append(Window(node.id, "day", start))
        if more.hourly_msat is not None:
            yield self._in_hour(node, more.hourly_msat)

    def _in_hour(self, node: Node, limit: int) -> Bound:
        """The last sixty minutes and the one that has begun: never more than the limit in any hour."""
        start = self._book.now_ms - self._book.now_ms % MINUTE_MS
        used = self._book.used(node.id, "minute", start - HOUR_MS)
        if start not in used:
            self._book.open_bucket(node.id, "minute", start)
        self.windows.append(Window(node.id, "minute", start))
        busy = [window for window, amount in used.items() if amount]
        resets = min(busy) + HOUR_MS + MINUTE_MS if busy else None
        return Bound(RefusalReason.HOURLY, max(0, limit - sum(used.values())), node.id, resets)

    def count_request(self) -> None:
        """Count the request where requests are counted. It stays counted, whatever becomes of it."""
        book = self._book
        for node in self._chain:
            if node.more is not None and more_of(node.more).per_minute is not None:
                start = book.now_ms - book.now_ms % _TENTH_OF_MINUTE_MS
                if start not in book.used(node.id, "requests", start):
                    book.open_bucket(node.id, "requests", start)
                book.use(node.id, "requests", start, 1)
