"""Loading what the configuration enables, and calling it: one plugin at a time, so that each result has an owner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pluggy

from arbstr_core.api import Command, Provider, RoutingPolicy, Tools
from arbstr_core.plugins._examine import Decode, Examined, examine
from arbstr_core.plugins._found import by_name, installed, nothing_sentence
from arbstr_core.plugins._hooks import HOOKS, new_manager
from arbstr_core.plugins._imports import one_line
from arbstr_core.types import ConfigError, PluginError, Problem

MakeTools = Callable[[str], Tools]
"""The tools of a plugin, by its name; called once for each hook that the plugin implements."""


def load(
    enabled: Sequence[str],
    tables: Mapping[str, Mapping[str, Any]],
    decode: Decode,
    *,
    mock: Sequence[str] = (),
) -> Loaded:
    """Import, check and register the `enabled` plugins. Raises one ConfigError with everything wrong in all of them.

    With `mock`, those plugins are loaded too, and enabled plugins that make providers are put aside.
    """
    known = by_name(installed())
    if not known and enabled:
        raise ConfigError([Problem(nothing_sentence((*enabled, *mock)))])
    examined = [examine(name, known, tables, decode) for name in dict.fromkeys((*enabled, *mock))]
    problems = [each for one in examined for each in one.problems]
    if mock:
        examined = [one for one in examined if one.name in mock or "arbstr_providers" not in one.hooks]
    manager = new_manager()
    problems += [each for one in examined if not one.problems for each in _register(manager, one)]
    if problems:
        raise ConfigError(problems)
    return Loaded(manager, examined)


def _register(manager: pluggy.PluginManager, one: Examined) -> list[Problem]:
    """Hand a checked plugin to pluggy, which checks it once more in its own way."""
    try:
        manager.register(one.module, one.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as bad:
        return [Problem(f"{one.found}: pluggy refuses it: {one_line(bad)}; ask its author")]
    return []


class Loaded:
    """The plugins of this run, in the order of the configuration."""

    def __init__(self, manager: pluggy.PluginManager, examined: Sequence[Examined]) -> None:
        self._manager = manager
        self._plugins = {one.name: one for one in examined}

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._plugins)

    def implementing(self, hook: str) -> tuple[str, ...]:
        """Those that implement `hook`."""
        return tuple(name for name, one in self._plugins.items() if hook in one.hooks)

    def kinds(self, name: str) -> tuple[str, ...]:
        """What the plugin `name` is: `provider`, `policy`, `wallet`, `command`."""
        return self._plugins[name].kinds

    def config(self, name: str) -> Any:
        """The decoded table of the plugin `name`."""
        return self._plugins[name].config

    def call_each(
        self, hook: str, make_tools: MakeTools, kept: Mapping[str, tuple[Any, ...]] = MappingProxyType({})
    ) -> list[tuple[str, tuple[Any, ...]]]:
        """What each plugin's `hook` makes, with its owner's name; of a plugin in `kept`, what it made before.

        All others are called, whatever one of them does. Then PluginError names every plugin that raised, returned what
        the hook does not return, or gave two objects one name.
        """
        made: list[tuple[str, tuple[Any, ...]]] = []
        failures: list[PluginError] = []
        for name in self.implementing(hook):
            if name in kept:
                made.append((name, kept[name]))
                continue
            tools = make_tools(name)
            try:
                made.append((name, self._make(name, hook, tools)))
            except PluginError as bad:
                failures.append(bad)
        failures += [PluginError(sentence) for sentence in _shared_names(made)]
        if failures:
            raise PluginError("\n".join(str(each) for each in failures)) from ExceptionGroup("plugins", failures)
        return made

    def _make(self, name: str, hook: str, tools: Tools) -> tuple[Any, ...]:
        """Call one plugin through pluggy, with all others left out."""
        one = self._plugins[name]
        others = [self._manager.get_plugin(other) for other in self._plugins if other != name]
        caller = self._manager.subset_hook_caller(hook, remove_plugins=others)
        try:
            results = caller(config=one.config, tools=tools)
            objects = tuple(results[0]) if results else None  # pluggy drops a None
        except (Exception, SystemExit) as bad:
            raise PluginError(f"{one.found}: {hook} raised {one_line(bad)}") from bad
        if objects is None:
            raise PluginError(f"{one.found}: {hook} returned None; return a list, empty where there is nothing")
        wrong = [each for each in objects if not isinstance(each, HOOKS[hook].types)]
        if wrong:
            wanted = " or ".join(kind.__name__ for kind in HOOKS[hook].types)
            raise PluginError(f"{one.found}: {hook} returned a {type(wrong[0]).__name__}, which is no {wanted}")
        _check_names(one, hook, objects)
        return objects


def _check_names(one: Examined, hook: str, objects: Iterable[Any]) -> None:
    """Every object has a name; a provider's begins with its plugin's, so receipts say whose it was."""
    for each in objects:
        name = getattr(each, "name", None)
        if not isinstance(name, str) or not name:
            raise PluginError(f"{one.found}: {hook} returned a {type(each).__name__} without a name; set its `name`")
        if isinstance(each, Provider) and name != one.name and not name.startswith(f"{one.name}."):
            raise PluginError(
                f'{one.found}: {hook} named a provider {name!r}; name it "{one.name}" or "{one.name}.INSTANCE"'
            )


def _shared_names(made: Sequence[tuple[str, Sequence[Any]]]) -> Iterator[str]:
    """Objects that only their names tell apart, and do not: providers, strategies and rails of all plugins, and the
    commands of one."""
    owners: dict[tuple[str, str], str] = {}
    for plugin, objects in made:
        for each in objects:
            if isinstance(each, RoutingPolicy):
                continue
            key = (plugin if isinstance(each, Command) else "", each.name)
            if key in owners:
                rivals = " and ".join(dict.fromkeys((owners[key], plugin)))
                yield f"plugin {rivals}: two objects are named {each.name!r}; rename one, or enable one plugin alone"
            owners[key] = plugin
