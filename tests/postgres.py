"""A PostgreSQL server that the tests start, and may kill: a fresh cluster, made with the programs of the system."""

from __future__ import annotations

import grp
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import psycopg
from ports import Port
from psycopg import sql

MISSING = "the tests need PostgreSQL's server: install it (Debian: apt-get install postgresql)"
DEBIAN = Path("/usr/lib/postgresql")
SECONDS = 60
ROOM_BYTES = 4 * 2**30

SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
    "log_line_prefix": "%m [%p] %q%a ",
}


def programs() -> Path:
    """The folder of PostgreSQL's server programs, the newest there is. Raises RuntimeError with what to install."""
    found = sorted(DEBIAN.glob("*/bin"), key=_version, reverse=True)
    if (config := shutil.which("pg_config")) is not None:
        found.append(
            Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
        )
    if (initdb := shutil.which("initdb")) is not None:
        found.append(Path(initdb).resolve().parent)
    for folder in found:
        if os.access(folder / "initdb", os.X_OK) and os.access(folder / "postgres", os.X_OK):
            return folder
    raise RuntimeError(MISSING)


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0


def _memory() -> Path | None:
    """A folder in memory with room enough, where there is one: what is synced there outlives the server's death, and
    that is the only one it dies here. On a busy disk the checkpoint of one DROP DATABASE takes seconds."""
    memory = Path("/dev/shm")
    try:
        return memory if shutil.disk_usage(memory).free >= ROOM_BYTES else None
    except OSError:
        return None


class _Owner:
    """Who runs the server: we, or the user `postgres` where we are root, whom PostgreSQL refuses."""

    def __init__(self) -> None:
        self._entry: pwd.struct_passwd | None = None
        if os.geteuid() == 0:
            try:
                self._entry = pwd.getpwnam("postgres")
            except KeyError:
                raise RuntimeError(f"there is no user postgres to run it: {MISSING}") from None

    def give(self, folder: Path) -> None:
        """Make `folder` theirs."""
        if self._entry is not None:
            os.chown(folder, self._entry.pw_uid, self._entry.pw_gid)

    def start(self, command: list[str | Path], folder: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """A process of theirs, in a session of its own: Ctrl-C is for the tests, which then stop it."""
        user, group = (None, None)
        if self._entry is not None:
            user, group = self._entry.pw_name, grp.getgrgid(self._entry.pw_gid).gr_name
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )


class Cluster:
    """A cluster in a folder of its own, on a port of loopback and on a socket in that folder; anyone there may log in.

    `within` is where that folder is; None: in memory, if there is room. Not for two threads at once. The server ends
    with the thread that started it, however that ends.
    """

    user = "postgres"

    def __init__(self, within: Path | None = None, **settings: str) -> None:
        self._programs = programs()
        self._owner = _Owner()
        self._settings = {**SETTINGS, **settings}
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="arbstr-postgres-", dir=within or _memory())).resolve()
        self.port = 0
        self._kept: Port | None = None
        try:
            self._make()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def log(self) -> Path:
        """All that the server said."""
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """The postmaster, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def url(self, database: str = "postgres") -> str:
        """Where `database` is, by TCP."""
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """Where `database` is, by the socket in the folder."""
        return f"postgresql://{self.user}@/{database}?host={quote(str(self.folder), safe='')}&port={self.port}"

    def create_database(self, template: str = "template1") -> str:
        """A new database, the copy of `template`, to which nobody may be connected; its url."""
        name = f"fresh_{next(self._numbers)}"
        self._command(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove the database at `url`, and end who is connected to it."""
        name = url.rsplit("/", 1)[1]
        self._command(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        """Start the server, and wait until it answers; after a kill it recovers first."""
        assert self.pid is None, "it runs already"
        setpriv = shutil.which("setpriv")
        # Were we killed, nobody would stop it: it gets the signal of an immediate stop when its parent dies.
        guard: list[str | Path] = [] if setpriv is None else [setpriv, "--pdeathsig", "QUIT"]
        if not self.port:
            self._kept = Port()
            self.port = self._kept.number
        command = [*guard, self._programs / "postgres", "-D", self._data, "-k", self.folder, "-p", str(self.port)]
        with self.log.open("ab") as log:
            self._process = self._owner.start(command, self.folder, log)
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Stop it as an operator would who does not wait: sessions end, all is written (a fast shutdown)."""
        self._end(signal.SIGINT)

    def stop_immediately(self) -> None:
        """Stop it without writing anything; the next start recovers (an immediate shutdown)."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        """Stop and start it, on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill the postmaster and all its children (SIGKILL), none of which learns of it. Needs Linux."""
        process = self._running()
        # Stopped, the postmaster starts no other child while its children are counted.
        process.send_signal(signal.SIGSTOP)
        children = _children(process.pid)
        for each in (*children, process.pid):
            _kill(each)
        process.wait(SECONDS)
        _wait_until(lambda: not any(_alive(each) for each in children), "killed children are still there")
        self._process = None

    def remove(self) -> None:
        """Stop it if it runs, and remove its folder."""
        try:
            if self.pid is not None:
                self.stop_immediately()
        finally:
            if self._kept is not None:
                self._kept.close()
            shutil.rmtree(self.folder)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _make(self) -> None:
        self._owner.give(self.folder)
        options = ["--username", self.user, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        with self.log.open("ab") as log:
            made = self._owner.start([self._programs / "initdb", "-D", self._data, *options], self.folder, log)
            if made.wait(SECONDS) != 0:
                raise RuntimeError(f"initdb failed: {self.log.read_text()}")
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Its own file says so, in the eighth line, below its pid in the first."""

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {self.log.read_text()}")
            try:
                lines = (self._data / "postmaster.pid").read_text().split("\n")
            except FileNotFoundError:
                return False
            return lines[0] == str(process.pid) and lines[7:8] == ["ready   "]

        _wait_until(ready, f"PostgreSQL is not ready: see {self.log}")

    def _end(self, how: signal.Signals) -> None:
        process = self._running()
        process.send_signal(how)
        process.wait(SECONDS)
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL does not run: see {self.log}")
        return self._process

    def _command(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.socket_url(), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def database(cluster: Cluster, template: str = "template1") -> Iterator[str]:
    """The url of a fresh database, dropped at the end of the block if the server still runs."""
    url = cluster.create_database(template)
    try:
        yield url
    finally:
        if cluster.pid is not None:
            cluster.drop_database(url)


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    limit = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > limit:
            raise RuntimeError(otherwise)
        time.sleep(0.01)


def _children(parent: int) -> list[int]:
    return [int(found.parent.name) for found in Path("/proc").glob("[0-9]*/stat") if _stat(found)[1:2] == [str(parent)]]


def _alive(process: int) -> bool:
    return _stat(Path(f"/proc/{process}/stat"))[:1] not in ([], ["Z"], ["X"])


def _stat(path: Path) -> list[str]:
    """State, parent and so on of a process; what stands before them may contain anything."""
    try:
        return path.read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
