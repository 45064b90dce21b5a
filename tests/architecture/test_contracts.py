"""The import contracts of pyproject.toml hold, cover every room and plugin, and each breaks when it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
BY_ID = {contract["id"]: contract for contract in CONTRACTS["contracts"]}
STEMS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
PLUGINS = [f"arbstr_{stem}" for stem in STEMS]
ROOMS = sorted(path.parent.name for path in (ROOT / "arbstr_core").glob("*/__init__.py"))


def rooms_but(*names: str) -> list[str]:
    return [f"arbstr_core.{room}" for room in ROOMS if room not in names]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their contracts, in a folder where violations may be planted."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in [ROOT / "arbstr_core", *(ROOT / "plugins").glob("*/arbstr_*")]:
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def lint(folder: Path, *contracts: str) -> tuple[int, str]:
    """import-linter's exit code and report on the packages in `folder`."""
    chosen = [word for contract in contracts for word in ("--contract", contract)]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo", *chosen],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_all_contracts_hold(copy: Path) -> None:
    code, report = lint(copy)
    assert code == 0, report
    assert f"Contracts: {len(BY_ID)} kept, 0 broken." in report


# contract, the file that gets one more line, the line, what the report says of it
PLANTED = [
    ("layers", "arbstr_core/wire/_sse.py", "import arbstr_core.web", "wire._sse -> arbstr_core.web"),
    ("layers", "arbstr_core/routing/_quote.py", "import arbstr_core.market", "routing._quote -> arbstr_core.market"),
    ("layers", "arbstr_core/net/_guard.py", "import arbstr_core.storage", "net._guard -> arbstr_core.storage"),
    ("layers", "arbstr_core/novelty/__init__.py", "", "novelty"),
    ("vault", "arbstr_core/web/_control.py", "import arbstr_core.vault", "web._control -> arbstr_core.vault"),
    ("kernel-names-no-plugin", "arbstr_core/cli/_house.py", "import arbstr_policy_price", "-> arbstr_policy_price"),
    ("plugins-reach-api", "arbstr_policy_price/__init__.py", "from arbstr_core import vault", "-> arbstr_core.vault"),
    ("plugins-reach-api", "arbstr_providers_mock/__init__.py", "import arbstr_core.types", "-> arbstr_core.types"),
    ("plugins-apart", "arbstr_providers_mock/_config.py", "import arbstr_policy_price", "-> arbstr_policy_price"),
    ("pluggy", "arbstr_core/flow/call.py", "import pluggy", "flow.call -> pluggy"),
    ("pluggy", "arbstr_core/cli/_plugins.py", "from stevedore import named", "cli._plugins -> stevedore"),
    ("stevedore", "arbstr_core/api/_hooks.py", "import stevedore", "api._hooks -> stevedore"),
]


@pytest.mark.parametrize(("contract", "file", "line", "named"), PLANTED)
def test_a_planted_violation_breaks_its_contract(copy: Path, contract: str, file: str, line: str, named: str) -> None:
    path = copy / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text((before or '"""New."""\n') + line + "\n")
    try:
        code, report = lint(copy, contract)
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before)
    assert code == 1, report
    assert f"{BY_ID[contract]['name']} BROKEN" in report, report
    assert named in report, report


def test_each_contract_was_seen_to_break() -> None:
    assert {planted[0] for planted in PLANTED} == set(BY_ID)


def test_contracts_name_every_plugin() -> None:
    assert CONTRACTS["root_packages"] == ["arbstr_core", *PLUGINS]
    assert BY_ID["kernel-names-no-plugin"]["forbidden_modules"] == PLUGINS
    assert BY_ID["plugins-reach-api"]["source_modules"] == PLUGINS
    assert BY_ID["plugins-apart"]["modules"] == PLUGINS


def test_contracts_name_every_room() -> None:
    layered = [room.strip() for layer in BY_ID["layers"]["layers"] for room in layer.split("|")]
    assert sorted(layered) == ROOMS
    assert BY_ID["layers"]["exhaustive"] is True
    assert BY_ID["plugins-reach-api"]["forbidden_modules"] == rooms_but("api")
    assert BY_ID["pluggy"]["source_modules"] == rooms_but("api", "plugins")
    assert BY_ID["vault"]["allowed_importers"] == [f"arbstr_core.{room}" for room in ("flow", "cli", "testing")]


def private_imports(graph: grimp.ImportGraph) -> list[str]:
    """Imports of a room's or a plugin's own files from outside of it, and of the bare kernel from a plugin."""
    found = []
    for importer in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            home = _home(imported)
            inside = importer == home or importer.startswith(f"{home}.")
            if (imported != home and not inside) or (imported == "arbstr_core" and importer.split(".")[0] in PLUGINS):
                found.append(f"{importer} -> {imported}")
    return found


def _home(module: str) -> str:
    """The room or plugin a module belongs to."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "arbstr_core" else parts[0]


def graph_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> grimp.ImportGraph:
    monkeypatch.syspath_prepend(folder)
    # Packages that are imported already would be found where they are, not in `folder`.
    for name in [name for name in sys.modules if name.split(".")[0] in ("arbstr_core", *PLUGINS)]:
        monkeypatch.delitem(sys.modules, name)
    return grimp.build_graph("arbstr_core", *PLUGINS, cache_dir=None)


def test_files_of_a_room_are_private_to_it(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert private_imports(graph_of(copy, monkeypatch)) == []


def test_a_planted_reach_into_a_room_is_found(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(copy, tmp_path / "planted"))
    for file, line in [
        ("arbstr_core/web/_asgi.py", "from arbstr_core.flow.call import CallFlow"),
        ("arbstr_core/cli/_data.py", "from arbstr_core.config._words import join"),
        ("arbstr_policy_price/__init__.py", "from arbstr_core.api._hooks import hookimpl"),
        ("arbstr_providers_mock/_config.py", "import arbstr_core"),
    ]:
        with (folder / file).open("a") as end:
            end.write(line + "\n")
    assert private_imports(graph_of(folder, monkeypatch)) == [
        "arbstr_core.cli._data -> arbstr_core.config._words",
        "arbstr_core.web._asgi -> arbstr_core.flow.call",
        "arbstr_policy_price -> arbstr_core.api._hooks",
        "arbstr_providers_mock._config -> arbstr_core",
    ]
