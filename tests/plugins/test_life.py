"""The life of what plugins make: started in order, closed in reverse, their background work supervised."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from arbstr_core.api import Clock, Living, SecretRef, Tasks, Tools
from arbstr_core.plugins import Lives, LoopClock, PluginTools, Supervisor
from arbstr_core.types import PluginError, Secret

LOG = logging.getLogger("arbstr.test")


class Life(Living):
    def __init__(self, name: str, diary: list[str], *, fail: str = "", error: BaseException | None = None) -> None:
        self.name = name
        self._diary = diary
        self._fail = fail
        self._error = error or ValueError("no good")

    async def start(self) -> None:
        self._diary.append(f"start {self.name}")
        if self._fail == "start":
            raise self._error

    async def aclose(self) -> None:
        self._diary.append(f"close {self.name}")
        if self._fail == "close":
            raise self._error


def test_started_in_order_and_closed_in_reverse():
    diary: list[str] = []
    both = Life("b", diary)

    async def live() -> None:
        lives = Lives(LOG)
        await lives.start([("p", [Life("a", diary), object(), both]), ("q", [both, Life("c", diary)])])
        assert await lives.aclose() == ()
        assert await lives.aclose() == ()

    asyncio.run(live())
    assert diary == ["start a", "start b", "start c", "close c", "close b", "close a"]


def test_one_that_does_not_start_takes_those_before_it_down():
    diary: list[str] = []

    async def live() -> None:
        made = [("p", [Life("a", diary)]), ("q", [Life("b", diary, fail="start"), Life("c", diary)])]
        with pytest.raises(PluginError, match="plugin q: b did not start: ValueError: no good"):
            await Lives(LOG).start(made)

    asyncio.run(live())
    assert diary == ["start a", "start b", "close b", "close a"]


def test_a_cancelled_start_closes_and_stays_cancelled():
    diary: list[str] = []

    async def live() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Lives(LOG).start([("p", [Life("a", diary, fail="start", error=asyncio.CancelledError())])])

    asyncio.run(live())
    assert diary == ["start a", "close a"]


@pytest.mark.parametrize("error", [ValueError("no good"), SystemExit("no good")])
def test_closing_goes_on_after_an_error(error: BaseException, caplog: pytest.LogCaptureFixture):
    diary: list[str] = []

    async def live() -> tuple[str, ...]:
        lives = Lives(LOG)
        await lives.start([("p", [Life("a", diary)]), ("q", [Life("b", diary, fail="close", error=error)])])
        return await lives.aclose()

    errors = asyncio.run(live())
    assert errors == (f"plugin q: b did not close: {type(error).__name__}: no good",)
    assert diary[-2:] == ["close b", "close a"]
    assert caplog.messages == list(errors)


def test_a_task_that_fails_is_logged_and_remembered(caplog: pytest.LogCaptureFixture):
    async def fail(error: BaseException) -> None:
        raise error

    async def live() -> Supervisor:
        supervisor = Supervisor(LOG, remembered=2)
        tasks: Tasks = supervisor.tasks("acme")
        assert supervisor.tasks("acme") is tasks
        for error in (ValueError(1), SystemExit(2), KeyError("k")):
            tasks.spawn("refresh", fail(error))
        done = asyncio.Event()

        async def last() -> None:
            done.set()

        tasks.spawn("last", last())
        await done.wait()
        await supervisor.aclose()
        return supervisor

    failures = asyncio.run(live()).failures
    assert [(f.plugin, f.task, f.error) for f in failures] == [
        ("acme", "refresh", "SystemExit: 2"),
        ("acme", "refresh", "KeyError: 'k'"),
    ]
    assert caplog.messages == ["plugin acme: background task refresh failed"] * 3


def test_closing_cancels_and_waits():
    diary: list[str] = []

    async def work(name: str, running: asyncio.Event) -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            diary.append(name)

    async def live() -> None:
        supervisor = Supervisor(LOG)
        for name in ("a", "b"):
            running = asyncio.Event()
            supervisor.tasks(name).spawn("work", work(name, running))
            await running.wait()
        await supervisor.aclose()
        assert diary == ["a", "b"]
        assert supervisor.failures == ()
        with pytest.raises(PluginError, match="plugin a: more was spawned after the plugin was closed"):
            supervisor.tasks("a").spawn("more", work("late", asyncio.Event()))

    asyncio.run(live())


def test_a_task_that_does_not_end_is_named_and_left(caplog: pytest.LogCaptureFixture):
    async def live() -> None:
        stop, running = asyncio.Event(), asyncio.Event()

        async def stubborn() -> None:
            running.set()
            while not stop.is_set():
                try:
                    await stop.wait()
                except asyncio.CancelledError:
                    continue

        supervisor = Supervisor(LOG)
        supervisor.tasks("acme").spawn("stubborn", stubborn())
        await running.wait()
        await supervisor.aclose(grace_seconds=0.01)
        stop.set()

    asyncio.run(live())
    assert caplog.messages == ["acme: stubborn does not end after it was cancelled"]


def test_the_clock_of_the_machine():
    clock: Clock = LoopClock()
    before = clock.monotonic()
    asyncio.run(clock.sleep(0))
    assert clock.monotonic() >= before
    assert 1_700_000_000_000 < clock.now_ms() < 10_000_000_000_000


def test_the_tools_are_their_parts(tmp_path: Path):
    asked: list[SecretRef] = []
    part: Any = object()

    def secret(ref: SecretRef) -> Secret | None:
        asked.append(ref)
        return None

    made = PluginTools(
        http=part,
        upstream=part,
        clock=LoopClock(),
        log=LOG,
        store=part,
        tasks=part,
        data_dir=tmp_path / "plugins" / "acme",
        secret=secret,
        secret_bytes=lambda ref: ref.ref.encode(),
        port=lambda: 4242,
    )
    tools: Tools = made
    assert tools.secret(SecretRef("env:K")) is None
    assert asked == [SecretRef("env:K")]
    assert tools.secret_bytes(SecretRef("env:K")) == b"env:K"
    assert tools.port() == 4242
    assert tools.http is tools.store is part
    assert not (tmp_path / "plugins").exists()
    assert Path(tools.data_dir).is_dir()
    assert stat.S_IMODE(os.stat(tools.data_dir).st_mode) == 0o700
    assert tools.data_dir == str(tmp_path / "plugins" / "acme")
