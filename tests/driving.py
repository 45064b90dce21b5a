"""Real clients as processes of their own: each does what it is asked, and says what its user would see."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from house import Setup
from upstream import Upstream

ROOT = Path(__file__).parents[1]
DRIVERS = ROOT / "tests" / "clients" / "drivers"
MADE = ROOT / ".cache" / "clients"
PYTHON = MADE / "python" / "bin" / "python"
SECONDS = 60
"""how long a client may take for anything"""


CLIENTS = {
    "openai": ("openai_sync.py",),
    "openai async": ("openai_async.py",),
    "openai-node": ("openai_node.mjs",),
    "langchain": ("langchain_chat.py",),
    "ai-sdk": ("ai_sdk.mjs", "compatible"),
    "ai-sdk openai": ("ai_sdk.mjs", "openai"),
    "llm": ("llm_tool.py",),
}
"""those of OpenAI's API, and how each is started"""
ANTHROPIC = {"anthropic": ("anthropic_messages.py",), "anthropic async": ("anthropic_messages.py", "async")}


class Raised(Exception):
    """What a client raised; `seen` is what its user can see of that."""

    def __init__(self, seen: dict[str, Any]) -> None:
        super().__init__(json.dumps(seen, indent=1))
        self.seen = seen

    def __getitem__(self, name: str) -> Any:
        return self.seen[name]


def make_clients() -> None:
    """Install the clients, unless they are there."""
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "clients.py")], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr


def _command(program: str, *words: str) -> list[str]:
    if program.endswith(".py"):
        return [str(PYTHON), str(DRIVERS / program), *words]
    # A module is looked for beside the program that wants it.
    return ["node", str(MADE / "node" / "drivers" / program), *words]


def _place_drivers() -> None:
    folder = MADE / "node" / "drivers"
    folder.mkdir(exist_ok=True)
    for path in DRIVERS.glob("*.mjs"):
        fresh = folder / f"{path.name}.{os.getpid()}"
        shutil.copy(path, fresh)
        fresh.replace(folder / path.name)


class Driver:
    """One client."""

    def __init__(self, program: str, words: Sequence[str], folder: Path) -> None:
        self.program = program
        if program.endswith(".mjs"):
            _place_drivers()
        folder.mkdir(parents=True, exist_ok=True)
        self._log = (folder / f"{program}.log").open("w+")
        # Nothing of this machine's settings changes what a client does, or whom it talks to.
        named = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")}
        self._process = subprocess.Popen(
            _command(program, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**named, "HOME": str(folder), "PYTHONWARNINGS": "error::ResourceWarning"},
            cwd=folder,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def __call__(self, do: str, **ask: Any) -> Any:
        """Have it do something. Raises Raised where the client does."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "retries": 0, **ask}) + "\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=SECONDS)
        except queue.Empty:
            # Its answer may come yet, and would be taken for that to another question.
            self._process.kill()
            line = ""
        assert line, f"{self.program} ended: {self.log()}"
        answer = json.loads(line)
        if "raised" in answer:
            raise Raised(answer["raised"])
        return answer["said"]

    @property
    def running(self) -> bool:
        """False once it has ended, for whatever reason."""
        return self._process.poll() is None

    def log(self) -> str:
        """What it wrote on standard error."""
        self._log.seek(0)
        return self._log.read()

    def leave(self) -> None:
        """Ask it to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def close(self) -> None:
        """Wait until it has ended."""
        assert self._process.stdout is not None
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


@dataclass(frozen=True)
class World:
    """A running arbstr, the one upstream behind it, and its operator."""

    setup: Setup
    upstream: Upstream
    admin: httpx.Client

    def agent(self, name: str, *, fund: int = 10**9, **limits: Any) -> dict[str, Any]:
        """A new agent."""
        new = {"name": name, "fund_msat": fund, "max_charge_msat": 10**12, "daily_msat": 10**13, **limits}
        answer = self.admin.post("/admin/agents", json=new)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def show(self, agent: dict[str, Any]) -> dict[str, Any]:
        """The agent as it stands."""
        return dict(self.admin.get(f"/admin/agents/{agent['id']}").raise_for_status().json())


@dataclass(frozen=True)
class Client:
    """One client with an agent of its own at arbstr."""

    name: str
    driver: Driver
    world: World
    agent: dict[str, Any]

    def direct(self, do: str, **ask: Any) -> Any:
        """Have it do something at the upstream itself."""
        return self.driver(do, url=self.world.upstream.url, key="sk-upstream", model="m", **ask)

    def __call__(self, do: str, **ask: Any) -> Any:
        """Have it do the same at arbstr."""
        given = {"url": f"{self.world.setup.url}/v1", "key": self.agent["token"], "model": "m"}
        return self.driver(do, **given | ask)
