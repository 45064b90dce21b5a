"""One run of the model server: starting it, waiting until it listens, ending it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from arbstr_core.api import ConnectFailed, Secret

SCRIPT = Path(__file__).with_name("_server.py")
LOG_BYTES = 1_000_000
"""beyond this the log is emptied"""

_PROPS_SECONDS = 5.0
# The child gets what finds libraries and devices, and none of arbstr's secrets.
_ENV = {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"}
_ENV_PREFIXES = ("LC_", "PYTHON", "CUDA_", "HIP_", "ROCR_", "GGML_", "OMP_", "VK_", "NVIDIA_")


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """How to run the server; `context` is tokens a slot, `idle` the seconds after which it unloads (0: never)."""

    name: str
    context: int
    parallel: int
    threads: int
    idle: int
    start_seconds: float
    log: Path
    script: Path = SCRIPT


class _Settings(msgspec.Struct, frozen=True):
    n_ctx: int


class _Caps(msgspec.Struct, frozen=True):
    supports_tools: bool = False


class _Props(msgspec.Struct, frozen=True):
    """What the server says of itself."""

    default_generation_settings: _Settings
    model_alias: str
    chat_template_caps: _Caps = _Caps()


class Child:
    """A model server that answers. `context` and `tools` are facts of the model it loaded."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, key: Secret) -> None:
        self.process = process
        self.port = port
        self.key = key
        self.url = f"http://127.0.0.1:{port}/v1"
        self.context = 0
        self.tools = False

    async def ended(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        return await self.process.wait()

    async def stop(self) -> None:
        """End it at once: there is nothing to save."""
        if self.process.returncode is None:
            self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        await self.process.wait()


async def launch(spec: Spec, model: Path, port: int, http: httpx.AsyncClient) -> Child:
    """Start a server for `model` on `port`; returns once it answers, raises ConnectFailed if it does not."""
    child = await _spawn(spec, model, port)
    try:
        async with asyncio.timeout(spec.start_seconds):
            await _until_ready(child, spec)
            await _learn(child, spec, http)
    except TimeoutError:
        await child.stop()
        raise ConnectFailed(
            f"the model server was not ready within {spec.start_seconds:g} s and was ended: see {spec.log}, "
            "or raise `start_seconds` in [plugins.providers_local]"
        ) from None
    except BaseException:
        await child.stop()
        raise
    return child


async def _spawn(spec: Spec, model: Path, port: int) -> Child:
    try:
        with _fresh_log(spec.log) as log:
            process = await asyncio.create_subprocess_exec(
                *_command(spec, model, port),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment(os.environ),
                # Ctrl-C is for arbstr, which then ends this child in its own order.
                start_new_session=True,
            )
    except OSError as bad:
        raise ConnectFailed(f"the model server cannot be started: {bad}") from bad
    return Child(process, port, Secret(secrets.token_urlsafe(32)))


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The part of our environment that the child gets."""
    return {name: value for name, value in ours.items() if name in _ENV or name.startswith(_ENV_PREFIXES)}


def trim(log: Path) -> None:
    """Empty the log once it is too large; the child appends, so it goes on at the new end."""
    try:
        if log.stat().st_size > LOG_BYTES:
            os.truncate(log, 0)
    except FileNotFoundError:
        return


def _fresh_log(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path.open("ab")


def _command(spec: Spec, model: Path, port: int) -> list[str]:
    # As a file and with -P, not as a module: the package's own imports are not the child's.
    numbers = {
        "--port": port,
        "--ctx": spec.context,
        "--parallel": spec.parallel,
        "--threads": spec.threads,
        "--idle": spec.idle,
    }
    flags = [part for flag, number in numbers.items() for part in (flag, str(number))]
    return [sys.executable, "-P", str(spec.script), f"--model={model}", f"--name={spec.name}", *flags]


async def _until_ready(child: Child, spec: Spec) -> None:
    stdin, stdout = child.process.stdin, child.process.stdout
    assert stdin is not None, "the child has a pipe for its input"
    assert stdout is not None, "the child has a pipe for its output"
    try:
        # A child that ended before it read its key breaks the pipe: its status says more than that.
        with contextlib.suppress(ConnectionError):
            stdin.write(child.key.reveal().encode() + b"\n")
            await stdin.drain()
        while line := await stdout.readline():
            if line.strip() == b"ready":
                return
    except ValueError as bad:
        raise ConnectFailed(f"the model server did not start properly ({bad}): see {spec.log}") from None
    status = await child.ended()
    raise ConnectFailed(f"the model server ended with status {status} before it was ready{_last_words(spec.log)}")


async def _learn(child: Child, spec: Spec, http: httpx.AsyncClient) -> None:
    """Ask the server what it loaded: with our key, so that it is ours that answers."""
    try:
        answer = await http.get(
            f"http://127.0.0.1:{child.port}/props",
            headers={"authorization": f"Bearer {child.key.reveal()}"},
            timeout=_PROPS_SECONDS,
        )
        props = msgspec.json.decode(answer.content, type=_Props)
    except (httpx.HTTPError, msgspec.MsgspecError) as bad:
        raise ConnectFailed(f"the model server does not answer properly ({bad}): see {spec.log}") from None
    if props.model_alias != spec.name:
        raise ConnectFailed(f"port {child.port} answers for {props.model_alias!r}, which is not our model server")
    child.context = props.default_generation_settings.n_ctx
    child.tools = props.chat_template_caps.supports_tools


def _last_words(log: Path) -> str:
    """The last error in the log, for the sentence that says why there is no model."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if " E " in line or "Error" in line]
    return f": {errors[-1].strip()[:300]} (more in {log})" if errors else f": see {log}"
