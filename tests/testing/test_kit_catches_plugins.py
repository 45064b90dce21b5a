"""The kit's suite of a plugin as a whole, tested with plugins installed for the moment, sound and broken."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from arbstr_core.testing import PluginSuite

SOUND = """
import msgspec
from arbstr_core.api import Command, Manifest, Strategy, hookimpl


class Config(msgspec.Struct, frozen=True, kw_only=True):
    greeting: str = "hello"


MANIFEST = Manifest(name="policy_kit", api=(1, 0), config=Config)


class Any(Strategy):
    name = "any"

    def key(self, call, quote, standing):
        return quote.offer.key


@hookimpl
def arbstr_policies(config, tools):
    return [Any()]
"""
NUMBERS = itertools.count()
Install = Callable[..., ModuleType]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(source, entry=None)`: the module, installed as far as anyone can see."""

    def make(source: str, entry: str | None = None, name: str = "policy_kit") -> ModuleType:
        module = f"arbstr_policy_kit_{next(NUMBERS)}"
        (tmp_path / f"{module}.py").write_text(source)
        metadata = tmp_path / f"{module}-0.1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1.0\n")
        (metadata / "entry_points.txt").write_text(f"[arbstr.plugins]\n{name} = {entry or module}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        return importlib.import_module(module)

    return make


def changed(old: str, new: str) -> str:
    assert old in SOUND
    return SOUND.replace(old, new)


def test_a_sound_plugin_passes(failures, install: Install):
    assert failures(PluginSuite(), plugin=install(SOUND)) == {}


@pytest.mark.parametrize(
    ("source", "caught_by"),
    [
        (changed("api=(1, 0)", "api=(2, 0)"), "test_the_kernel_loads_it"),
        (changed("api=(1, 0)", "api=(1, 99)"), "test_the_kernel_loads_it"),
        (changed("config=Config", "config=dict"), "test_the_kernel_loads_it"),
        (changed('name="policy_kit"', 'name="policy_other"'), "test_is_installed_by_its_name"),
        (changed("@hookimpl\n", ""), "test_the_kernel_loads_it"),
        (changed("@hookimpl\ndef arbstr_policies", "def policies"), "test_the_kernel_loads_it"),
        (changed("def arbstr_policies", "async def arbstr_policies"), "test_the_kernel_loads_it"),
        (changed("def arbstr_policies", "def arbstr_polices"), "test_the_kernel_loads_it"),
        (changed("(config, tools)", "(config, tools, vault)"), "test_the_kernel_loads_it"),
        (changed("frozen=True, ", ""), "test_configuration_is_frozen"),
        (changed('greeting: str = "hello"', "greeting: str"), "test_hooks_make_objects_and_do_no_io"),
        (changed('greeting: str = "hello"', "no_such_key: int = 0"), "test_schema_refuses_unknown_keys"),
        (changed("return [Any()]", "return None"), "test_hooks_make_objects_and_do_no_io"),
        (changed("return [Any()]", "return ['any']"), "test_hooks_make_objects_and_do_no_io"),
        (changed("return [Any()]", "return [Any(), Any()]"), "test_hooks_make_objects_and_do_no_io"),
        (changed("return [Any()]", "raise OSError('no')"), "test_hooks_make_objects_and_do_no_io"),
        (changed("return [Any()]", "tools.store.get('x'); return [Any()]"), "test_hooks_make_objects_and_do_no_io"),
        (
            changed("@hookimpl", "ONE = Any()\n\n@hookimpl").replace("[Any()]", "[ONE]"),
            "test_hooks_make_objects_and_do_no_io",
        ),
    ],
)
def test_a_broken_plugin_fails(failures, install: Install, source: str, caught_by: str):
    assert caught_by in failures(PluginSuite(), plugin=install(source))


@pytest.mark.parametrize("how", [{"entry": "arbstr_elsewhere"}, {"name": "policy_misspelt"}])
def test_a_wrong_entry_point_fails(failures, install: Install, how: dict[str, Any]):
    assert "test_is_installed_by_its_name" in failures(PluginSuite(), plugin=install(SOUND, **how))


def test_two_distributions_with_one_name_fail(failures, install: Install):
    install(SOUND)
    assert "test_is_installed_by_its_name" in failures(PluginSuite(), plugin=install(SOUND))
