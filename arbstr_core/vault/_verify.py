"""Replays the whole ledger, on one snapshot, and compares it with what is stored.

The checks share out the connections: a database works on each without the interpreter's lock. The first thing wrong
that is told is the one that matters most, whichever was found first.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from arbstr_core.storage import Dialect, Schema
from arbstr_core.vault import _checks, _digests, _replay, _windows
from arbstr_core.vault._chain import Walk
from arbstr_core.vault._checks import Check
from arbstr_core.vault._guarded import unguarded
from arbstr_core.vault._values import KnownCheckpoint, Verification

CONNECTIONS = 2
"""What `verify` works on; the machines that it runs on have few processors"""

_COUNTS = """SELECT (SELECT count(*) FROM transfer), (SELECT count(*) FROM hold WHERE state = 'held'),
(SELECT count(*) FROM agent)"""


def verify(
    connections: Sequence[sa.Connection], schemas: Sequence[Schema], known: Sequence[KnownCheckpoint] = ()
) -> Verification:
    """Everything, on connections that see the same snapshot of what `schemas` make; the first thing wrong is named."""
    walk = Walk(known)
    totals = _replay.Totals()
    shape = unguarded(connections[0], schemas)
    counts: Sequence[int] = (0, 0, 0)
    try:
        found = [*_shared_out(connections, _tasks(connections[0], walk, totals)), shape]
        counts = connections[0].exec_driver_sql(_COUNTS).one()
    except DBAPIError:
        if shape is None:
            raise
        # What is not there cannot be read.
        found = [shape]
    transfers, open_holds, agents = counts
    bad = next((each for each in found if each is not None), None)
    return Verification(
        ok=bad is None,
        transfers=transfers,
        sum_msat=totals.sum_msat,
        open_holds=open_holds,
        agents=agents,
        entries=totals.entries,
        audit_rows=walk.sealed + walk.pending,
        pending_rows=walk.pending,
        checkpoints=len(known),
        first_bad=bad,
    )


class _Turn(enum.IntEnum):
    """When a check can be done: the walk along the audit comes first, for some compare with what the audit says."""

    WALK = 0
    AFTER = 1
    ANY = 2


class _Task(msgspec.Struct, frozen=True):
    """A check, and when it can be done."""

    check: Check
    turn: _Turn = _Turn.ANY


def _tasks(connection: sa.Connection, walk: Walk, totals: _replay.Totals) -> list[_Task]:
    """In order of how much what they find would matter."""
    dialect = Dialect(connection.dialect.name)
    replays: list[Check] = [partial(_replay.balances, totals), _replay.hold_chains, _replay.transfer_chains]
    told: list[Check] = [
        *(partial(_others, walk, kind) for kind in _digests.KINDS),
        partial(_standing, walk),
        partial(_limits, walk),
    ]
    return [
        *(_Task(check) for check in (*_checks.ledger(dialect), *replays)),
        _Task(walk.run, _Turn.WALK),
        *(_Task(check, _Turn.AFTER) for check in told),
        *(_Task(check) for check in _checks.damaged(connection)),
    ]


def _others(walk: Walk, kind: _digests.Kind, connection: sa.Connection) -> str | None:
    for page in _digests.pages(connection, kind, walk.said):
        found = _digests.first_other(connection, kind, page, walk.said)
        if found is not None:
            return found
    return None


def _standing(walk: Walk, connection: sa.Connection) -> str | None:
    return next(walk.standing.differences(connection), None)


def _limits(walk: Walk, connection: sa.Connection) -> str | None:
    return _windows.windows(connection, walk.said, walk.standing.terms)


class _Shared:
    """What is still to be done: the walk first, what waits for it as soon as it is over, the rest meanwhile."""

    def __init__(self, tasks: Sequence[_Task]) -> None:
        self.found: list[str | None] = [None] * len(tasks)
        self._tasks = tasks
        # What waits for the walk is the longest.
        self._left = sorted(range(len(tasks)), key=lambda n: tasks[n].turn)
        self._over = False
        self._moved = threading.Condition()

    def work(self, connection: sa.Connection) -> None:
        """Take what can be done, until nothing is left."""
        while (place := self._next()) is not None:
            try:
                self.found[place] = self._tasks[place].check(connection)
            finally:
                if self._tasks[place].turn is _Turn.WALK:
                    self._end_walk(place)

    def _next(self) -> int | None:
        with self._moved:
            while self._left:
                ready = next((n for n in self._left if self._over or self._tasks[n].turn is not _Turn.AFTER), None)
                if ready is not None:
                    self._left.remove(ready)
                    return ready
                self._moved.wait()
            return None

    def _end_walk(self, place: int) -> None:
        with self._moved:
            self._over = True
            if self.found[place] is not None:
                # Nothing can be compared with what the audit says where that is wrong itself.
                self._left = [n for n in self._left if self._tasks[n].turn is not _Turn.AFTER]
            self._moved.notify_all()


def _shared_out(connections: Sequence[sa.Connection], tasks: Sequence[_Task]) -> list[str | None]:
    """What each task found."""
    shared = _Shared(tasks)
    with ThreadPoolExecutor(len(connections), thread_name_prefix="arbstr-verify") as pool:
        for done in [pool.submit(shared.work, connection) for connection in connections]:
            done.result()
    return shared.found
