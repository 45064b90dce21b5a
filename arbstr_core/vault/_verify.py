"""Replays the whole ledger, on one snapshot, and compares it with what is stored.

The checks share out the readers, each of which is a process. The first thing wrong that is told is the one that matters
most, whichever was found first.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import sqlalchemy as sa

from arbstr_core.storage import Dialect, Reader, Schema
from arbstr_core.types import StorageError
from arbstr_core.vault import _checks, _digests, _ends, _replay, _windows
from arbstr_core.vault._chain import Walk
from arbstr_core.vault._checks import Check
from arbstr_core.vault._guarded import unguarded
from arbstr_core.vault._values import KnownCheckpoint, Verification

_READERS = 2
"""The machines that it runs on have few processors."""
_SHARED_FROM = 50_000
"""transfers: with fewer, another process is not worth its start, a third of a second"""
_PARTS = 4
"""into which the longest checks are cut, so that no reader is left with much at the end"""
_COUNTS = """SELECT (SELECT count(*) FROM transfer), (SELECT count(*) FROM hold WHERE state = 'held'),
(SELECT count(*) FROM agent)"""


def how_many(connection: sa.Connection) -> int:
    """How many readers `verify` should have."""
    last = connection.exec_driver_sql("SELECT max(seq) FROM transfer").scalar()
    return _READERS if (last or 0) >= _SHARED_FROM else 1


def verify(readers: Sequence[Reader], schemas: Sequence[Schema], known: Sequence[KnownCheckpoint] = ()) -> Verification:
    """Everything, with readers that see the same snapshot of what `schemas` make; the first thing wrong is named."""
    walk = Walk(known)
    entries = _replay.Entries()
    shape = readers[0].run(partial(unguarded, schemas=schemas))
    counts: Sequence[int] = (0, 0, 0)
    try:
        found = [*_shared_out(readers, readers[0].run(partial(_tasks, walk, entries))), shape]
        counts = readers[0].run(_counted)
    except StorageError:
        if shape is None:
            raise
        # What is not there cannot be read.
        found = [shape]
    transfers, open_holds, agents = counts
    bad = next((each for each in found if each is not None), None)
    return Verification(
        ok=bad is None,
        transfers=transfers,
        sum_msat=entries.sum_msat,
        open_holds=open_holds,
        agents=agents,
        entries=entries.count,
        audit_rows=walk.sealed + walk.pending,
        pending_rows=walk.pending,
        checkpoints=len(known),
        first_bad=bad,
    )


def _counted(connection: sa.Connection) -> Sequence[int]:
    return tuple(connection.exec_driver_sql(_COUNTS).one())


class _Task:
    """A check, and the tasks that must be done before: it compares with what they found on their way."""

    def __init__(self, check: Check, *after: _Task, long: bool = False) -> None:
        self._check = check
        self.after = after
        self.long = long

    def run(self, reader: Reader) -> str | None:
        """What is wrong. What the check found on its way is brought here, for those that come after."""
        here: object = getattr(self._check, "__self__", None)
        found, there = reader.run(partial(_checked, self._check))
        if there is not here:
            vars(here).update(vars(there))
        return found


def _checked(check: Check, connection: sa.Connection) -> tuple[str | None, object]:
    """What is wrong; and whose method the check is, where it is one, for there it keeps what it finds."""
    return check(connection), getattr(check, "__self__", None)


def _tasks(walk: Walk, entries: _replay.Entries, connection: sa.Connection) -> list[_Task]:
    """In order of how much what they find would matter."""
    dialect = Dialect(connection.dialect.name)
    ends = _ends.Ends()
    walked, ended = _Task(walk.run), _Task(ends.run)
    digests = [
        _Task(partial(_others, walk, kind, n), walked, long=True) for kind in _digests.KINDS for n in range(_PARTS)
    ]
    return [
        _Task(entries.run, long=True),
        ended,
        *(_Task(check) for check in _checks.ledger(dialect)),
        _Task(_replay.hold_chains),
        walked,
        *digests,
        _Task(partial(_standing, walk), walked),
        _Task(partial(_limits, walk, ends), walked, ended),
        *(_Task(check, long=True) for check in _checks.damaged(connection)),
    ]


# Nothing can be compared with what the audit says where that is wrong itself.


def _others(walk: Walk, kind: _digests.Kind, part: int, connection: sa.Connection) -> str | None:
    if not walk.well:
        return None
    pages = _digests.pages(connection, kind, walk.said)
    for page in pages[len(pages) * part // _PARTS : len(pages) * (part + 1) // _PARTS]:
        found = _digests.first_other(connection, kind, page, walk.said)
        if found is not None:
            return found
    return None


def _standing(walk: Walk, connection: sa.Connection) -> str | None:
    return next(walk.standing.differences(connection), None) if walk.well else None


def _limits(walk: Walk, ends: _ends.Ends, connection: sa.Connection) -> str | None:
    return _windows.windows(connection, walk.said, walk.standing.terms, ends.days) if walk.well else None


class _Shared:
    """What is still to be done. What most others wait for comes first, so that the first reader takes it and what it
    finds need not be sent; after that what takes longest, so that what is left at the end is short."""

    def __init__(self, tasks: Sequence[_Task]) -> None:
        self.found: list[str | None] = [None] * len(tasks)
        self._tasks = tasks
        waiting = Counter(id(before) for task in tasks for before in task.after)
        self._left = sorted(range(len(tasks)), key=lambda n: (-waiting[id(tasks[n])], not tasks[n].long))
        self._done: set[int] = set()
        self._moved = threading.Condition()

    def work(self, reader: Reader) -> None:
        """Take what can be done, until nothing is left."""
        while (place := self._next()) is not None:
            try:
                self.found[place] = self._tasks[place].run(reader)
            finally:
                with self._moved:
                    self._done.add(id(self._tasks[place]))
                    self._moved.notify_all()

    def _next(self) -> int | None:
        with self._moved:
            while self._left:
                ready = next((n for n in self._left if all(id(t) in self._done for t in self._tasks[n].after)), None)
                if ready is not None:
                    self._left.remove(ready)
                    return ready
                self._moved.wait()
            return None


def _shared_out(readers: Sequence[Reader], tasks: Sequence[_Task]) -> list[str | None]:
    """What each task found."""
    shared = _Shared(tasks)
    with ThreadPoolExecutor(len(readers), thread_name_prefix="arbstr-verify") as pool:
        for done in [pool.submit(shared.work, reader) for reader in readers]:
            done.result()
    return shared.found
