"""Starting what plugins made, and closing it in reverse."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from arbstr_core.api import Living
from arbstr_core.plugins._imports import one_line
from arbstr_core.types import PluginError


class Lives:
    """The objects that have a life, in the order they were started."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._started: list[tuple[str, Living]] = []

    async def start(self, made: Iterable[tuple[str, Iterable[object]]]) -> None:
        """Start each plugin's objects, in order; those without a life, and those started already, are passed over.

        Where one raises, it and everything before it is closed, and PluginError names its plugin.
        """
        for plugin, objects in made:
            for each in objects:
                if isinstance(each, Living) and not any(each is other for _, other in self._started):
                    await self._start(plugin, each)

    async def _start(self, plugin: str, each: Living) -> None:
        self._started.append((plugin, each))  # first, so that one that starts halfway is closed as well
        try:
            await each.start()
        except BaseException as failure:
            await self.aclose()
            if isinstance(failure, (Exception, SystemExit)):
                raise PluginError(f"plugin {plugin}: {_name(each)} did not start: {one_line(failure)}") from failure
            raise

    def adopt(self, others: Lives) -> None:
        """Take over what others started; from now on this closes it."""
        self._started += others._started
        others._started = []

    async def end(self, objects: Iterable[object]) -> tuple[str, ...]:
        """Close these alone, the last started first; see `aclose`."""
        gone = Lives(self._log)
        wanted = {id(each) for each in objects}
        gone._started = [pair for pair in self._started if id(pair[1]) in wanted]
        self._started = [pair for pair in self._started if id(pair[1]) not in wanted]
        return await gone.aclose()

    async def aclose(self) -> tuple[str, ...]:
        """Close everything, the last started first; an error is logged and returned, and the others are closed too."""
        errors = []
        while self._started:
            plugin, each = self._started.pop()
            try:
                await each.aclose()
            except (Exception, SystemExit) as failure:  # noqa: BLE001 - a plugin may raise anything
                errors.append(f"plugin {plugin}: {_name(each)} did not close: {one_line(failure)}")
                self._log.exception(errors[-1])
        return tuple(errors)


def _name(each: Living) -> str:
    return str(getattr(each, "name", type(each).__name__))
