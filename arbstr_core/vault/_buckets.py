"""Buckets: what each agent has used of its limits in a window of time, as one transaction knows and changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from arbstr_core.storage import INTEGER, TEXT, Bulk, Operation, Rows, Transaction
from arbstr_core.vault import _rows
from arbstr_core.vault import _tables as t
from arbstr_core.vault._rows import Node

SPENT = frozenset({"day", "minute"})
"""Kinds that count msat which are held, and then what is charged of them"""
FORGOTTEN = ("attempts", "minute", "requests")
"""Kinds of windows that are short: once long over they decide nothing"""
KEPT_MS = 2 * 86_400_000
"""How long those are kept, before the newest of the same agent and kind"""
_AT_ONCE = 500

_BUCKET = t.BUCKET.c
_NEWER = t.BUCKET.alias("newer").c
_NEWEST = (
    sa.select(sa.func.max(_NEWER.window_start_ms))
    .where(_NEWER.agent_id == _BUCKET.agent_id, _NEWER.kind == _BUCKET.kind)
    .scalar_subquery()
)


def _drop(rows: Rows) -> sa.Delete:
    chosen = sa.tuple_(_BUCKET.agent_id, _BUCKET.kind, _BUCKET.window_start_ms)
    return sa.delete(t.BUCKET).where(chosen.in_(sa.select(rows[0], rows[1], rows[2]).select_from(rows.table)))


_DROP = Bulk((TEXT, TEXT, INTEGER), _drop)


def old_buckets(connection: sa.Connection, now_ms: int) -> list[tuple[str, str, int]]:
    """Some of the windows that may be forgotten. It reads all that there are: not in the writer's thread."""
    query = (
        sa.select(_BUCKET.agent_id, _BUCKET.kind, _BUCKET.window_start_ms)
        .where(
            _BUCKET.kind.in_(FORGOTTEN),
            _BUCKET.window_start_ms < now_ms - KEPT_MS,
            _BUCKET.window_start_ms < _NEWEST - KEPT_MS,
        )
        .limit(_AT_ONCE)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


class DropBuckets(Operation[None]):
    """Forget windows; the database refuses those that are not over long enough."""

    def __init__(self, windows: Sequence[tuple[str, str, int]]) -> None:
        self._windows = windows

    def run(self, tx: Transaction) -> None:
        """Drop them."""
        tx.bulk(_DROP, self._windows)


class Buckets:
    """Those of the agents in `nodes`; `day` is the UTC day whose use comes with each of them."""

    def __init__(self, tx: Transaction, nodes: Mapping[str, Node], day: int) -> None:
        self._tx = tx
        self._nodes = nodes
        self._day = day
        self._added: dict[tuple[str, str, int], int] = {}
        self._new: dict[tuple[str, str, int], int] = {}

    def use(self, agent: str, kind: str, window: int, amount: int) -> None:
        """Add to a bucket, which is there."""
        key = (agent, kind, window)
        if key in self._new:
            self._new[key] += amount
        else:
            self._added[key] = self._added.get(key, 0) + amount
        node = self._nodes.get(agent)
        if node is not None and node.used is not None and window == self._day and kind == "day":
            node.used += amount

    def open(self, agent: str, kind: str, window: int) -> None:
        """A bucket that is not there yet."""
        self._new.setdefault((agent, kind, window), 0)
        node = self._nodes.get(agent)
        if node is not None and node.used is None and window == self._day and kind == "day":
            node.used = 0

    def catch_up(self, node: Node) -> None:
        """An agent was loaded only now: what this transaction did to its day before is not in its use yet."""
        key = (node.id, "day", self._day)
        if node.used is not None:
            node.used += self._added.get(key, 0)
        else:
            node.used = self._new.get(key)

    def used(self, agent: str, kind: str, since: int) -> dict[int, int]:
        """What the buckets of a kind hold from the window that begins at `since` on, by window."""
        rows = self._tx.all(_rows.USED, {"agent": agent, "kind": kind, "since": since})
        found: dict[int, int] = {int(row[0]): int(row[1]) for row in rows}
        for more in (self._added, self._new):
            for (whose, which, window), amount in more.items():
                if (whose, which) == (agent, kind) and window >= since:
                    found[window] = found.get(window, 0) + amount
        return found

    def write(self) -> None:
        """Write what was opened and added."""
        self._tx.bulk(_rows.INSERT_BUCKETS, [(*key, used) for key, used in self._new.items()])
        self._tx.bulk(_rows.USE_BUCKETS, [(*key, used) for key, used in self._added.items() if used])
