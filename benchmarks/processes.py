"""Owns the processes that are measured: the upstream, the bare pass-through, and arbstr with everything on."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import Cores, Missing

HERE = Path(__file__).parent
MODEL = "gpt-4o-mini"
PATH = "/v1/chat/completions"
_ARBSTR = str(Path(sys.executable).with_name("arbstr"))
_SECONDS = 30

_CONFIG = """
[arbstr]
plugins = ["providers_openai", "policy_keywords", "policy_complexity", "policy_price", "wallet_simulated"]
data_dir = "data"

[server]
listen = "127.0.0.1:{port}"

[vault.defaults]
max_charge = "1000000 sat"
daily = "1btc"

[plugins.providers_openai.instances.cheap]
url = "{upstream}/v1"
[plugins.providers_openai.instances.cheap.models."{model}"]
input = "100 sat"
output = "400 sat"

[plugins.providers_openai.instances.dear]
url = "{upstream}/v1"
[plugins.providers_openai.instances.dear.models."{model}"]
input = "200 sat"
output = "800 sat"

[[plugins.policy_keywords.rules]]
name = "code"
keywords = ["function", "implement"]
max_output = "50000 sat"
"""


class Target:
    """Something that answers chat calls. `token` is its caller's, where it wants one."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, token: str = "") -> None:
        self.name = name
        self.pid = process.pid
        self.url = f"http://127.0.0.1:{port}"
        self.token = token


class Scene:
    """What is running, and where its files are."""

    def __init__(self, folder: Path, upstream: Target, bare: Target, arbstr: Target) -> None:
        self.folder = folder
        self.upstream = upstream
        self.bare = bare
        self.arbstr = arbstr

    def audit(self) -> dict[str, Any]:
        """The ledger, replayed."""
        found: dict[str, Any] = _arbstr(self.folder, "audit", "verify")
        return found


@contextmanager
def running(folder: Path, cores: Cores) -> Iterator[Scene]:
    """All three, until the end of the block."""
    with ExitStack() as stack:
        upstream = stack.enter_context(started_upstream(folder, cores))
        bare = stack.enter_context(started_bare(folder, cores, upstream))
        arbstr = stack.enter_context(_served(folder, cores, upstream))
        yield Scene(folder, upstream, bare, arbstr)


def compiled_upstream(folder: Path) -> Path:
    """The upstream as a program in `folder`."""
    program = folder / "mock_upstream"
    words = ["cc", "-O2", "-o", str(program), str(HERE / "mock_upstream.c")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"mock_upstream.c does not compile: apt-get install gcc libc6-dev\n{done.stderr.strip()}")
    return program


@contextmanager
def started_upstream(folder: Path, cores: Cores) -> Iterator[Target]:
    """The upstream, which answers."""
    port = _free_port()
    words = cores.on(cores.load, str(compiled_upstream(folder)), "-p", str(port))
    with _process(folder, "upstream", words) as process:
        _wait_for(port, process)
        yield Target("upstream alone", process, port)


@contextmanager
def started_bare(folder: Path, cores: Cores, upstream: Target) -> Iterator[Target]:
    """The bare pass-through to `upstream`, which answers."""
    port = _free_port()
    words = [sys.executable, "-m", "benchmarks.bare", str(port), upstream.url + PATH]
    with _process(folder, "bare", cores.on(cores.proxy, *words)) as process:
        _wait_for(port, process)
        yield Target("bare", process, port)


@contextmanager
def _served(folder: Path, cores: Cores, upstream: Target) -> Iterator[Target]:
    port = _free_port()
    (folder / "config.toml").write_text(_CONFIG.format(port=port, upstream=upstream.url, model=MODEL))
    words = cores.on(cores.proxy, _ARBSTR, "serve", "-c", str(folder / "config.toml"))
    with _process(folder, "arbstr", words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], _SECONDS)
        if not readable or not process.stdout.readline():
            raise Missing(f"arbstr does not start: make install\n{(folder / 'arbstr.log').read_text().strip()}")
        agent = _arbstr(folder, "agent", "create", "bench", "--fund", "0.9btc")
        yield Target("arbstr", process, port, agent["token"])


def _arbstr(folder: Path, *words: str) -> Any:
    """A command's document."""
    whole = [_ARBSTR, *words, "--json", "-c", str(folder / "config.toml")]
    return json.loads(subprocess.run(whole, stdout=subprocess.PIPE, check=True, timeout=120).stdout)


@contextmanager
def _process(folder: Path, name: str, words: list[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A child until the end of the block; what it says is in `NAME.log`."""
    around = {key: value for key, value in os.environ.items() if key != "ARBSTR_CONFIG"}
    with (
        (folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(words, **{"stdout": log, **more}, stderr=log, cwd=HERE.parent, env=around) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until somebody listens."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise Missing(f"{process.args!r} does not listen: its log says why")
