"""Owns the conformance suite of a plugin as a whole: manifest, entry point, schema, hooks."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import msgspec
import pytest

from arbstr_core.api import API_VERSION, Command, Hooks, Manifest, Provider, RoutingPolicy, Strategy, WalletRail
from arbstr_core.config import decode
from arbstr_core.testing._tools import KitTools, kit_tools
from arbstr_core.types import ConfigError, Problem

GROUP = "arbstr.plugins"
_STEM = re.compile(r"[a-z][a-z0-9_]*\Z")
_MARK = "arbstr_impl"
_RESULTS: dict[str, tuple[type, ...]] = {
    "arbstr_providers": (Provider,),
    "arbstr_policies": (RoutingPolicy, Strategy),
    "arbstr_wallet_rails": (WalletRail,),
    "arbstr_commands": (Command,),
}


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

    Override `table` with a configuration that makes the plugin return something, as TOML reads it.
    """

    def table(self) -> dict[str, Any]:
        """What stands in `[plugins.<name>]`; empty where the plugin works without."""
        return {}

    def tools(self) -> KitTools:
        """The tools the hooks get."""
        return kit_tools()

    def test_manifest(self, plugin: ModuleType) -> None:
        """`MANIFEST` names a stem, an API this kernel has, and a frozen struct for the configuration."""
        manifest = getattr(plugin, "MANIFEST", None)
        assert isinstance(manifest, Manifest), f"{plugin.__name__}.MANIFEST is {manifest!r}, not a Manifest"
        assert _STEM.match(manifest.name), f"{manifest.name!r} is no stem: small letters, digits and underscores"
        fits = manifest.api[0] == API_VERSION[0] and manifest.api[1] <= API_VERSION[1]
        assert fits, f"written for API {manifest.api}, and this kernel has {API_VERSION}"
        schema = manifest.config
        is_struct = isinstance(schema, type) and issubclass(schema, msgspec.Struct)
        assert is_struct, f"config is {schema!r}, not a Struct"
        assert schema.__struct_config__.frozen, f"{schema.__name__} is not frozen: configuration does not change"

    def test_entry_point(self, plugin: ModuleType) -> None:
        """The installed distribution has one entry point by this name, and it is this module."""
        name = plugin.MANIFEST.name
        found = [point for point in entry_points(group=GROUP) if point.name == name]
        assert found, f"no entry point {name!r} in the group {GROUP!r}: declare it in pyproject.toml, and install"
        assert len(found) == 1, f"{len(found)} distributions have a plugin {name!r}"
        assert found[0].value == plugin.__name__, f"the entry point {name!r} is {found[0].value!r}"

    def test_table_is_read(self, plugin: ModuleType) -> None:
        """The table of this test is a configuration."""
        assert configure(plugin, self.table()) is not None

    def test_schema_refuses_unknown_keys(self, plugin: ModuleType) -> None:
        """A key nobody knows is a problem that names it, so that a typing error never becomes a default."""
        with pytest.raises(ConfigError, match="no_such_key"):
            configure(plugin, {**self.table(), "no_such_key": 1})

    def test_hooks_are_hooks(self, plugin: ModuleType) -> None:
        """Every marked function is a hook the kernel has, takes its arguments or fewer, and is no coroutine."""
        marked = {name: each for name, each in vars(plugin).items() if hasattr(each, _MARK)}
        assert marked, f"{plugin.__name__} implements no hook: mark its functions with @hookimpl"
        for name, hook in marked.items():
            spec = getattr(Hooks, name, None)
            assert spec is not None, f"{name} is no hook; there are {', '.join(sorted(_RESULTS))}"
            assert not inspect.iscoroutinefunction(hook), f"{name} is async; hooks are synchronous factories"
            known = list(inspect.signature(spec).parameters)[1:]
            wrong = [each for each in inspect.signature(hook).parameters if each not in known]
            assert not wrong, f"{name} takes {', '.join(wrong)}; the hook has {', '.join(known)}"

    def test_no_hook_is_left_unmarked(self, plugin: ModuleType) -> None:
        """A function named like a hook, and not marked, would silently never be called."""
        for name, each in vars(plugin).items():
            if name.startswith("arbstr_") and inspect.isfunction(each):
                assert hasattr(each, _MARK), f"{name} lacks @hookimpl"

    def test_hooks_return_what_they_say_and_do_no_io(self, plugin: ModuleType) -> None:
        """Each hook returns objects of its kind with unique names, and asks nothing of the network or the store."""

        async def main() -> None:
            tools = self.tools()
            store = _Untouched()
            tools.store = store
            try:
                self._check_results(plugin, tools)
                assert not tools.upstream.sent, "a hook sent a call; I/O belongs to start"
                assert not store.touched, f"a hook used the store ({store.touched}); I/O belongs to start"
            finally:
                await tools.aclose()

        asyncio.run(main())

    def _check_results(self, plugin: ModuleType, tools: KitTools) -> None:
        config = configure(plugin, self.table())
        for name, kinds in _RESULTS.items():
            hook = vars(plugin).get(name)
            if hook is None:
                continue
            made = _call(hook, config, tools)
            assert isinstance(made, Iterable), f"{name} returned {made!r}, which is no list"
            objects = list(made)
            for each in objects:
                assert isinstance(each, kinds), f"{name} returned {each!r}, not {kinds[0].__name__}"
            names = [each.name for each in objects]
            assert len(set(names)) == len(names), f"{name} returned two objects by one name: {sorted(names)}"
            _check_names(plugin.MANIFEST.name, objects)


def _call(hook: Callable[..., Any], config: Any, tools: KitTools) -> Any:
    given = {"config": config, "tools": tools}
    return hook(**{name: given[name] for name in inspect.signature(hook).parameters})


def _check_names(stem: str, objects: Iterable[Any]) -> None:
    for each in objects:
        if isinstance(each, Provider):
            assert each.name.split(".")[0] == stem, f"a provider of {stem} is named {each.name!r}, not {stem}.something"


class _Untouched:
    """A store that notes whether anyone used it."""

    def __init__(self) -> None:
        self.touched = ""

    async def get(self, key: str) -> bytes | None:
        self.touched = f"get {key}"
        return None

    async def put(self, items: Mapping[str, bytes]) -> None:
        self.touched = "put"

    async def compare_and_set(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        self.touched = f"compare_and_set {key}"
        return False

    async def scan(self, prefix: str) -> dict[str, bytes]:
        self.touched = f"scan {prefix}"
        return {}
