"""Importing one plugin through stevedore, whatever its module does."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

from stevedore.named import NamedExtensionManager

from arbstr_core.plugins._found import GROUP, Found
from arbstr_core.types import PluginError


class _OneExtension(NamedExtensionManager[Any]):
    """stevedore's manager over one entry point that was found and checked already.

    Left to itself, stevedore asks a cache on disk, which may be older than what pip just did, and imports every
    distribution that claims a name before it notices a conflict.
    """

    def __init__(self, found: Found) -> None:
        self._found = found
        self.failure: BaseException | None = None
        super().__init__(
            GROUP,
            [found.name],
            on_load_failure_callback=self._failed,
            on_missing_entrypoints_callback=None,
        )

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._found.entry_point]

    def _failed(self, manager: object, entry_point: EntryPoint, failure: BaseException) -> None:
        self.failure = failure


def import_plugin(found: Found) -> ModuleType:
    """The plugin's module. Raises PluginError, which does not name the plugin, where it cannot be imported."""
    try:
        manager = _OneExtension(found)
    except (AssertionError, SystemExit) as failure:  # the ones that stevedore lets through
        raise PluginError(_import_sentence(failure)) from failure
    if manager.failure is not None:
        raise PluginError(_import_sentence(manager.failure)) from manager.failure
    module: object = manager.extensions[0].plugin
    if not isinstance(module, ModuleType):
        raise PluginError(f"its entry point {found.module!r} is no module; name the module alone, without a colon")
    return module


def _import_sentence(failure: BaseException) -> str:
    said = one_line(failure)
    if isinstance(failure, ModuleNotFoundError) and failure.name:
        return f"cannot be imported: {said}; install what brings {failure.name}, or reinstall the plugin"
    return f"cannot be imported: {said}; reinstall it, or take it out of [arbstr] plugins"


def one_line(failure: BaseException) -> str:
    """An exception in one line: its type, and what it says."""
    said = " ".join(str(failure).split())
    return f"{type(failure).__name__}: {said}" if said else type(failure).__name__
