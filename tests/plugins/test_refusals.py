"""What is refused, with a sentence that names the plugin and says what to do; and what a broken plugin cannot break."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from arbstr_core.config import decode
from arbstr_core.plugins import Loaded, LoadState, installed, load, states
from arbstr_core.types import ConfigError

COMMANDS = """
    @hookimpl
    def arbstr_commands(config, tools):
        return [Command(name="greet", help="Greets.", run=_greet)]
"""


def sentences(*enabled: str, tables: Mapping[str, Mapping[str, Any]] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(enabled, tables or {}, decode)
    return list(raised.value.problems)


def loaded(*enabled: str, **tables: Mapping[str, Any]) -> Loaded:
    return load(enabled, tables, decode)


def test_only_what_is_enabled_is_imported(site):
    one, two = site.add("acme_one", COMMANDS), site.add("acme_two", COMMANDS)
    assert {found.name for found in installed()} >= {"acme_one", "acme_two"}
    assert not site.imported(one)
    plugins = loaded("acme_one", acme_one={"greeting": "hi"})
    assert plugins.names == ("acme_one",)
    assert plugins.kinds("acme_one") == ("command",)
    assert plugins.config("acme_one").greeting == "hi"
    assert site.imported(one)
    assert not site.imported(two)


def test_not_installed(site):
    site.add("acme_wallet", COMMANDS)
    assert sentences("acme_walet", "nope") == [
        "plugin acme_walet: is not installed; did you mean acme_wallet, which is? Else pip install arbstr-acme-walet",
        "plugin nope: is not installed; pip install arbstr-nope",
    ]


def test_a_clash_is_refused_and_neither_is_imported(site):
    one = site.add("acme", COMMANDS, distribution="arbstr-acme")
    two = site.add("acme", COMMANDS, distribution="evil-acme", version="6.6")
    (sentence,) = sentences("acme")
    who, _, remedy = sentence.partition(", and neither was imported; ")
    assert who == "plugin acme: arbstr-acme 1.0 and evil-acme 6.6 both have this name"
    assert remedy == "pip uninstall arbstr-acme or evil-acme"
    rows = [row for row in states(["acme"], {}, decode) if row.name == "acme"]
    assert [(row.distribution, row.state) for row in rows] == [
        ("arbstr-acme", LoadState.CLASH),
        ("evil-acme", LoadState.CLASH),
    ]
    assert not site.imported(one)
    assert not site.imported(two)


def test_a_clash_of_others_does_not_stop_us(site):
    site.add("acme", COMMANDS, distribution="arbstr-acme")
    site.add("acme", COMMANDS, distribution="evil-acme")
    site.add("fine", COMMANDS)
    assert loaded("fine").names == ("fine",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "import no_such_module",
            "ModuleNotFoundError: No module named 'no_such_module'; install what brings no_such_m",
        ),
        ("from msgspec import nope", "ImportError: cannot import name 'nope'"),
        ("1 / 0", "ZeroDivisionError: division by zero; reinstall it, or take it out of [arbstr] plugins"),
        ("assert False, 'no'", "AssertionError: no"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("def", "SyntaxError: "),
        ("import warnings; warnings.warn('old', DeprecationWarning)", "DeprecationWarning: old"),
    ],
)
def test_a_module_that_cannot_be_imported(site, line: str, said: str):
    site.add("acme", line)
    (sentence,) = sentences("acme")
    assert sentence.startswith(f"plugin acme (arbstr-acme 1.0): cannot be imported: {said}")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("arbstr_acme:MANIFEST", "its entry point 'arbstr_acme:MANIFEST' is no module; name the module alone"),
        ("arbstr_acme:nope", "cannot be imported: AttributeError: "),
        ("not there at all!", "cannot be imported: "),
    ],
)
def test_an_entry_point_that_is_no_module(site, entry: str, said: str):
    site.add("acme", COMMANDS, entry=entry)
    (sentence,) = sentences("acme")
    assert sentence.startswith(f"plugin acme (arbstr-acme 1.0): {said}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "del MANIFEST",
            'has no MANIFEST; put MANIFEST = Manifest(name="acme", api=(1, 0), config=...) into arbstr_acme',
        ),
        ("MANIFEST = {'name': 'acme'}", "has no MANIFEST; "),
        (
            "MANIFEST = Manifest(name='acne', api=(1, 0), config=Config)",
            "its MANIFEST names 'acne' and its entry point 'acme'; make them one",
        ),
        (
            "MANIFEST = Manifest(name='acme', api=(2, 0), config=Config)",
            "it is written for API 2.0, and this arbstr has 1.0; upgrade arbstr-core",
        ),
        (
            "MANIFEST = Manifest(name='acme', api=(1, 7), config=Config)",
            "it is written for API 1.7, and this arbstr has 1.0; upgrade arbstr-core",
        ),
        (
            "MANIFEST = Manifest(name='acme', api=(0, 9), config=Config)",
            "it is written for API 0.9, and this arbstr has 1.0; upgrade the plugin",
        ),
        ("MANIFEST = Manifest(name='acme', api='1.0', config=Config)", "its MANIFEST has api='1.0'; write api=(1, 0)"),
        (
            "MANIFEST = Manifest(name='acme', api=(1, 0), config=dict)",
            "its MANIFEST has config=<class 'dict'>; name a ",
        ),
        (
            "@hookimpl\nasync def arbstr_providers(config, tools): return []",
            "arbstr_providers is async def, and hooks are not; write def arbstr_providers(config, tools), and",
        ),
        (
            "@hookimpl\nasync def arbstr_providers(config, tools): yield 1",
            "arbstr_providers is async def, and hooks are not; ",
        ),
        (
            "@hookimpl\ndef arbstr_provider(config, tools): return []",
            "arbstr_provider is no hook; did you mean arbstr_providers?",
        ),
        ("def arbstr_xyzzy(): return []", "arbstr_xyzzy is no hook; the hooks are arbstr_providers, arbstr_policies, "),
        ("@hookimpl\ndef greet(): return []", "greet is no hook; the hooks are "),
        ("def arbstr_policies(config, tools): return []", "arbstr_policies is not marked; put @hookimpl above it"),
        (
            "@hookimpl\ndef arbstr_policies(config, vault): return []",
            "arbstr_policies has the argument 'vault', which this hook does not give; write def ",
        ),
        ("@hookimpl\ndef arbstr_policies(*args): return []", "arbstr_policies has the argument 'args', which "),
        (
            "@hookimpl\ndef arbstr_policies(config, *, tools): return []",
            "arbstr_policies has the argument 'tools' with a default or by keyword only; write ",
        ),
        (
            "@hookimpl\ndef arbstr_policies(config, tools=None): return []",
            "arbstr_policies has the argument 'tools' with a default or by keyword only; write ",
        ),
        (
            "@hookimpl(wrapper=True)\ndef arbstr_policies(config, tools):\n    return (yield)",
            "arbstr_policies wraps the hook of other plugins; ",
        ),
    ],
)
def test_a_module_that_breaks_the_contract(site, line: str, said: str):
    module = site.add("acme")
    path = site.folder / f"{module}.py"
    path.write_text(f"{path.read_text()}\n{line}\n")
    (sentence,) = sentences("acme")
    assert sentence.startswith(f"plugin acme (arbstr-acme 1.0): {said}")
    (row,) = (row for row in states(["acme"], {}, decode) if row.name == "acme")
    assert (row.state, row.error) == (LoadState.WRONG_API, sentence)


def test_a_hook_may_take_fewer_arguments_or_another_name(site):
    site.add("acme", "@hookimpl(specname='arbstr_commands')\ndef operators(config): return []")
    plugins = loaded("acme")
    assert plugins.implementing("arbstr_commands") == ("acme",)
    assert plugins.call_each("arbstr_commands", lambda name: None) == [("acme", ())]


def test_a_table_with_unknown_and_ill_typed_keys(site):
    site.add("acme", COMMANDS)
    tables = {"acme": {"greting": "hi", "number": "one"}}
    found = [
        '[plugins.acme] greting: unknown key; did you mean "greeting"? (arbstr-acme 1.0)',
        "[plugins.acme] number: expected a whole number, got text (arbstr-acme 1.0)",
    ]
    assert sentences("acme", tables=tables) == found
    (row,) = (row for row in states(["acme"], tables, decode) if row.name == "acme")
    assert (row.state, row.kinds, row.error) == (LoadState.BAD_CONFIG, ("command",), "\n".join(found))


@pytest.mark.parametrize("field", ["thing: 'Unknown' = None", "thing: list[msgspec.Raw] | list['Unknown'] = ()"])
def test_a_configuration_struct_that_is_broken_itself(site, field: str):
    site.add(
        "acme",
        f"class Config(msgspec.Struct):\n    {field}\nMANIFEST = Manifest(name='acme', api=(1, 0), config=Config)",
    )
    (sentence,) = sentences("acme", tables={"acme": {"thing": "x"}})
    assert sentence.startswith("plugin acme: its configuration struct Config cannot be used: NameError: ")


def test_a_check_of_a_plugin_that_raises_anything_tells_its_type_alone(site):
    body = """
        class Config(msgspec.Struct):
            key: str

            def __post_init__(self):
                raise RuntimeError(self.key)

        MANIFEST = Manifest(name="acme", api=(1, 0), config=Config)
    """
    site.add("acme", body)
    (sentence,) = sentences("acme", tables={"acme": {"key": "sk-secret"}})
    assert "raised RuntimeError; ask its author" in sentence
    assert "sk-secret" not in sentence


def test_everything_wrong_in_all_plugins_comes_at_once(site):
    site.add("acme_fine", COMMANDS)
    site.add("acme_import", "import no_such_module")
    site.add("acme_table", COMMANDS)
    site.add("acme_hook", "@hookimpl\nasync def arbstr_provider(config, toools): return []", head=GOOD_FOR_HOOK)
    site.add("acme_twice", COMMANDS, distribution="one")
    site.add("acme_twice", COMMANDS, distribution="two")
    names = ["acme_fine", "acme_import", "acme_table", "acme_hook", "acme_twice", "zork_gone"]
    found = sentences(*names, tables={"acme_table": {"x": 1}})
    for name in names[1:]:
        assert any(name in sentence for sentence in found)
    assert not any("acme_fine" in sentence for sentence in found)
    listed = {row.name: row for row in states(names, {"acme_table": {"x": 1}}, decode)}
    assert {name: listed[name].state.value for name in names} == {
        "acme_fine": "ok",
        "acme_import": "import_error",
        "acme_table": "bad_config",
        "acme_hook": "wrong_api",
        "acme_twice": "clash",
        "zork_gone": "import_error",
    }
    assert listed["zork_gone"].distribution == ""
    assert (listed["acme_fine"].version, listed["acme_fine"].error) == ("1.0", None)


GOOD_FOR_HOOK = """
    import msgspec
    from arbstr_core.api import Manifest, hookimpl

    class Config(msgspec.Struct):
        pass

    MANIFEST = Manifest(name={name!r}, api=(9, 0), config=Config)
"""


def test_a_disabled_plugin_is_listed_and_not_imported(site):
    module = site.add("acme", "import no_such_module")
    (row,) = (row for row in states([], {}, decode) if row.name == "acme")
    assert (row.state, row.kinds, row.distribution, row.error) == (LoadState.DISABLED, (), "arbstr-acme", None)
    assert not site.imported(module)


def test_a_plugin_of_a_moment_ago_is_found(site):
    """stevedore's cache on disk would not know it yet."""
    with pytest.raises(ConfigError):
        loaded("acme_new")
    site.add("acme_new", COMMANDS)
    assert loaded("acme_new").names == ("acme_new",)


PROGRAM = """
import json, sys
from arbstr_core.config import decode
from arbstr_core.plugins import load, states
from arbstr_core.types import ConfigError
try:
    load(["acme", "fine"], {}, decode)
    problems = []
except ConfigError as bad:
    problems = list(bad.problems)
rows = [[row.name, row.state] for row in states(["acme", "fine"], {}, decode)]
print(json.dumps({"problems": problems, "rows": rows}))
"""


def test_a_process_of_its_own_with_a_broken_plugin_stays_quiet(site):
    """No warning, nothing on standard error, no cache left behind, and the others are told as they are."""
    site.add("acme", "import no_such_module")
    site.add("fine", COMMANDS)
    home = site.folder / "home"
    home.mkdir()
    environ = {**os.environ, "PYTHONPATH": str(site.folder), "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said = json.loads(done.stdout)
    assert done.stderr == ""
    assert len(said["problems"]) == 1
    assert ["acme", "import_error"] in said["rows"]
    assert ["fine", "ok"] in said["rows"]
    assert list(home.iterdir()) == []


def test_a_distribution_without_metadata(site):
    site.add("acme", "import no_such_module")
    (info,) = site.folder.glob("*.dist-info")
    (info / "METADATA").unlink()
    importlib.invalidate_caches()
    (row,) = (row for row in states(["acme"], {}, decode) if row.name == "acme")
    assert (row.distribution, row.version) == ("a distribution without a name", "")
    assert row.state == LoadState.IMPORT_ERROR
