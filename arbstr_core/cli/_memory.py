"""How a server's memory lies: what the collector looks at, one heap, large pages.

A call touches a few megabytes all over the place. In pages of 4 KB those are more places than a processor remembers,
and in a virtual machine each one that it has to look up again is a walk through two tables: docs/decisions/074.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import re
from collections.abc import Iterator
from pathlib import Path

_LARGE = 2 << 20
"""bytes of a large page: x86-64, and 64-bit ARM with pages of 4 KB"""
_SECONDS = 5.0
_MOST_SECONDS = 300.0
_ALLOWED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_REGIONS = Path("/proc/self/smaps")
_REGION = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[heap\])?$.*?^Rss: +(?P<used>\d+) kB$",
    re.MULTILINE | re.DOTALL,
)

# <linux/mman.h> and <malloc.h>.
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def one_heap() -> None:
    """Have the C library (glibc's mallopt) keep one heap for all threads, which grows and shrinks in large steps. It
    counts for threads that begin later; elsewhere than on glibc nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TOP_PAD, 8 * _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 32 * _LARGE)
        # It is what glibc comes to by itself, and stays at 128 KB once it is told the other two.
        mallopt(_M_MMAP_THRESHOLD, 16 * _LARGE)


def settle_in() -> None:
    """What is there now stays: collecting it again and again would only stop calls for a moment each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)


async def keep_large(seconds: float = _SECONDS) -> None:
    """Lay what there is into large pages, for ever: first after `seconds`, then more and more seldom. It is done beside
    the calls, since the first time takes up to half a second."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(lay_large)
        seconds = min(2 * seconds, _MOST_SECONDS)


def lay_large() -> int:
    """Have the kernel (madvise, Linux 6.1 and later) lay the memory of this process into large pages, wherever a whole
    one fits; how many there are now. None where the kernel has none to give, or the operator turned them off."""
    try:
        if "[never]" in _ALLOWED.read_text():
            return 0
        # It names files too, which may be called anything.
        ranges = list(_filled(_REGIONS.read_text("ascii", errors="replace")))
    except OSError:
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    laid = 0
    for start, end in ranges:
        if madvise(start, end - start, _MADV_HUGEPAGE) == 0:
            laid += sum(madvise(at, _LARGE, _MADV_COLLAPSE) == 0 for at in range(start, end, _LARGE))
    return laid


def _filled(regions: str) -> Iterator[tuple[int, int]]:
    """Where whole large pages fit into memory that is written, has no file behind it, and is used for the most part:
    a thread's stack is not, and would become megabytes."""
    for found in _REGION.finditer(regions):
        start, end = int(found["start"], 16), int(found["end"], 16)
        if 2048 * int(found["used"]) >= end - start:
            start, end = -(-start // _LARGE) * _LARGE, end // _LARGE * _LARGE
            if start < end:
                yield start, end
