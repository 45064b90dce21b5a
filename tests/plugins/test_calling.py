"""Hooks are called one plugin at a time: results have owners, and one that raises does not rob the others."""

from __future__ import annotations

from typing import Any

import pytest

from arbstr_core.api import Hooks
from arbstr_core.config import decode
from arbstr_core.plugins import Loaded, load
from arbstr_core.plugins._hooks import HOOKS
from arbstr_core.types import PluginError

PROVIDER = """
    from arbstr_core.api import Provider, RoutingPolicy, Strategy

    class Acme(Provider):
        def __init__(self, name):
            self.name = name

        async def offers(self):
            return []

        async def open(self, call, offer):
            raise NotImplementedError

    class Dear(Strategy):
        name = "dearest"

        def key(self, call, quote, standing):
            return ()

    class Any(RoutingPolicy):
        name = "any"

        def consider(self, call, caller, quotes, standing):
            raise NotImplementedError

    @hookimpl
    def arbstr_providers(config, tools):
        {providers}

    @hookimpl
    def arbstr_policies(config, tools):
        {policies}

    @hookimpl
    def arbstr_commands(config, tools):
        {commands}
"""


def body(providers: str = "return []", policies: str = "return []", commands: str = "return []") -> str:
    text = PROVIDER.replace("{providers}", providers).replace("{policies}", policies)
    return text.replace("{commands}", commands)


def loaded(*enabled: str, mock: tuple[str, ...] = (), **tables: Any) -> Loaded:
    return load(enabled, tables, decode, mock=mock)


def names(result: list[tuple[str, tuple[Any, ...]]]) -> list[tuple[str, list[str]]]:
    return [(owner, [each.name for each in objects]) for owner, objects in result]


def test_every_hook_has_its_kind_and_types():
    assert set(HOOKS) == {name for name in vars(Hooks) if name.startswith("arbstr_")}


def test_results_have_owners_in_the_order_of_the_configuration(site):
    site.add("acme_a", body("return [Acme('acme_a.' + config.greeting), Acme('acme_a')]"))
    site.add("acme_b", body("yield Acme(tools)"))
    plugins = loaded("acme_b", "acme_a", acme_a={"greeting": "hi"})
    asked = []

    def make_tools(name: str) -> Any:
        asked.append(name)
        return f"{name}.with-tools"

    made = plugins.call_each("arbstr_providers", make_tools)
    assert names(made) == [("acme_b", ["acme_b.with-tools"]), ("acme_a", ["acme_a.hi", "acme_a"])]
    assert asked == ["acme_b", "acme_a"]
    assert plugins.call_each("arbstr_wallet_rails", make_tools) == []


@pytest.mark.parametrize(
    ("providers", "said"),
    [
        ("raise ValueError('no\\n  good')", "raised ValueError: no good"),
        ("raise SystemExit", "raised SystemExit"),
        ("yield Acme('broken'); 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("return None", "returned None; return a list, empty where there is nothing"),
        ("return Acme('broken')", "raised TypeError: 'Acme' object is not iterable"),
        ("return [Acme('broken'), Dear()]", "returned a Dear, which is no Provider"),
        ("return ['x']", "returned a str, which is no Provider"),
        ("return [Acme('groq')]", 'named a provider \'groq\'; name it "broken" or "broken.INSTANCE"'),
        ("return [Acme(None)]", "returned a Acme without a name; set its `name`"),
    ],
)
def test_a_factory_that_breaks_the_contract(site, providers: str, said: str):
    site.add("broken", body(providers))
    site.add("fine", body("tools(); return [Acme('fine')]"))
    called = []
    plugins = loaded("broken", "fine")
    with pytest.raises(PluginError) as raised:
        plugins.call_each("arbstr_providers", lambda name: lambda: called.append(name))
    assert str(raised.value) == f"plugin broken (arbstr-broken 1.0): arbstr_providers {said}"
    assert called == ["fine"]


def test_all_that_break_are_named_at_once(site):
    for name in ("acme_a", "acme_b", "acme_c"):
        site.add(name, body("raise ValueError(1)" if name != "acme_b" else "return []"))
    with pytest.raises(PluginError) as raised:
        loaded("acme_a", "acme_b", "acme_c").call_each("arbstr_providers", lambda name: None)
    assert [line.split()[1] for line in str(raised.value).splitlines()] == ["acme_a", "acme_c"]
    assert isinstance(raised.value.__cause__, ExceptionGroup)


def test_two_objects_that_only_a_name_tells_apart(site):
    one = "return [Command(name='go', help='', run=_greet)]"
    site.add("acme_a", body("return [Acme('acme_a'), Acme('acme_a')]", "return [Any(), Dear()]", one))
    site.add("acme_b", body("return []", "return [Any(), Dear()]", one))
    plugins = loaded("acme_a", "acme_b")
    with pytest.raises(PluginError, match="plugin acme_a: two objects are named 'acme_a'"):
        plugins.call_each("arbstr_providers", lambda name: None)
    with pytest.raises(PluginError) as raised:
        plugins.call_each("arbstr_policies", lambda name: None)
    remedy = "rename one, or enable one plugin alone"
    assert str(raised.value) == f"plugin acme_a and acme_b: two objects are named 'dearest'; {remedy}"
    assert len(plugins.call_each("arbstr_commands", lambda name: None)) == 2


def test_mock_puts_the_providers_aside(site):
    site.add("acme_real", body("return [Acme('acme_real')]"))
    site.add("acme_mock", body("return [Acme('acme_mock')]"))
    site.add("acme_policy", "@hookimpl\ndef arbstr_policies(config): return []")
    assert loaded("acme_real", "acme_policy").names == ("acme_real", "acme_policy")
    plugins = loaded("acme_real", "acme_policy", mock=("acme_mock",))
    assert plugins.names == ("acme_policy", "acme_mock")
    assert names(plugins.call_each("arbstr_providers", lambda name: None)) == [("acme_mock", ["acme_mock"])]
