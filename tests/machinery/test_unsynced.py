"""Power cuts: SQLite in its safe modes loses nothing that it acknowledged, and in the others does, so a cut is one."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from unsynced import Unsynced

COMMITTING = Path(__file__).with_name("committing.py")
SAFE = [("WAL", "FULL"), ("DELETE", "EXTRA"), ("TRUNCATE", "EXTRA")]
MANY = 10**6


def command(file: Path, journal: str, synchronous: str, *, rows: int = MANY, every: int = 40) -> list[str]:
    return [sys.executable, "-S", str(COMMITTING), str(file), journal, synchronous, str(rows), str(every)]


def killed(power: Unsynced, words: list[str], after: int) -> list[int]:
    """The rows that the program acknowledged until it was killed, some time after row number `after` of them."""
    said = []
    with subprocess.Popen(words, env=power.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout, 1):
            if number == after:
                process.kill()
            if line.endswith("\n"):
                said.append(int(line))
    assert process.returncode == -signal.SIGKILL
    return said


def rows(file: Path) -> list[int]:
    """What is in the file, which is whole."""
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        made = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'kept'").fetchall()
        return [x for (x,) in connection.execute("SELECT x FROM kept ORDER BY x")] if made else []


@pytest.mark.parametrize(("journal", "synchronous"), SAFE)
@pytest.mark.parametrize("partly", [False, True])
def test_safe_modes_keep_all_that_was_acknowledged(
    tmp_path: Path, journal: str, synchronous: str, partly: bool
) -> None:
    chance = Random(f"{journal} {partly}")
    file = tmp_path / "kept.db"
    said: list[int] = []
    with Unsynced(tmp_path, pattern="kept.db*") as power:
        for _ in range(4):
            said += killed(power, command(file, journal, synchronous), chance.randint(1, 150))
            power.cut(seed=chance.getrandbits(32) if partly else None)
            assert not Path(f"{file}-shm").exists()
            kept = rows(file)
            assert set(said) <= set(kept)
            assert kept == list(range(1, len(kept) + 1))


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_mode_that_syncs_no_commit_loses_acknowledged_ones(tmp_path: Path, synchronous: str) -> None:
    file = tmp_path / "kept.db"
    with Unsynced(tmp_path, pattern="kept.db*") as power:
        killed(power, command(file, "WAL", "FULL"), 10)
        power.cut()
        said = killed(power, command(file, "WAL", synchronous, every=MANY), 60)
        assert set(said) <= set(rows_of_a_copy(file))  # a kill alone loses nothing
        assert power.cut().writes > 60
    assert set(said) - set(rows(file))


def rows_of_a_copy(file: Path) -> list[int]:
    folder = file.parent / "copy"
    folder.mkdir()
    for part in (file, Path(f"{file}-wal")):
        (folder / part.name).write_bytes(part.read_bytes())
    return rows(folder / file.name)


def losses_at_each_sync(folder: Path, when: str, journal: str, synchronous: str) -> list[set[int]]:
    """The acknowledged rows that were lost when the power was cut at the first sync, at the second, and so on."""
    lost: list[set[int]] = []
    while True:
        at = folder / str(len(lost))
        at.mkdir()
        file = at / "kept.db"
        with Unsynced(at, pattern="kept.db*") as power:
            environment = power.environment(**{when: len(lost) + 1})
            words = command(file, journal, synchronous, rows=3, every=2)
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
            caught = power.caught()
            power.cut()
        said = {int(line) for line in done.stdout.split()}
        if done.returncode == 0:
            assert said == {1, 2, 3}
            return lost
        assert done.returncode == -signal.SIGKILL, done
        lost.append(said - set(rows(file) if file.exists() else []))
        assert caught.syncs == len(lost)


@pytest.mark.parametrize("when", ["kill_before_sync", "kill_after_sync"])
@pytest.mark.parametrize(("journal", "synchronous"), SAFE)
def test_killed_at_each_sync_in_turn_nothing_is_lost(tmp_path: Path, when: str, journal: str, synchronous: str) -> None:
    lost = losses_at_each_sync(tmp_path, when, journal, synchronous)
    assert len(lost) > 5
    assert set().union(*lost) == set()


def test_a_mode_that_does_not_sync_the_directory_loses_acknowledged_commits(tmp_path: Path) -> None:
    lost = losses_at_each_sync(tmp_path, "kill_before_sync", "DELETE", "FULL")
    assert set().union(*lost) == {1, 2}


def run(power: Unsynced, code: str, *more: str, **environment: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-S", "-c", f"import mmap, os, shutil\n{code}", *more]
    return subprocess.run(
        words, cwd=power.folder, env=power.environment(**environment), capture_output=True, text=True, check=False
    )


OPENED = "fd = os.open('a.db', os.O_RDWR)\n"
CHANGES = {
    "write": OPENED + "os.write(fd, b'NEW')",
    "append": "os.write(os.open('a.db', os.O_WRONLY | os.O_APPEND), b'NEW')",
    "writev": OPENED + "os.lseek(fd, 2, 0); os.writev(fd, [b'NE', b'W'])",
    "pwrite beyond the end": OPENED + "os.pwrite(fd, b'NEW', 5000)",
    "pwritev": OPENED + "os.pwritev(fd, [b'NE', b'W'], 1)",
    "overwrite many times": OPENED + "[os.pwrite(fd, b'%d' % n, n % 5) for n in range(20)]",
    "shrink": OPENED + "os.ftruncate(fd, 1)",
    "shrink, then grow": OPENED + "os.ftruncate(fd, 1); os.ftruncate(fd, 9); os.pwrite(fd, b'NEW', 2)",
    "grow": OPENED + "os.ftruncate(fd, 9000)",
    "allocate": OPENED + "os.posix_fallocate(fd, 0, 9000)",
    "open for writing anew": "open('a.db', 'wb').write(b'NEW')",
    "copy over": "open('other', 'wb').write(b'x' * 9000); shutil.copyfile('other', 'a.db')",
    "copy a range over": OPENED + "os.copy_file_range(os.open('b.db', os.O_RDONLY), fd, 2)",
    "remove": "os.unlink('a.db')",
    "remove, then make anew": "os.remove('a.db'); open('a.db', 'xb').write(b'NEW')",
    "rename": "os.rename('a.db', 'c.db')",
    "replace": OPENED + "os.write(fd, b'NEW'); os.replace('a.db', 'b.db')",
    "replace by another": "open('new', 'wb').write(b'NEW'); os.replace('new', 'a.db')",
    "rename away": "os.rename('a.db', 'elsewhere')",
    "make": "open('c.db', 'wb').write(b'NEW')",
    "link": "os.link('a.db', 'c.db')",
    "in a folder": "os.write(os.open('in.db', os.O_RDWR, dir_fd=os.open('sub', os.O_RDONLY)), b'NEW')",
}
SYNC = """
for top, _, names in os.walk('.'):
    if '.unsynced' not in top:
        [os.fsync(os.open(os.path.join(top, name), os.O_RDONLY)) for name in [*names, '.']]
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.db")}


@pytest.fixture
def power(tmp_path: Path) -> Unsynced:
    (tmp_path / "sub").mkdir()
    for name in ("a.db", "b.db", "sub/in.db"):
        (tmp_path / name).write_bytes(f"old {name}".encode())
    return Unsynced(tmp_path, pattern="*.db")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_lost_unless_it_was_synced(power: Unsynced, change: str) -> None:
    before = contents(power.folder)
    aside = "\nos.pwrite(os.open('b.db', os.O_RDWR), b'_', 1)"  # a cut wants a write, and some changes are none
    with power:
        done = run(power, CHANGES[change] + aside)
        assert done.returncode == 0, done.stderr
        changed = contents(power.folder)
        power.cut()
        assert contents(power.folder) == before
        done = run(power, CHANGES[change] + aside + SYNC)
        assert done.returncode == 0, done.stderr
        changed = contents(power.folder)
        power.cut()
        assert contents(power.folder) == changed != before


def test_a_sync_keeps_what_was_before_it_in_that_file_alone(power: Unsynced) -> None:
    with power:
        code = (
            "a, b = (os.open(name, os.O_RDWR) for name in ('a.db', 'b.db'))\n"
            "os.pwrite(a, b'1', 0); os.pwrite(b, b'1', 0); os.fdatasync(a); os.pwrite(a, b'2', 1); os.fdatasync(b)"
        )
        assert run(power, code).returncode == 0
        caught = power.caught()
        lost = power.cut()
    assert (caught.processes, caught.writes, caught.bytes, caught.syncs, lost.writes) == (1, 3, 3, 2, 1)
    assert contents(power.folder) == {"a.db": b"1ld a.db", "b.db": b"1ld b.db", "sub/in.db": b"old sub/in.db"}


def test_a_name_is_durable_once_its_directory_is(power: Unsynced) -> None:
    make = "fd = os.open('c.db', os.O_CREAT | os.O_RDWR); os.write(fd, b'NEW'); os.fsync(fd)\n"
    with power:
        assert run(power, make).returncode == 0
        power.cut()
        assert not (power.folder / "c.db").exists()
        assert run(power, make + "os.fsync(os.open('.', os.O_RDONLY))").returncode == 0
        power.cut()
        assert (power.folder / "c.db").read_bytes() == b"NEW"


def test_threads_and_processes_share_a_file(power: Unsynced) -> None:
    code = """
import subprocess, sys, threading
def work(at):
    fd = os.open('a.db', os.O_RDWR)
    for n in range(200):
        os.pwrite(fd, b'%d' % (n % 10), at)
if len(sys.argv) == 1:
    os.fdatasync(os.open('a.db', os.O_RDWR))
    with subprocess.Popen([sys.executable, '-S', '-c', open('code').read(), 'child']):
        threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
else:
    work(5)
"""
    (power.folder / "code").write_text(f"import os\n{code}")
    before = contents(power.folder)
    with power:
        done = run(power, code)
        assert done.returncode == 0, done.stderr
        assert contents(power.folder) != before
        assert power.caught().processes == 2
        assert power.cut().writes == 1000
    assert contents(power.folder) == before


def test_a_torn_record_is_of_a_write_that_never_began(power: Unsynced) -> None:
    before = contents(power.folder)
    with power:
        for tear in (1, 20, 60):
            assert run(power, OPENED + "os.write(fd, b'NEW')").returncode == 0
            (log,) = (power.folder / ".unsynced").glob("*.undo")
            torn = log.read_bytes()
            log.write_bytes(torn + torn[:-tear])
        assert run(power, OPENED + "os.write(fd, b'MORE')").returncode == 0
        power.cut()
    assert contents(power.folder) == before


def test_what_cannot_be_undone_ends_the_process_and_the_cut_says_so(power: Unsynced) -> None:
    with power:
        for code in (OPENED + "mmap.mmap(fd, 3)[0] = 0", "os.truncate('a.db', 1)"):
            done = run(power, code)
            assert done.returncode == -signal.SIGABRT
            assert "a.db" in done.stderr
        run(power, OPENED + "os.write(fd, b'NEW')")
        with pytest.raises(RuntimeError, match=r"a.db: mapped for writing(.|\n)*a.db: truncated by name"):
            power.cut()


def test_a_cut_that_would_prove_nothing_is_refused(power: Unsynced) -> None:
    with power:
        with pytest.raises(RuntimeError, match=r"no write to \*\.db below .* in 0 processes"):
            power.cut()
        assert run(power, "open('other', 'w').write('not watched')").returncode == 0
        with pytest.raises(RuntimeError, match=r"no write to \*\.db below .* in 1 processes"):
            power.cut()
        assert run(power, OPENED + "os.write(fd, b'NEW')").returncode == 0
        power.cut()
        with pytest.raises(RuntimeError, match="no write"):
            power.cut()


def test_a_cut_under_a_running_process_is_refused(power: Unsynced) -> None:
    code = "import os; os.write(os.open('a.db', os.O_RDWR), b'NEW'); print(flush=True); input()"
    words = [sys.executable, "-S", "-c", code]
    with (
        power,
        subprocess.Popen(
            words, cwd=power.folder, env=power.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(RuntimeError, match="still runs"):
            power.cut()
        process.kill()
        process.wait()
        power.cut()
    assert contents(power.folder)["a.db"] == b"old a.db"


def test_a_preload_that_is_there_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "another.so")
    assert Unsynced(tmp_path).environment(HOME="x")["LD_PRELOAD"].endswith(".so:another.so")
    assert os.environ["LD_PRELOAD"] == "another.so"
