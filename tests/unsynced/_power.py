"""Compiles the library, sets the environment of processes that shall lose power, and cuts it."""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType

from unsynced._undo import Lost, discard

_SOURCE = Path(__file__).with_name("unsynced.c")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-nonnull", "-U_FORTIFY_SOURCE", "-shared", "-fPIC")
_COUNTERS = struct.Struct("=6Q")


@dataclass(frozen=True)
class Caught:
    """What the library saw since the last cut, in all processes it was loaded into."""

    processes: int
    writes: int
    bytes: int
    syncs: int
    names: int
    name_syncs: int


@functools.cache
def _library() -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("no C compiler (cc): install one (Debian: apt-get install gcc libc6-dev)")
    folder = Path(tempfile.mkdtemp(prefix="arbstr-unsynced-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = folder / "unsynced.so"
    done = subprocess.run([compiler, *_FLAGS, "-o", library, _SOURCE], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{_SOURCE} does not compile: {done.stderr}")
    return library


class Unsynced:
    """Watches the files below `folder` whose name matches `pattern`; SQLite's -shm is no content, a cut removes it."""

    def __init__(self, folder: Path, *, pattern: str = "*.db*") -> None:
        self.folder = folder.resolve()
        self.pattern = pattern
        self._side = self.folder / ".unsynced"

    def __enter__(self) -> Unsynced:
        self._side.mkdir()
        (self._side / "alive").touch()
        self._reset()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._side)

    def environment(
        self, *, kill_before_sync: int | None = None, kill_after_sync: int | None = None, **more: str
    ) -> dict[str, str]:
        """The environment of a process to watch, and all it starts.

        It can be told to end itself (SIGKILL) right before, or right after, the n-th sync of a watched file since the
        last cut, counted from 1 over all processes; after it nothing of that sync can be lost, but nobody was told.
        """
        preload = [str(_library()), os.environ.get("LD_PRELOAD", "")]
        kills = {"UNSYNCED_KILL_BEFORE_SYNC": kill_before_sync, "UNSYNCED_KILL_AFTER_SYNC": kill_after_sync}
        return {
            **os.environ,
            **more,
            "LD_PRELOAD": ":".join(filter(None, preload)),
            "UNSYNCED_FOLDER": str(self.folder),
            "UNSYNCED_PATTERN": self.pattern,
            "UNSYNCED_SIDE": str(self._side),
            **{name: str(number) for name, number in kills.items() if number is not None},
        }

    def caught(self) -> Caught:
        """What was seen since the last cut."""
        return Caught(*_COUNTERS.unpack_from((self._side / "caught").read_bytes()))

    def cut(self, seed: int | None = None) -> Lost:
        """Undo what was not synced, now that no process runs.

        All of it, or with a seed a random part, as when the system had written blocks of 512 bytes back by itself.
        Raises RuntimeError if a watched process still runs, did what cannot be undone, or wrote nothing at all: then
        the library saw nothing, and a test that goes on would prove nothing.
        """
        self._require_silence()
        caught = self.caught()
        if faults := self._faults():
            raise RuntimeError(f"a process did what cannot be undone: {faults}")
        if not caught.writes:
            raise RuntimeError(
                f"no write to {self.pattern} below {self.folder} was seen in {caught.processes} processes: give them "
                "environment(), and check the pattern"
            )
        lost = discard(self._side, self.folder, pattern=self.pattern, chance=None if seed is None else Random(seed))
        self._reset()
        return lost

    def _faults(self) -> str:
        faults = self._side / "faults"
        return faults.read_text() if faults.exists() else ""

    def _require_silence(self) -> None:
        with (self._side / "alive").open() as alive:
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError("a watched process still runs: kill it, wait for it, then cut") from None

    def _reset(self) -> None:
        (self._side / "caught").write_bytes(bytes(4096))
