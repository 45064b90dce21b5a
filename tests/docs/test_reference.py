"""The reference pages say what the code does: configuration, hooks, errors, receipts, the example plugin."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import msgspec
import pytest
from house import instance, run, serving, write
from upstream import Upstream

from arbstr_core import config
from arbstr_core.api import Amount, Hooks, Ppm, Rate, hookimpl
from arbstr_core.cli._house import made_house
from arbstr_core.cli._serve import control_app
from arbstr_core.config import Address, Settings
from arbstr_core.flow._headers import RETRY_HEADERS
from arbstr_core.types import Outcome
from arbstr_core.web._errors import _FINAL, _SHAPES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ACME = ROOT / "tests" / "thirdparty" / "arbstr_providers_acme"
STEMS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
CONFIGURATION = (DOCS / "configuration.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(text: str) -> list[list[str]]:
    """The rows of the tables in `text`, without heads."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in rows if not set(row[0]) <= set("-| ") and row[0].startswith("`")]


# -- configuration ---------------------------------------------------------------------------------------------------


def tables() -> dict[str, type[msgspec.Struct]]:
    """Each table of the configuration and its struct."""
    found: dict[str, type[msgspec.Struct]] = {}

    def add(name: str, schema: type[msgspec.Struct]) -> None:
        found[name] = schema
        for field in msgspec.structs.fields(schema):
            if _is_table(field.type):
                add(f"{name}.{field.encode_name}", field.type)

    for field in msgspec.structs.fields(Settings):
        if _is_table(field.type):
            add(field.name, field.type)
    return found


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not hasattr(kind, "from_config")


def test_every_table_is_described() -> None:
    assert re.findall(r"^## `\[([\w.]+)\]`$", CONFIGURATION, re.MULTILINE) == [*tables(), "plugins.NAME"]


@pytest.mark.parametrize("name", tables())
def test_every_key_is_described_with_its_default(name: str) -> None:
    section = re.split(r"^## ", CONFIGURATION[CONFIGURATION.index(f"## `[{name}]`") + 3 :], flags=re.MULTILINE)[0]
    said = {row[0].strip("`"): row[1] for row in table(section)}
    fields = [field for field in msgspec.structs.fields(tables()[name]) if not _is_table(field.type)]
    assert list(said) == [field.encode_name for field in fields]
    for field in fields:
        assert _says(said[field.encode_name], field), (field.encode_name, said[field.encode_name])


def _says(text: str, field: msgspec.structs.FieldInfo) -> bool:
    if field.required:
        return text == "required"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if default is None:
        return not text.startswith("`")
    if not re.fullmatch(r"`.*`", text):
        return False
    said = tomllib.loads(f"x = {text.strip('`')}")["x"]
    if isinstance(default, Amount | Ppm | Rate | Address):
        return bool(type(default).from_config(said) == default)
    return bool(said == (list(default) if isinstance(default, tuple) else default))


def test_the_configuration_leads_to_the_tables_of_every_plugin() -> None:
    linked = re.findall(
        r"\]\(\.\./plugins/(\w+)/README\.md\)", CONFIGURATION[CONFIGURATION.index("## `[plugins.NAME]`") :]
    )
    assert sorted(set(linked)) == STEMS


@pytest.mark.parametrize("stem", STEMS)
def test_every_key_of_a_plugin_is_in_its_readme(stem: str) -> None:
    readme = (ROOT / "plugins" / stem / "README.md").read_text()
    module = __import__(f"arbstr_{stem}")
    missing = [key for key in _keys(module.MANIFEST.config) if not re.search(rf"`{key}\b|\.{key}\b", readme)]
    assert missing == []


def _keys(schema: type[msgspec.Struct], seen: frozenset[type] = frozenset()) -> list[str]:
    """The keys of a struct, and of the structs in it."""
    found = []
    for field in msgspec.structs.fields(schema):
        found.append(field.encode_name)
        for inner in _structs_in(field.type):
            if inner not in seen:
                found += _keys(inner, seen | {inner})
    return found


def _structs_in(kind: Any) -> list[type[msgspec.Struct]]:
    if get_args(kind):
        return [inner for part in get_args(kind) for inner in _structs_in(part)]
    return [kind] if _is_table(kind) else []


def test_the_annotated_configuration_shows_the_defaults() -> None:
    """Where config.toml sets a key, it sets it to its default, but for what its comments say."""
    document = tomllib.loads((ROOT / "config.toml").read_text())
    other = {"arbstr": {"plugins", "mock", "data_dir"}}
    for name, schema in tables().items():
        part: Any = document
        for step in name.split("."):
            part = part.get(step, {})
        for field in msgspec.structs.fields(schema):
            key = field.encode_name
            if key in part and not _is_table(field.type) and key not in other.get(name, set()):
                value = part[key]
                default = field.default
                if isinstance(default, Amount | Ppm | Address):
                    value = type(default).from_config(value)
                assert value == default or Decimal(str(value)) == default, (name, key)


# -- hooks -----------------------------------------------------------------------------------------------------------


def test_every_hook_is_described_with_its_exact_signature() -> None:
    text = (DOCS / "hooks.md").read_text()
    hooks = {name: hook for name, hook in vars(Hooks).items() if name.startswith("arbstr_")}
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == list(hooks)
    for name, hook in hooks.items():
        signature = inspect.signature(hook)
        params = [param for param in signature.parameters.values() if param.name != "self"]
        line = f"def {name}{signature.replace(parameters=params)}: ...".replace("'", "")
        assert f"@hookimpl\n{line}\n" in text
        assert inspect.cleandoc(hook.__doc__) in text
    assert hookimpl.project_name == "arbstr"


# -- errors ----------------------------------------------------------------------------------------------------------


def test_every_error_is_described_as_it_is_sent() -> None:
    text = (DOCS / "errors.md").read_text()
    said = {
        row[0].strip("`"): (int(row[1]), row[2].strip("`"), None if row[3] == "null" else row[3].strip("`"))
        for row in table(text)
    }
    assert said == {error.__name__: shape for error, shape in _SHAPES.items()}
    assert [status for status, _, _ in said.values()] == sorted(status for status, _, _ in said.values())
    final = text[text.index("`x-should-retry: false` comes with") :].split(":", 2)[1]
    assert set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+|\bConflict\b", final)) == {error.__name__ for error in _FINAL}


NOT_HTTP = "NONSENSE\r\n\r\n"
LARGE_HEAD = "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + "x" * 300_000 + "\r\n\r\n"
EARLY = {
    400: NOT_HTTP,
    404: "GET /nothing HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    405: "PUT /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n",
    421: "GET /admin/agents HTTP/1.1\r\nhost: example.org\r\n\r\n",
    431: LARGE_HEAD,
}
"""What is refused before it is a call; 408 takes half a minute, and 500 is nobody's plan."""


def test_what_is_refused_before_it_is_a_call_is_described_as_it_is_sent(tmp_path: Path) -> None:
    text = (DOCS / "errors.md").read_text()
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| `?(\w+)`? \|", text, re.MULTILINE)
    said = {int(status): (kind, None if code == "null" else code) for status, kind, code in rows}
    assert list(said) == sorted({*EARLY, 408, 500})

    async def story() -> None:
        async with serving(write(tmp_path)) as house:
            for status, request in EARLY.items():
                reader, writer = await asyncio.open_connection("127.0.0.1", house.setup.port)
                writer.write(request.encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(re.findall(r"content-length: (\d+)", head)[0])
                error = msgspec.json.decode(await reader.readexactly(length))["error"]
                writer.close()
                assert head.split()[1] == str(status), head
                assert (error["type"], error["code"]) == said[status]
                assert ("x-request-id" in head) == (status not in (400, 431))
                assert ("allow: post" in head) == (status == 405)

    run(story())


# -- receipts --------------------------------------------------------------------------------------------------------

MODELS = """
[[plugins.providers_mock.models]]
name = "m"
input = "0.5 usd"
output = "1 usd"
tier = "local"

[[plugins.providers_mock.instances.other.models]]
name = "m"
input = "5 usd"
output = "9 usd"

[[plugins.providers_mock.instances.small.models]]
name = "m"
free = true
context = 1

[market]
usd_per_btc = "100000"
"""


def test_every_key_of_a_receipt_and_every_header_is_described(tmp_path: Path) -> None:
    async def story() -> None:
        setup = write(tmp_path, MODELS, plugins=("providers_mock", "policy_price", "wallet_simulated"))
        async with serving(setup) as house:
            answer = await house.call(await house.agent())
            assert answer.status_code == 200, answer.text
            receipt = await house.receipt(answer.headers["x-request-id"])
        text = (DOCS / "receipts.md").read_text()
        keys, headers = text.split("## Headers of the answer")
        only_sometimes = {"overage_msat", "overage_fields", "offers", "notes", "out_more", "told"}
        assert {row[0].strip("`") for row in table(keys)} == set(receipt) | only_sometimes
        sent = {name for name in answer.headers if name.startswith("x-")}
        sometimes = {"x-arbstr-policy", "x-client-request-id", "x-arbstr-output-limit", *RETRY_HEADERS}
        assert {row[0].strip("`") for row in table(headers)} == sent | sometimes
        for key in ("usage", "attempts", "alternatives", "out"):
            part = receipt[key] if key == "usage" else receipt[key][0]
            assert all(f"`{inner}`" in text for inner in part), (key, part)
        assert all(f"`{outcome}`" in text for outcome in Outcome)

    run(story())


# -- the example plugin ----------------------------------------------------------------------------------------------


def test_the_example_plugin_is_the_one_that_a_test_installs() -> None:
    text = (DOCS / "plugins.md").read_text()
    assert (ACME / "pyproject.toml").read_text() in blocks(text, "toml")
    assert (ACME / "arbstr_providers_acme" / "__init__.py").read_text() in blocks(text, "python")


def test_the_example_test_passes(tmp_path: Path) -> None:
    (tmp_path / "test_acme.py").write_text(blocks((DOCS / "plugins.md").read_text(), "python")[1])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ACME)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 10


def test_the_routes_of_all_doors_are_told() -> None:
    pages = {
        "operator-api.md": ("/admin", "/readyz", "/metrics"),
        "wallet-api.md": ("/v1", "/wallet", "/providers", "/health"),
        "internal-api.md": ("/internal",),
    }
    routes = asyncio.run(_routes())
    for page, doors in pages.items():
        told = re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)` \|", (DOCS / page).read_text(), re.MULTILINE)
        assert sorted(told) == sorted(each for each in routes if each.split()[1].startswith(doors)), page
    assert all(each.split()[1].startswith(tuple(door for doors in pages.values() for door in doors)) for each in routes)


async def _routes() -> set[str]:
    with TemporaryDirectory() as folder, Upstream() as upstream:
        place = write(Path(folder), instance("x", upstream.url))
        async with made_house(config.load(place.file)) as house:
            paths = control_app(house).openapi()["paths"]
    return {f"{method.upper()} {path}" for path, how in paths.items() for method in how}
