"""How a server's memory lies: in one heap, and in large pages where this machine has them."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from house import Process, until_true, write

from arbstr_core.cli import _memory
from arbstr_core.cli._memory import keep_large, lay_large

LARGE = 2 * 2**20
REGIONS = """\
56a000000000-56a000100000 r-xp 00000000 fe:00 18710 /usr/bin/python3.11
Rss:                1024 kB
56a000ff0000-56a001500000 rw-p 00000000 00:00 0 [heap]
Size:               5184 kB
Rss:                5184 kB
VmFlags: rd wr mr mw me ac
7f0000000000-7f0000800000 rw-p 00000000 00:00 0
Size:               8192 kB
Rss:                  12 kB
VmFlags: rd wr mr mw me ac
7f0010001000-7f00103ff000 rw-p 00000000 00:00 0
Rss:                4000 kB
7f0020000000-7f0020400000 rw-p 00000000 fe:00 18711 /usr/lib/libc.so.6
Rss:                4096 kB
7f0030000000-7f0030400000 rw-p 00000000 00:00 0 [anon: named]
Rss:                4096 kB
7f0040000000-7f0040600000 rw-p 00000000 00:00 0
Rss:                3500 kB
"""


def test_what_is_laid() -> None:
    """The heap and what is used for the most part, from one large page's boundary to another's."""
    found = list(_memory._filled(REGIONS))
    assert found == [(0x56A001000000, 0x56A001400000), (0x7F0040000000, 0x7F0040600000)]


def larger(pid: int | str) -> int:
    """Bytes of a process that lie in large pages."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("AnonHugePages:")[1].split()[0]) * 1024


def has_large_pages() -> bool:
    """Whether this kernel lays them when told to (MADV_COLLAPSE, Linux 6.1), and its operator lets it."""
    allowed = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    kernel = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
    return allowed.exists() and "[never]" not in allowed.read_text() and kernel >= (6, 1)


def test_what_is_there_lies_in_large_pages() -> None:
    """In a process of its own: what a test has laid would stay so."""
    program = """
from arbstr_core.cli._memory import lay_large
from pathlib import Path
many = [str(number) for number in range(400_000)]
laid = lay_large()
large = Path("/proc/self/smaps_rollup").read_text().split("AnonHugePages:")[1].split()[0]
assert many[-1] == "399999" and len(set(many)) == 400_000
print(laid, int(large) // 2048)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    laid, large = (int(word) for word in done.stdout.split())
    assert laid <= large, "or more, where the kernel lays them by itself"
    assert (laid > 4) == has_large_pages(), done.stdout


def test_nothing_is_laid_where_the_operator_turned_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "enabled"
    setting.write_text("always madvise [never]\n")
    monkeypatch.setattr(_memory, "_ALLOWED", setting)
    monkeypatch.setattr(_memory, "_REGIONS", tmp_path / "not to be read")
    assert lay_large() == 0


def test_files_may_be_called_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of a mapped file is bytes, and no text for sure."""
    for name, said in (
        ("_ALLOWED", b"always [madvise] never\n"),
        ("_REGIONS", b"56a0-56b0 r-xp 0 0 1 /tmp/\xff\xfe.so\n"),
    ):
        (tmp_path / name).write_bytes(said)
        monkeypatch.setattr(_memory, name, tmp_path / name)
    assert lay_large() == 0


def test_nothing_is_laid_where_there_is_no_such_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_ALLOWED", tmp_path / "missing")
    assert lay_large() == 0


def test_it_is_done_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    monkeypatch.setattr(_memory, "lay_large", lambda: times.append(len(times)) or 0)

    async def story() -> None:
        task = asyncio.create_task(keep_large(0.001))
        await until_true(lambda: len(times) >= 4)
        task.cancel()

    asyncio.run(story())


def test_a_server_lies_in_large_pages(tmp_path: Path) -> None:
    """A moment after it has begun to serve."""
    process = Process(write(tmp_path))
    try:
        if has_large_pages():
            asyncio.run(until_true(lambda: larger(process.pid) >= 4 * LARGE))
        assert process.running
    finally:
        process.stop()


HEAPS = """
import ctypes, sys, threading
from arbstr_core.cli._memory import one_heap
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "one":
    one_heap()
def work():
    taken.append(libc.malloc(1000))
    done.wait(60)
taken, done = [], threading.Event()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
while len(taken) < 3: pass
libc.malloc_stats()
done.set()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize(("how", "one"), [("one", True), ("as it is", False)])
def test_threads_share_one_heap(how: str, one: bool) -> None:
    around = {key: value for key, value in os.environ.items() if key not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    done = subprocess.run(
        [sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True, timeout=120, env=around
    )
    heaps = done.stderr.count("\nArena ") + done.stderr.startswith("Arena ")
    if platform.libc_ver()[0] == "glibc":
        assert (heaps == 1) == one, done.stderr
