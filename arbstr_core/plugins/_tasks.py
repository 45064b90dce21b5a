"""Background work of plugins, supervised: a failure is logged and remembered, and nothing outlives its plugin."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

import msgspec

from arbstr_core.plugins._imports import one_line
from arbstr_core.types import PluginError


class TaskFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Background work that ended with an exception."""

    plugin: str
    task: str
    error: str

    def __str__(self) -> str:
        return f"plugin {self.plugin}: its background task {self.task} has ended ({self.error}): reload, or restart"


class PluginTasks:
    """api.Tasks for one plugin."""

    def __init__(self, plugin: str, log: logging.Logger, failures: deque[TaskFailure]) -> None:
        self._plugin = plugin
        self._log = log
        self._failures = failures
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def running(self) -> bool:
        """True while something of it runs, or may begin to."""
        return bool(self._running) or not self._closed

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it ends or the plugin closes. Raises PluginError after that."""
        if self._closed:
            work.close()
            raise PluginError(f"plugin {self._plugin}: {name} was spawned after the plugin was closed")
        task = asyncio.get_running_loop().create_task(self._run(name, work), name=f"{self._plugin}: {name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # Cancelled before its first step, `_run` never gets to await it.
        task.add_done_callback(lambda _: work.close())

    async def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - a plugin may raise anything
            # The end of a supervised task: there is nobody above to tell, so doctor is told.
            self._failures.append(TaskFailure(plugin=self._plugin, task=name, error=one_line(failure)))
            self._log.exception("plugin %s: background task %s failed", self._plugin, name)

    async def aclose(self, grace_seconds: float) -> None:
        """Cancel what runs and wait for it; what still runs after `grace_seconds` is named in the log and left."""
        self._closed = True
        running = set(self._running)
        for task in running:
            task.cancel()
        if running:
            _, left = await asyncio.wait(running, timeout=grace_seconds)
            for task in left:
                self._log.error("%s does not end after it was cancelled", task.get_name())


class Supervisor:
    """The background work of all plugins."""

    def __init__(self, log: logging.Logger, *, remembered: int = 100) -> None:
        self._log = log
        self._failures: deque[TaskFailure] = deque(maxlen=remembered)
        self._tasks: dict[str, PluginTasks] = {}
        self._others: list[PluginTasks] = []

    @property
    def failures(self) -> tuple[TaskFailure, ...]:
        """The last failures, oldest first, for doctor."""
        return tuple(self._failures)

    def tasks(self, plugin: str) -> PluginTasks:
        """The Tasks of `plugin`; the same each time."""
        if plugin not in self._tasks:
            self._tasks[plugin] = PluginTasks(plugin, self._log, self._failures)
        return self._tasks[plugin]

    def anew(self, plugin: str) -> PluginTasks:
        """New Tasks of `plugin`, apart from those of its objects that are about to go."""
        self._others = [tasks for tasks in self._others if tasks.running]
        if plugin in self._tasks:
            self._others.append(self._tasks.pop(plugin))
        return self.tasks(plugin)

    async def aclose(self, grace_seconds: float = 10) -> None:
        """Cancel everything, all plugins at once, and wait for it."""
        await asyncio.gather(*(tasks.aclose(grace_seconds) for tasks in (*self._others, *self._tasks.values())))
