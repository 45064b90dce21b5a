"""Owns the conformance suite of a plugin as a whole: it is found, loaded and called by the kernel's own loader."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import msgspec
import pytest

from arbstr_core.api import Manifest
from arbstr_core.config import decode
from arbstr_core.plugins import GROUP, Loaded, installed, load
from arbstr_core.testing._tools import KitTools, kit_tools
from arbstr_core.types import ConfigError, Problem

_HOOKS = ("arbstr_providers", "arbstr_policies", "arbstr_wallet_rails", "arbstr_commands")


def configure(plugin: ModuleType, table: Mapping[str, Any] | None = None) -> Any:
    """`table` read as `[plugins.<name>]` of `plugin`, as the kernel reads it; raises ConfigError with every problem."""
    manifest: Manifest = plugin.MANIFEST
    problems: list[Problem] = []
    config = decode(f"plugins.{manifest.name}", table or {}, manifest.config, problems)
    if config is None:
        raise ConfigError(problems)
    return config


class PluginSuite:
    """What every plugin promises. Subclass it as `TestAcme`, with one fixture:

        @pytest.fixture
        def plugin(self):
            return arbstr_providers_acme

    The plugin must be installed (`pip install -e .`). Override `table` with a configuration that makes it return
    something, and `tools` where its hooks need more.
    """

    def table(self) -> dict[str, Any]:
        """What stands in `[plugins.<name>]`; empty where the plugin works without."""
        return {}

    def tools(self, **more: Any) -> KitTools:
        """The tools the hooks get; `more` goes to `kit_tools`."""
        return kit_tools(**more)

    def test_is_installed_by_its_name(self, plugin: ModuleType) -> None:
        """One installed distribution has an entry point by the manifest's name, and it is this module."""
        name = plugin.MANIFEST.name
        found = [each.module for each in installed() if each.name == name]
        assert found == [plugin.__name__], (
            f"the entry points named {name!r} in the group {GROUP!r} are {found}, not {plugin.__name__!r} alone: "
            "declare it in pyproject.toml, and install it once"
        )

    def test_the_kernel_loads_it(self, plugin: ModuleType) -> None:
        """Manifest, API version, schema, and every hook's name and arguments are right, and there is a hook."""
        loaded = self._load(plugin)
        made = [hook for hook in _HOOKS if loaded.implementing(hook)]
        assert made, f"{plugin.__name__} implements no hook: mark its functions with @hookimpl"

    def test_configuration_is_frozen(self, plugin: ModuleType) -> None:
        """Nobody changes the configuration after it was checked."""
        schema = plugin.MANIFEST.config
        assert issubclass(schema, msgspec.Struct), f"config is {schema!r}, not a msgspec Struct"
        assert schema.__struct_config__.frozen, f"{schema.__name__} is not frozen; declare it with frozen=True"

    def test_schema_refuses_unknown_keys(self, plugin: ModuleType) -> None:
        """A key nobody knows is a problem that names it, so that a typing error never becomes a default."""
        with pytest.raises(ConfigError, match="no_such_key"):
            configure(plugin, {**self.table(), "no_such_key": 1})

    def test_hooks_make_objects_and_do_no_io(self, plugin: ModuleType) -> None:
        """Each hook returns named objects of its kind, new ones each time, and uses no tool yet."""

        async def main() -> None:
            tools = self.tools(store=_Unused("the store"), upstream=_unused_upstream)
            try:
                loaded = self._load(plugin)
                for hook in _HOOKS:
                    first, again = (
                        [each for _, objects in loaded.call_each(hook, lambda _: tools) for each in objects]
                        for _ in range(2)
                    )
                    shared = [each for each in first for other in again if each is other]
                    assert not shared, f"{hook} returned one object twice ({shared}); a reload needs new ones"
                assert tools.tasks.count == 0, "a hook started a task; background work begins in start()"
            finally:
                await tools.aclose()

        asyncio.run(main())

    def _load(self, plugin: ModuleType) -> Loaded:
        name = plugin.MANIFEST.name
        return load([name], {name: self.table()}, decode)


class _Unused:
    """Stands for a tool that must not be touched."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a hook used {self._what} ({name}); I/O belongs to start()")


def _unused_upstream(*_: object) -> Any:
    raise AssertionError("a hook sent a call; I/O belongs to start()")
