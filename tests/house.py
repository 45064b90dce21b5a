"""A running arbstr for tests: in this process on its own loop, or as a process that can be killed."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvloop
from ports import free_port
from typer.testing import CliRunner

from arbstr_core import config
from arbstr_core.cli._commands import app
from arbstr_core.cli._context import settings_of
from arbstr_core.cli._serve import serve

T = TypeVar("T")

ARBSTR = str(Path(sys.executable).with_name("arbstr"))
PLUGINS = ("providers_openai", "policy_price", "policy_keywords", "wallet_simulated")
UNBROKEN = """
[dispatch.breaker]
failures = 1000
calls = 100000
open_seconds = 0.001
most_open_seconds = 0.001
"""
"""For tests that make one provider fail again and again."""
PRICED = 'input = "1000 sat"\noutput = "4000 sat"'


def instance(name: str, url: str, models: str = f"[models.m]\n{PRICED}", more: str = "") -> str:
    """A row of `providers_openai`; `models` are tables below it."""
    head = f"plugins.providers_openai.instances.{name}"
    return f'[{head}]\nurl = "{url}"\n{more}\n' + models.replace("[models", f"[{head}.models") + "\n"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Setup:
    """A folder with a configuration in it."""

    folder: Path
    port: int

    @property
    def file(self) -> Path:
        return self.folder / "config.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        return self.folder / "data" / "arbstr.db"

    def token(self) -> str:
        """The operator's token, once there is one."""
        return (self.folder / "data" / "admin.token").read_text().strip()

    def operator(self) -> dict[str, str]:
        """The header that the operator's API wants."""
        return {"authorization": f"Bearer {self.token()}"}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says, committed a moment ago."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def command(self, *words: str) -> Ended:
        """Run a command in this process; a bug in it is raised."""
        done = CliRunner().invoke(app, words, env={"ARBSTR_CONFIG": str(self.file), "COLUMNS": "200"})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)

    def arbstr(self, *words: str) -> str:
        """Run a command in this process, which does what it is told; its standard output."""
        done = self.command(*words)
        assert done.returncode == 0, (words, done)
        return done.stdout

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command, as a process."""
        whole = {**os.environ, "ARBSTR_CONFIG": str(self.file), "COLUMNS": "200", **env}
        return subprocess.run([ARBSTR, *words], capture_output=True, text=True, env=whole, timeout=60, check=False)

    def json(self, *words: str) -> Any:
        """Run a command with --json; its document."""
        return json.loads(self.arbstr(*words, "--json"))


def write(
    folder: Path,
    tables: str = "",
    *,
    plugins: tuple[str, ...] = PLUGINS,
    server: str = "",
    arbstr: str = "",
    port: int | None = None,
) -> Setup:
    """A configuration in `folder`; `tables` are added to it."""
    port = free_port() if port is None else port
    head = f'[arbstr]\nplugins = {json.dumps(plugins)}\ndata_dir = "data"\n{arbstr}\n'
    door = f'[server]\nlisten = "127.0.0.1:{port}"\n{server}\n'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(f"{head}\n{door}\n{tables}")
    return Setup(folder, port)


def share_keys(one: Setup, other: Setup) -> None:
    """Give `other`, which has not started yet, the keys of `one`, as processes on one database need them."""
    (other.folder / "data").mkdir(mode=0o700)
    for name in ("master.key", "audit.key", "admin.token"):
        shutil.copy(one.folder / "data" / name, other.folder / "data" / name)


@dataclass(frozen=True)
class Served:
    """An arbstr that serves, and clients of it."""

    setup: Setup
    http: httpx.AsyncClient
    """for agents"""
    admin: httpx.AsyncClient
    """with the operator's token"""
    task: asyncio.Task[None]
    at_end: list[Callable[[], None]]
    """what is called before arbstr is told to end, whatever the test came to"""

    def stop(self) -> None:
        """Tell arbstr to end, once: a second signal means something else to it, and a third would end the tests."""
        if not self.task.done() and self.stop not in self.at_end:
            self.at_end.append(self.stop)
            os.kill(os.getpid(), signal.SIGTERM)

    async def agent(self, name: str = "a", *, fund: int = 1_000_000_000, **limits: Any) -> dict[str, Any]:
        """A new agent; amounts in msat. Its limits are wide unless they are given."""
        wide = {"max_charge_msat": 10**12, "daily_msat": 10**13}
        new = {"name": name, "fund_msat": fund, **wide, **limits}
        return _ok(await self.admin.post("/admin/agents", json=new))

    async def show(self, agent: dict[str, Any]) -> dict[str, Any]:
        """The agent as it stands."""
        return _ok(await self.admin.get(f"/admin/agents/{agent['id']}"))

    async def receipt(self, request_id: str) -> dict[str, Any]:
        """The receipt of a call."""
        return _ok(await self.admin.get(f"/admin/receipts/{request_id}"))

    async def ended(self, request_id: str, seconds: float = 60) -> dict[str, Any]:
        """The receipt of a call, once it is no longer held."""

        async def closed() -> dict[str, Any] | None:
            found = await self.receipt(request_id)
            return None if found["state"] == "held" else found

        return await until(closed, seconds)

    async def call(self, agent: dict[str, Any] | None, *, model: str = "m", **fields: Any) -> httpx.Response:
        """One chat call, whole."""
        headers = {"authorization": f"Bearer {agent['token']}"} if agent else {}
        return await self.http.post("/v1/chat/completions", json=chat(model, **fields), headers=headers)

    async def verified(self) -> dict[str, Any]:
        """The ledger, replayed: it must be well, and nothing held."""
        found = _ok(await self.admin.get("/admin/audit/verify"))
        assert found["ok"], found
        assert (found["sum_msat"], found["open_holds"]) == (0, 0), found
        per_hold = self.setup.rows("SELECT count(*) FROM transfer WHERE hold_seq IS NOT NULL GROUP BY hold_seq")
        assert all(row == (1,) for row in per_hold), per_hold
        (holds,) = self.setup.rows("SELECT count(*) FROM hold")
        assert holds == (len(per_hold),)
        return found


def chat(model: str = "m", text: str = "Say hello", **fields: Any) -> dict[str, Any]:
    """A chat request's body."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def _ok(answer: httpx.Response) -> Any:
    assert answer.is_success, (answer.status_code, answer.text)
    return answer.json()


async def until(look: Callable[[], Awaitable[T | None]], seconds: float = 60) -> T:
    """What `look` finds, asked again until it finds something."""
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def until_true(look: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until `look()` is true."""

    async def asked() -> bool | None:
        return look() or None

    await until(asked, seconds)


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine on the loop that arbstr serves on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(story)


@asynccontextmanager
async def serving(setup: Setup, *, mock: bool = False) -> AsyncIterator[Served]:
    """arbstr, served by this process until the end of the block; then no task may be left."""
    before = asyncio.all_tasks()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    read = partial(settings_of, str(setup.file))
    task = asyncio.create_task(serve(config.load(setup.file), mock=mock, ready=ready.set_result, reread=read))
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    limits = httpx.Limits(max_connections=None)
    at_end: list[Callable[[], None]] = []
    clients = {"base_url": setup.url, "trust_env": False, "timeout": 60.0, "limits": limits}
    try:
        async with (
            httpx.AsyncClient(**clients) as http,
            httpx.AsyncClient(**clients, headers=setup.operator()) as admin,
        ):
            served = Served(setup, http, admin, task, at_end)
            yield served
    finally:
        for work in tuple(at_end):
            work()
        served.stop()
        await task
        gc.unfreeze()
    await until_true(lambda: asyncio.all_tasks() <= before)


class NotServing(AssertionError):
    """A process that ended before it served; what it logged, and its exit code."""

    def __init__(self, log: str, code: int) -> None:
        super().__init__(log)
        self.code = code


class Process:
    """arbstr as a process of its own; `program` is run in the place of the command. Raises NotServing."""

    def __init__(
        self,
        setup: Setup,
        *words: str,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = (ARBSTR,),
    ) -> None:
        self.setup = setup
        self._log = (setup.folder / "serve.log").open("ab")
        environment = {**(os.environ if env is None else env), "ARBSTR_CONFIG": str(setup.file)}
        self._process = subprocess.Popen(
            [*program, "serve", *words],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            cwd=setup.folder,
        )
        self.said = self._first_line()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], 60)
        line = self._process.stdout.readline().decode() if readable else ""
        if not line:
            raise NotServing((self.setup.folder / "serve.log").read_text(), self.kill())
        return line

    def kill(self) -> int:
        """End it as the power would; its exit code."""
        self._process.kill()
        return self._end()

    def stop(self, seconds: float = 60) -> int:
        """Ask it to end, and wait; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(seconds)
        return self._end()

    def _end(self) -> int:
        code = self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
        return code

    @property
    def running(self) -> bool:
        return self._process.poll() is None


@contextmanager
def process(setup: Setup, *words: str) -> Iterator[Process]:
    """arbstr as a process until the end of the block."""
    served = Process(setup, *words)
    try:
        yield served
    finally:
        if served.running:
            served.stop()
