"""Owns what the machine gives: the programs that measuring needs, who runs on which core, and CPU time read exactly."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("uvicorn", "uvloop", "httptools", "aiohttp", "msgspec")
_SYNCS = 50


class Missing(Exception):
    """This machine lacks something that measuring needs; the message has the remedy."""


def require(*programs: str) -> None:
    """Raise Missing where a program is not there, or this is no Linux."""
    if platform.system() != "Linux":
        raise Missing(f"the benchmarks need Linux (epoll, /proc), and this is {platform.system()}: run them there")
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        packages = " ".join("gcc" if program == "cc" else program for program in absent)
        raise Missing(f"{' and '.join(absent)} not found: apt-get install {packages}")


class Cores:
    """Who runs where: the proxy alone on one core, what loads it on another. Elsewhere than on two cores, anywhere."""

    def __init__(self, available: frozenset[int], taskset: bool) -> None:
        self.pinned = taskset and len(available) >= 2
        first = sorted(available)
        self.proxy = first[0]
        self.load = first[1] if self.pinned else first[0]

    @classmethod
    def here(cls) -> Cores:
        """Those of this process."""
        return cls(frozenset(os.sched_getaffinity(0)), shutil.which("taskset") is not None)

    def on(self, core: int, *words: str) -> list[str]:
        """A command, to be run on `core`."""
        return ["taskset", "-c", str(core), *words] if self.pinned else list(words)

    @contextmanager
    def here_as_proxy(self) -> Iterator[None]:
        """This thread, and those it starts, where the proxy runs."""
        before = os.sched_getaffinity(0)
        if self.pinned:
            os.sched_setaffinity(0, {self.proxy})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    def __str__(self) -> str:
        if self.pinned:
            return f"the proxy on core {self.proxy}, upstream and load on core {self.load}"
        return "nothing is pinned to a core (one core, or no taskset): expect noise"


def cpu_seconds(root: int) -> float:
    """CPU that a process and those below it have used, user and system. A process that has ended counts no more."""
    return sum(time.clock_gettime(_clock(pid)) for pid in _tree(root))


def _clock(pid: int) -> int:
    """The id of a process's CPU clock (clock_getcpuclockid): nanoseconds, where /proc counts hundredths of a second."""
    return (~pid << 3) | 2


def _tree(root: int) -> list[int]:
    parents = _parents()
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                # The name of the program, in brackets, may hold anything.
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
    return found


def sync_ms(folder: Path) -> float:
    """How long making 4 KB durable takes in `folder`; each commit of the ledger waits for it."""
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            before = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - before)
    return statistics.median(took) * 1000


def described() -> str:
    """Cores and versions, in a line."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} core{'s' if cores > 1 else ''}, Python {platform.python_version()}, {libraries}"
