"""decode: all problems at once, in sentences, and never a secret."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.config import decode
from arbstr_core.config._decode import salvage
from arbstr_core.types import Amount, Msat, Ppm, Problem, Rate, SecretRef, Tier


class Model(msgspec.Struct, frozen=True, kw_only=True):
    input: Rate
    output: Rate
    upstream: str | None = None


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    key: SecretRef | None = None
    tier: Tier = Tier.STANDARD
    models: dict[str, Model] = {}
    headers: Mapping[str, str] = {}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    keywords: tuple[str, ...] = ()
    ceiling: Amount | None = None


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Everything(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    instances: dict[str, Instance] = {}
    rules: list[Rule] = []
    colours: frozenset[Colour] = frozenset()
    mode: Literal["fast", "slow"] = "fast"
    share: Ppm = Ppm(0)
    dollars: Decimal | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1
    either: int | list[str] | Rule = 0
    anything: Any = None
    api_key: SecretRef | None = None
    admin_token: Annotated[str, msgspec.Meta(max_length=5)] = ""
    key_colour: Colour = Colour.RED
    token_price: Rate | None = None
    msat: Msat = Msat(0)
    pair: tuple[int, int] = (0, 0)


def read(table: Mapping[str, Any], schema: type[msgspec.Struct] = Everything) -> tuple[Any, list[Problem]]:
    problems: list[Problem] = []
    return decode("plugins.acme", table, schema, problems), problems


def test_a_whole_table_is_read():
    table = {
        "instances": {
            "groq": {
                "url": "https://x",
                "key": "env:K",
                "tier": "frontier",
                "models": {"llama-3.3": {"input": "590 sat", "output": "0.79 usd"}},
            }
        },
        "rules": [{"name": "a", "keywords": ["x", "y"], "ceiling": 5}],
        "colours": ["red"],
        "share": "0.5 %",
        "dollars": "97000.5",
        "either": {"name": "r"},
        "anything": {"k": [1]},
        "api-key": "file:key.txt",
        "pair": [1, 2],
    }
    got, problems = read(table)
    assert problems == []
    assert got == Everything(
        instances={
            "groq": Instance(
                url="https://x",
                key=SecretRef("env:K"),
                tier=Tier.FRONTIER,
                models={"llama-3.3": Model(input=Rate(Decimal(590_000)), output=Rate(Decimal("0.79"), usd=True))},
            )
        },
        rules=[Rule(name="a", keywords=("x", "y"), ceiling=Amount(Msat(5000)))],
        colours=frozenset({Colour.RED}),
        share=Ppm(5000),
        dollars=Decimal("97000.5"),
        either=Rule(name="r"),
        anything={"k": [1]},
        api_key=SecretRef("file:key.txt"),
        pair=(1, 2),
    )


NO_AMOUNT = "is not an amount: write 21, 21sat, 1500msat or 0.5btc"
NO_PRICE = 'a price is "590 sat", "590000 msat" or "0.59 usd"'


def test_every_problem_comes_at_once_with_table_key_and_remedy():
    _, problems = read(
        {
            "colour": 1,
            "instances": {"a.b": {"tier": "gold", "models": {"m": {"input": "cheap", "output": "1 sat"}}}},
            "rules": [{"name": "fine"}, {"keywords": "code"}],
            "port": 70000,
            "mode": "warp",
            "either": {"nam": 1},
        }
    )
    assert problems == [
        '[plugins.acme] colour: unknown key; did you mean "colours"?',
        '[plugins.acme.instances."a.b"] url: is missing; add it: it wants text',
        "[plugins.acme.instances.\"a.b\"] tier: 'gold' is not one of local, standard, frontier",
        f"[plugins.acme.instances.\"a.b\".models.m] input: 'cheap' {NO_AMOUNT}; {NO_PRICE}",
        "[plugins.acme.rules[1]] name: is missing; add it: it wants text",
        "[plugins.acme.rules[1]] keywords: expected a list of text, got text",
        "[plugins.acme] mode: 'warp' is not one of fast, slow",
        "[plugins.acme] port: expected a whole number <= 65535",
        '[plugins.acme.either] nam: unknown key; did you mean "name"?',
        "[plugins.acme.either] name: is missing; add it: it wants text",
    ]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("port", True, "expected a whole number, got true or false"),
        ("port", "80", "expected a whole number, got text"),
        pytest.param("port", 1 << 20_000, "expected a whole number <= 65535", id="huge"),
        ("instances", 5, "expected a table, got a whole number"),
        ("rules", {"name": "x"}, "expected a list of tables, got a table"),
        ("either", "x", "expected a whole number or a list of text or a table, got text"),
        ("dollars", "lots", "invalid decimal string"),
        ("share", math.nan, 'nan is not a share: write "5000 ppm" or "0.5 %"'),
        ("share", {"ppm": 1}, "a table that is no Ppm; see the description of this key"),
    ],
)
def test_ill_typed(key: str, value: Any, sentence: str):
    assert read({key: value})[1] == [f"[plugins.acme] {key}: {sentence}"]


SECRET = "sk-live-0123456789"


@pytest.mark.parametrize(
    "table",
    [
        {"api-key": SECRET},
        {"api_key": SECRET},
        {"admin-token": SECRET},
        {"key-colour": SECRET},
        {"token-price": SECRET},
        {"instances": {"x": {"url": "u", "key": SECRET, "password": SECRET}}},
        {"instances": {"x": {"url": "u", "key": [SECRET]}}},
        {"share": {"key": SECRET}},
        {"share": f"{SECRET}-that-is-long-enough-to-be-a-key"},
        {"rules": [{"name": "x", "ceiling": {"macaroon": SECRET}}]},
        {"rules": [{"name": {"secret": SECRET}}]},
        {"pair": {"token": SECRET}},
        {"either": {"token": SECRET}},
    ],
)
def test_what_may_be_a_secret_is_never_repeated(table: dict[str, Any]):
    got, problems = read(table)
    assert got is None
    assert SECRET not in "\n".join(problems)


class Guarded(msgspec.Struct, frozen=True):
    token: str
    size: int = 0

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size {self.size} is below 0 with token {self.token!r}, {self.token}")


def test_a_check_across_keys_is_a_problem_of_the_table():
    got, problems = read({"token": SECRET, "size": -1}, Guarded)
    assert got is None
    assert problems == ["[plugins.acme]: size -1 is below 0 with token the value, ***"]
    assert read({"token": SECRET, "size": 1}, Guarded) == (Guarded(SECRET, 1), [])


class Sums(msgspec.Struct):
    parts: dict[str, int] = {}
    rows: list[int] = []

    def __post_init__(self) -> None:
        if sum(self.parts.values()) + sum(self.rows) > 10:
            raise ValueError("more than 10 in all; take some out")


def test_a_check_across_keys_sees_only_what_could_be_read():
    assert read({"parts": {"a": "x"}, "rows": [20]}, Sums)[1] == [
        "[plugins.acme.parts] a: expected a whole number, got text"
    ]
    assert read({"parts": {"a": 20}, "rows": ["x"]}, Sums)[1] == [
        "[plugins.acme] rows[0]: expected a whole number, got text"
    ]
    assert read({"parts": {"a": 20}}, Sums)[1] == ["[plugins.acme]: more than 10 in all; take some out"]


def test_salvage_keeps_what_is_right_and_nothing_half_read():
    problems: list[Problem] = []
    table = {"instances": {"a": {"url": 5}}, "rules": [5], "port": 7, "x": 1}
    assert salvage("plugins.acme", table, Everything, problems) == Everything(port=7)
    assert len(problems) == 3
    assert salvage("plugins.acme", {"name": 5}, Rule, problems) is None


keys = st.sampled_from([f.encode_name for f in msgspec.structs.fields(Everything)]) | st.text(max_size=8)
inner = st.sampled_from(["url", "key", "tier", "models", "input", "output", "name", "ceiling"]) | st.text(max_size=5)
scalars = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.sampled_from(["1 sat", "env:X", "local", "red", 10**4000])
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(inner, v, max_size=4), max_leaves=12)


@given(st.dictionaries(keys, values, max_size=6))
def test_any_table_is_read_or_refused_in_single_lines(table: dict[str, Any]):
    got, problems = read(table)
    assert (got is None) == bool(problems)
    assert all(problem.startswith("[plugins.acme") and "\n" not in problem for problem in problems)


def plant(value: Any) -> Any:
    """`value` with the secret at every key that sounds like one."""
    if isinstance(value, dict):
        return {k: SECRET if "key" in k or "token" in k else plant(v) for k, v in value.items()}
    return [plant(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(keys, values, max_size=6))
def test_no_table_leaks_a_secret(table: dict[str, Any]):
    _, problems = read(plant({**table, "api-key": "", "keys": 1}))
    assert SECRET not in "\n".join(problems)
