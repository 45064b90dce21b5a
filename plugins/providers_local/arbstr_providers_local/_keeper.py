"""Keeps one model server running: starts it on demand, again when it died, and never more often than is sensible."""

from __future__ import annotations

import asyncio
import enum
import json
import os
from pathlib import Path
from typing import Any

from arbstr_core.api import ArbstrError, ConnectFailed, ProviderError, Tools
from arbstr_providers_local._child import Child, Spec, launch, trim
from arbstr_providers_local._fetch import Fetch
from arbstr_providers_local._model import Shelf

STATUS_FILE = "status.json"
HEALTHY_SECONDS = 60.0
"""a server that lived so long starts with a clean record"""
MOST_FAILURES = 6
"""after so many in a row only a call starts it again, and not before REST_SECONDS"""
REST_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 15.0


class State(enum.StrEnum):
    """What the keeper is at."""

    STOPPED = "stopped"
    FETCHING = "fetching"
    STARTING = "starting"
    READY = "ready"
    RESTING = "resting"


class Keeper:
    """Hands out the running server; concurrent callers share one start."""

    def __init__(self, tools: Tools, spec: Spec, shelf: Shelf) -> None:
        self._tools = tools
        self._spec = spec
        self._shelf = shelf
        self._state = State.STOPPED
        self._child: Child | None = None
        self._model: Path | None = None
        self._percent = 0
        self._task: asyncio.Task[Any] | None = None
        self._running = False
        self._closed = False
        self._answer: asyncio.Future[Child | ProviderError] | None = None
        self._starts = 0
        self._failures = 0
        self._rest_until = 0.0
        self._why = ""

    @property
    def running(self) -> Child | None:
        """The server that answers now, if there is one."""
        return self._child

    @property
    def trouble(self) -> str:
        """Why the last start came to nothing, while no other is under way."""
        return self._why if self._state is State.RESTING else ""

    async def child(self) -> Child:
        """The server, started first where there is none; raises ConnectFailed with the reason it cannot be had."""
        if self._child is not None:
            trim(self._spec.log)
            return self._child
        self.begin()
        if self._state is State.FETCHING:
            raise ConnectFailed(f"the local model is still being fetched ({self._percent} %): try again in a moment")
        if self._closed:
            raise ConnectFailed("the model server is closed: arbstr is stopping")
        if self._answer is None:
            wait = max(0.0, self._rest_until - self._tools.clock.monotonic())
            raise ConnectFailed(f"{self._why}; not started again for {wait:.0f} s")
        # Shielded: a caller that leaves must not take the start from the others.
        found = await asyncio.shield(self._answer)
        if isinstance(found, ProviderError):
            raise ConnectFailed(str(found))
        return found

    def begin(self) -> None:
        """Start the server in the background, unless that is under way, done, or too soon."""
        if self._running or self._closed or self._tools.clock.monotonic() < self._rest_until:
            return
        try:
            self._tools.tasks.spawn("model-server", self._keep())
        except ArbstrError:  # at its end arbstr may close our background work before it closes us
            self._closed = True
            return
        self._running = True
        self._expect()

    async def aclose(self) -> None:
        """End the server for good."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._tell(ConnectFailed("arbstr is stopping"))

    async def _keep(self) -> None:
        self._task = asyncio.current_task()
        try:
            while not self._closed and await self._one_life():
                pass
        finally:
            self._running = False
            self._task = None
            self._tell(ConnectFailed(self._why or "the model server was stopped"))
            self._enter(State.STOPPED)

    async def _one_life(self) -> bool:
        """Start the server and wait for its end; True where it is to be started again, after the pause that is due."""
        began = self._tools.clock.monotonic()
        self._expect()
        self._enter(State.STARTING)
        try:
            model = await self._find_model()
            self._starts += 1
            child = await launch(self._spec, model, self._tools.port(), self._tools.http)
        except ProviderError as failed:
            return await self._rest(str(failed), self._failures + 1)
        status = await self._serve(child)
        lived = self._tools.clock.monotonic() - began
        failures = 0 if lived > HEALTHY_SECONDS else self._failures + 1
        return await self._rest(f"the model server ended with status {status}", failures, at_once=failures <= 1)

    async def _serve(self, child: Child) -> int:
        self._child = child
        self._enter(State.READY)
        self._tools.log.info("the local model %s answers on port %d", self._spec.name, child.port)
        self._tell(child)
        try:
            return await child.ended()
        finally:
            self._child = None
            self._expect()
            await child.stop()

    async def _rest(self, why: str, failures: int, *, at_once: bool = False) -> bool:
        """Wait before the next start, longer each time, and in the end give up; `at_once` after a first death."""
        self._why, self._failures = why, failures
        gave_up = failures >= MOST_FAILURES
        pause = REST_SECONDS if gave_up else 0.0 if at_once else min(LONGEST_PAUSE_SECONDS, 0.5 * 2**failures)
        self._tools.log.warning("%s; next start %s", why, "with a call" if gave_up else f"in {pause:g} s")
        if pause:
            self._tell(ConnectFailed(why))
            self._rest_until = self._tools.clock.monotonic() + pause
            self._enter(State.RESTING)
        if pause and not gave_up:
            await self._tools.clock.sleep(pause)
        return not gave_up

    async def _find_model(self) -> Path:
        found = self._shelf.find()
        if found is None:
            self._enter(State.FETCHING)
            self._tell(ConnectFailed("the local model is being fetched: try again in a moment"))
            found = await Fetch(self._shelf.folder, self._tools.log, self._on_progress).run()
            self._expect()
            self._enter(State.STARTING)
        self._model = found
        return found

    def _on_progress(self, percent: int) -> None:
        self._percent = percent
        self._enter(State.FETCHING)

    def _expect(self) -> None:
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()

    def _tell(self, found: Child | ProviderError) -> None:
        """Answer the callers that wait; the next ones wait for another answer, or get none before the next start."""
        if self._answer is not None:
            self._answer.set_result(found)
            self._answer = None

    def _enter(self, state: State) -> None:
        """Note the state, also in a file: `status` is asked from another process."""
        self._state = state
        try:
            write_status(self._shelf.folder, self._facts())
        except OSError as bad:
            self._tools.log.warning("the model server's status cannot be written: %s", bad)

    def _facts(self) -> dict[str, Any]:
        child = self._child
        return {
            "state": self._state.value,
            "owner": os.getpid(),
            "pid": child.process.pid if child else None,
            "port": child.port if child else None,
            "model": self._spec.name,
            "path": str(self._model) if self._model else None,
            "context": child.context if child else None,
            "fetched_percent": self._percent if self._state is State.FETCHING else None,
            "restarts": max(0, self._starts - 1),
            "last_error": self._why or None,
        }


def write_status(folder: Path, facts: dict[str, Any]) -> None:
    """Replace the status file in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{STATUS_FILE}.part"
    part.write_text(json.dumps(facts))
    part.replace(folder / STATUS_FILE)
