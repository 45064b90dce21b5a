"""How the code is written, read from its syntax trees: sizes, docstrings, exports, handlers, names."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = sorted((ROOT / "arbstr_core").rglob("*.py"))
PLUGIN_FILES = sorted((ROOT / "plugins").glob("*/arbstr_*/**/*.py"))
SHIPPED = KERNEL + PLUGIN_FILES
ROOMS = sorted(path.parent.name for path in (ROOT / "arbstr_core").glob("*/__init__.py"))
STEMS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
MONEY = ("vault", "storage", "flow", "rails", "metering")

MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_FILE = 400

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines from `def` to the end, docstring included, decorators not."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_every_file_says_what_it_owns() -> None:
    everything = [*SHIPPED, *(ROOT / "scripts").glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert [short(path) for path in everything if not ast.get_docstring(tree(path))] == []


def test_functions_are_short() -> None:
    long = [
        f"{short(path)}:{function.lineno} {function.name} has {length(function)} lines"
        for path in SHIPPED
        for function in functions(path)
        if length(function) > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_files_are_short() -> None:
    sizes = {short(path): len(path.read_text().splitlines()) for path in SHIPPED}
    assert {path: size for path, size in sizes.items() if size > MOST_LINES_OF_A_FILE} == {}


def test_every_return_is_typed() -> None:
    untyped = [
        f"{short(path)}:{function.lineno} {function.name}"
        for path in SHIPPED
        for function in functions(path)
        if function.returns is None
    ]
    assert untyped == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [short(path) for path in SHIPPED if marks.search(path.read_text())] == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty = re.compile(r"_?(utils?|helpers?|managers?|common|misc|base)\.py\Z")
    assert [short(path) for path in SHIPPED if empty.match(path.name)] == []


def test_the_kernel_names_no_plugin() -> None:
    names = re.compile(rf"\b(arbstr[_-])?({'|'.join(stem.replace('_', '[_-]') for stem in STEMS)})\b")
    said = [
        f"{short(path)}:{number} {found[0]}"
        for path in KERNEL
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := names.search(line))
    ]
    assert said == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_what_it_imports_and_no_more(room: str) -> None:
    package = tree(ROOT / "arbstr_core" / room / "__init__.py")
    reexported = [
        alias.asname or alias.name
        for node in package.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("arbstr_core")
        for alias in node.names
    ]
    exported = importlib.import_module(f"arbstr_core.{room}").__all__
    assert sorted(exported) == sorted(reexported)
    # ruff's order (RUF022): constants, then classes, then functions.
    assert exported == sorted(exported, key=_order)


def _order(name: str) -> tuple[int, str]:
    rank = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return rank, name


def test_a_rooms_files_are_private() -> None:
    """But for the flows, which are named in the plan of the house; nobody imports those from outside either."""
    public = {
        short(path) for path in KERNEL if not path.name.startswith("_") and path.parent.name not in ("arbstr_core",)
    }
    assert {path for path in public if not path.startswith("arbstr_core/flow/")} == set()


def broad(source: str) -> list[int]:
    """Lines of handlers that catch everything and do not raise it again."""
    return [
        handler.lineno
        for handler in ast.walk(ast.parse(source))
        if isinstance(handler, ast.ExceptHandler) and _catches_all(handler.type) and not _raises_again(handler)
    ]


def _catches_all(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_catches_all(each) for each in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """The last thing it does is `raise`, of what it caught or from it, and nothing before leaves the handler."""
    last = handler.body[-1]
    if not isinstance(last, ast.Raise):
        return False
    leaves = (ast.Return, ast.Break, ast.Continue)
    if any(isinstance(node, leaves) for statement in handler.body for node in ast.walk(statement)):
        return False
    cause = last.cause
    return last.exc is None or (isinstance(cause, ast.Name) and cause.id == handler.name)


def test_t15_no_handler_on_a_money_path_swallows() -> None:
    found = {
        f"{short(path)}:{line}"
        for path in KERNEL
        if path.relative_to(ROOT / "arbstr_core").parts[0] in MONEY
        for line in broad(path.read_text())
    }
    assert found == set()


@pytest.mark.parametrize(
    "body",
    [
        "except: pass",
        "except Exception: log()",
        "except (OSError, BaseException) as e: return",
        "except Exception as e:\n  if ok: return\n  raise",
        "except Exception as e: raise Other",
    ],
)
def test_a_swallowing_handler_is_seen(body: str) -> None:
    assert broad(f"def f():\n try: pass\n {body.replace(chr(10), chr(10) + ' ')}")


@pytest.mark.parametrize(
    "body",
    ["except OSError: pass", "except Exception:\n  log()\n  raise", "except Exception as e: raise Other from e"],
)
def test_a_handler_that_raises_again_is_not(body: str) -> None:
    assert not broad(f"def f():\n try: pass\n {body.replace(chr(10), chr(10) + ' ')}")


@pytest.mark.parametrize("room", ["api", "testing"])
def test_what_authors_use_is_described(room: str) -> None:
    """Every exported class and function has a docstring, and so has each public method of its own."""
    missing = [
        f"{short(path)}:{node.lineno} {owner}{node.name}"
        for path in sorted((ROOT / "arbstr_core" / room).glob("*.py"))
        for owner, node in _definitions(tree(path))
        if not ast.get_docstring(node) and not _is_plain_property(node)
    ]
    assert missing == []


def _definitions(module: ast.Module) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    for node in module.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield "", node
            if isinstance(node, ast.ClassDef):
                yield from (
                    (f"{node.name}.", inner)
                    for inner in node.body
                    if isinstance(inner, Function) and not inner.name.startswith("_")
                )


def _is_plain_property(node: ast.ClassDef | Function) -> bool:
    """A property is described by its name and type, or by its class."""
    return isinstance(node, Function) and any(
        isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list
    )


def test_tests_of_plugins_reach_api_and_testing_only() -> None:
    allowed = ("arbstr_core.api", "arbstr_core.testing")
    wrong = [
        f"{short(path)}:{node.lineno} {name}"
        for path in sorted((ROOT / "plugins").glob("*/tests/**/*.py"))
        for node in ast.walk(tree(path))
        for name in _imported(node)
        if name.split(".")[0] == "arbstr_core" and name not in allowed
    ]
    assert wrong == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("stem", STEMS)
def test_one_stem_in_four_places(stem: str) -> None:
    project = tomllib.loads((ROOT / "plugins" / stem / "pyproject.toml").read_text())
    assert project["project"]["name"] == f"arbstr-{stem.replace('_', '-')}"
    assert project["project"]["entry-points"] == {"arbstr.plugins": {stem: f"arbstr_{stem}"}}
    assert importlib.import_module(f"arbstr_{stem}").MANIFEST.name == stem
    assert f"-e plugins/{stem}" in (ROOT / "requirements-dev.txt").read_text().splitlines()
