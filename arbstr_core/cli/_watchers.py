"""Who is told of each call that ended, as `[log]` says."""

from __future__ import annotations

from contextlib import AsyncExitStack

from arbstr_core.cli._logs import log_call
from arbstr_core.cli._traces import exporting
from arbstr_core.config import LogSettings
from arbstr_core.journal import Watcher


def watchers_of(settings: LogSettings, stack: AsyncExitStack, *, serving: bool) -> list[Watcher]:
    """None where nothing is served. Raises ConfigError where what traces need is not installed."""
    found: list[Watcher] = []
    if serving and settings.calls:
        found.append(log_call)
    if serving and settings.traces:
        found.append(stack.enter_context(exporting()))
    return found
