"""The lock file beside the database: one process at a time, and where its admin API listens."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import msgspec

from arbstr_core.types import StorageError

_TRIES = 20
_PAUSE_SECONDS = 0.02


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the database: a process, and the address of its admin API (empty until it listens)."""

    pid: int
    admin: str = ""


_DECODER = msgspec.json.Decoder(Announcement)


def lock_path(database: Path) -> Path:
    """The lock file of a database: beside the file itself, whatever links lead there."""
    database = Path(os.path.realpath(database))
    return database.with_name(f"{database.name}.lock")


def read_announcement(database: Path) -> Announcement | None:
    """What the process that holds `database` says of itself; None where there is none, or it said nothing."""
    try:
        return _DECODER.decode(lock_path(database).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def is_held(database: Path) -> bool:
    """True while a process has `database` open."""
    try:
        descriptor = os.open(lock_path(database), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class Lock:
    """Held from construction to `close`. The file stays: removing it would let two processes lock two files."""

    def __init__(self, database: Path, *, taken: str) -> None:
        """`taken` says which it is and what to do, of a lock that `{who}` has."""
        self._path = lock_path(database)
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be opened ({error.strerror}): check its folder") from error
        try:
            self._acquire(database, taken)
        except StorageError:
            os.close(self._descriptor)
            raise
        self.announce("")

    def _acquire(self, database: Path, taken: str) -> None:
        # A few tries: `is_held` of another process takes the lock for an instant.
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
            else:
                return
        holder = read_announcement(database)
        who = f"process {holder.pid}" if holder else "another process"
        raise StorageError(taken.format(who=who))

    def announce(self, admin: str) -> None:
        """Say where the admin API of this process is."""
        self._write(msgspec.json.encode(Announcement(pid=os.getpid(), admin=admin)))

    def close(self) -> None:
        """Let go."""
        self._write(b"")
        os.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content, 0)
