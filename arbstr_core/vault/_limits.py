"""What an agent may spend: the limits of it and of all its parents, decided against what the book says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from arbstr_core.vault import _rows
from arbstr_core.vault._book import Book
from arbstr_core.vault._rows import Node
from arbstr_core.vault._terms import ATTEMPTS, FLOOR, HOUR_MS, MINUTE_MS, TENTH_OF_MINUTE_MS, day_of, more_of
from arbstr_core.vault._values import HoldRequest, Limits, RefusalReason

_PAYOUT_WAITS_SECONDS = 86_400
"""for an operator, where the limits do not say how long"""

Window = tuple[str, str, int]
"""(agent, kind, start) of a bucket that a hold counts in, beside its own agent's day"""


class Bound(msgspec.Struct, frozen=True):
    """One thing that limits a hold: what it leaves, in msat, and when that changes by itself."""

    reason: RefusalReason
    left: int
    agent: str
    resets_ms: int | None = None


def plain_room(book: Book, node: Node) -> int:
    """What one hold may be of an agent that has but a largest charge and a daily limit, in one step: it is most of
    them, and each call's. -1 where more must be looked at."""
    if node.parent is not None or node.more is not None or not node.enabled:
        return -1
    if node.max_charge is None or node.daily is None:
        return -1
    purse = book.purse(node.account)
    return min(node.max_charge, node.daily - (node.used or 0), purse.posted - purse.held)


class Spending:
    """What one chain of agents may spend in one hold, and the buckets that the hold will count in."""

    def __init__(self, book: Book, chain: Sequence[Node], request: HoldRequest) -> None:
        self._book = book
        self._chain = chain
        self._request = request
        self._terms: list[tuple[Node, Limits]] = [(node, more_of(node.more)) for node in chain]
        self._payout = request.kind == "payout"
        self._missing: list[Window] = []
        self.windows: list[Window] = []
        self.day = book.day
        self.bounds: list[Bound] = []
        self.attempts_left: int | None = None

    def refused(self) -> Bound | None:
        """Why nothing may be held whatever it costs, or None. Fills `bounds`, in the order in which they refuse."""
        for node, more in self._terms:
            flat = self._flat(node, more) or self._too_many(node, more)
            if flat is not None:
                return flat
        self.bounds = [
            Bound(RefusalReason.MAX_CHARGE, self._unapproved(node, more), node.id) for node, more in self._terms
        ]
        for node, more in self._terms:
            self.bounds.extend(self._in_windows(node, more))
        purse = self._book.purse(self._chain[0].account)
        self.bounds.append(Bound(RefusalReason.INSUFFICIENT, purse.posted - purse.held, self._chain[0].id))
        return None

    def barred(self) -> Bound | None:
        """What refuses a request that costs nothing, too: a key that may not call gets no kept answer."""
        return next((flat for node, more in self._terms if (flat := self._flat(node, more)) is not None), None)

    def too_tight(self, needed: int, *, but_the_charge: bool = False) -> Bound | None:
        """The first bound that leaves less than is needed, the largest charge aside or not."""
        for bound in self.bounds:
            if bound.left < needed and not (but_the_charge and bound.reason is RefusalReason.MAX_CHARGE):
                return bound
        return None

    def room(self, *, approved: int | None = None) -> int:
        """The most that may be held; with `approved` msat in the place of the largest charge."""
        lefts = [b.left for b in self.bounds if approved is None or b.reason is not RefusalReason.MAX_CHARGE]
        return min(lefts if approved is None else [*lefts, approved])

    def approval_seconds(self, needed: int) -> int | None:
        """How long an operator is waited for; None where one of those whose largest charge it is asks none."""
        waits = []
        for node, more in self._terms:
            if self._unapproved(node, more) < needed:
                if more.approval_seconds is None and not self._payout:
                    return None
                waits.append(_PAYOUT_WAITS_SECONDS if more.approval_seconds is None else more.approval_seconds)
        return min(waits, default=None)

    def _unapproved(self, node: Node, more: Limits) -> int:
        """The largest amount that needs no approval."""
        assert node.max_charge is not None, "looked at in _flat"
        if not self._payout:
            return node.max_charge
        if more.payouts_unapproved_msat is None:
            return -1
        return min(node.max_charge, more.payouts_unapproved_msat)

    def _flat(self, node: Node, more: Limits) -> Bound | None:
        """What refuses any amount."""
        if not node.enabled:
            return Bound(RefusalReason.DISABLED, 0, node.id)
        if node.max_charge is None or node.daily is None:
            return Bound(RefusalReason.NO_LIMITS, 0, node.id)
        if node.more is None:
            return None
        if more.expires_ms is not None and self._book.now_ms >= more.expires_ms:
            return Bound(RefusalReason.EXPIRED, 0, node.id)
        if more.models is not None and not self._payout and self._request.model not in more.models:
            return Bound(RefusalReason.MODEL, 0, node.id)
        if more.max_fee_msat is not None and self._request.fee_msat > more.max_fee_msat:
            return Bound(RefusalReason.FEE, more.max_fee_msat, node.id)
        return None

    def _too_many(self, node: Node, more: Limits) -> Bound | None:
        if more.concurrent is not None and self._open_of(node) >= more.concurrent:
            return Bound(RefusalReason.CONCURRENT, 0, node.id)
        if more.per_minute is None:
            return None
        # The last minute and the tenth that has begun: never more than the limit in any sixty seconds.
        since = self._book.now_ms - self._book.now_ms % TENTH_OF_MINUTE_MS - MINUTE_MS
        used = self._book.buckets.used(node.id, "requests", since)
        if sum(used.values()) < more.per_minute:
            return None
        first = min(used, default=since)
        return Bound(RefusalReason.RATE, 0, node.id, first + MINUTE_MS + TENTH_OF_MINUTE_MS)

    def _open_of(self, node: Node) -> int:
        """How many holds are open of this agent and its children."""
        book = self._book
        agents = [row[0] for row in book.tx.all(_rows.OPEN_OF_ACCOUNT, {"account": node.account})]
        counted = sum(any(each.id == node.id for each in book.chain(agent)) for agent in agents)
        return counted + book.opened_here(node.id)

    def too_many_pending(self) -> Bound | None:
        """Whose bound on what may wait for an operator is reached, if somebody's is."""
        book = self._book
        waiting = [row[0] for row in book.tx.all(_rows.PENDING_APPROVALS, {"account": self._chain[0].account})]
        for node, more in self._terms:
            if (
                sum(any(each.id == node.id for each in book.chain(agent)) for agent in waiting)
                >= more.pending_approvals
            ):
                return Bound(RefusalReason.APPROVALS, 0, node.id)
        return None

    def _in_windows(self, node: Node, more: Limits) -> Iterator[Bound]:
        yield self._in_day(node, more)
        if more.hourly_msat is not None:
            yield self._in_hour(node, more.hourly_msat)
        if more.attempts_msat is not None:
            self._in_attempts(node, more.attempts_msat)
        if more.alert_floor_msat is not None:
            self.windows.append((node.id, FLOOR, 0))

    def _in_day(self, node: Node, more: Limits) -> Bound:
        assert node.daily is not None, "looked at in _flat"
        start, following = day_of(more.zone, self._book.now_ms)
        buckets = self._book.buckets
        # What comes with the agent is the use of the UTC day.
        used = node.used if start == self._book.day else buckets.used(node.id, "day", start).get(start)
        if used is None:
            self._missing.append((node.id, "day", start))
        if node is self._chain[0]:
            self.day = start
        else:
            self.windows.append((node.id, "day", start))
        return Bound(RefusalReason.DAILY, max(0, node.daily - (used or 0)), node.id, following)

    def _in_hour(self, node: Node, limit: int) -> Bound:
        """The last sixty minutes and the one that has begun: never more than the limit in any hour."""
        start = self._book.now_ms - self._book.now_ms % MINUTE_MS
        used = self._book.buckets.used(node.id, "minute", start - HOUR_MS)
        if start not in used:
            self._missing.append((node.id, "minute", start))
        self.windows.append((node.id, "minute", start))
        busy = [window for window, amount in used.items() if amount]
        resets = min(busy) + HOUR_MS + MINUTE_MS if busy else None
        return Bound(RefusalReason.HOURLY, max(0, limit - sum(used.values())), node.id, resets)

    def _in_attempts(self, node: Node, limit: int) -> None:
        start = self._book.now_ms - self._book.now_ms % HOUR_MS
        used = self._book.buckets.used(node.id, ATTEMPTS, start)
        if start not in used:
            self._missing.append((node.id, ATTEMPTS, start))
        self.windows.append((node.id, ATTEMPTS, start))
        left = max(0, limit - used.get(start, 0))
        self.attempts_left = left if self.attempts_left is None else min(self.attempts_left, left)

    def begin(self) -> None:
        """Open the buckets that are missing, and count the request: it stays counted, whatever becomes of it."""
        book = self._book
        for window in self._missing:
            book.buckets.open(*window)
        self.count_request()

    def count_request(self) -> None:
        """Count the request where requests are counted, once it is held for or put before an operator."""
        book = self._book
        for node, more in self._terms:
            if more.per_minute is not None and not self._payout:
                start = book.now_ms - book.now_ms % TENTH_OF_MINUTE_MS
                if start not in book.buckets.used(node.id, "requests", start):
                    book.buckets.open(node.id, "requests", start)
                book.buckets.use(node.id, "requests", start, 1)
