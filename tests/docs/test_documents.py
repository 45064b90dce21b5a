"""The documents say what is: their links lead somewhere, their commands exist, and they name no one's machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from arbstr_core.cli._commands import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
README = (ROOT / "README.md").read_text()
STEMS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fenced(text: str, language: str = "") -> list[str]:
    """The blocks of code in `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_relative_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    dead = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert dead == []


def test_every_document_of_docs_is_reachable() -> None:
    linked = {
        (path.parent / link).resolve()
        for path in DOCUMENTS
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text())
        if "://" not in link
    }
    assert [short(path) for path in (ROOT / "docs").glob("*.md") if path not in linked] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", path.read_text(), re.DOTALL))
    assert set(re.findall(r"\bmake ([a-z]+)", code)) <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_commands_of_arbstr_exist(path: Path) -> None:
    code = re.findall(r"`(?:\.venv/bin/)?(arbstr [a-z][^`\n]*)`", path.read_text())
    code += re.findall(r"^(?:\.venv/bin/)?(arbstr [a-z].*)$", "\n".join(fenced(path.read_text())), re.MULTILINE)
    assert [line for line in code if not _known(line.split("#")[0].split()[1:])] == []


def _known(words: list[str]) -> bool:
    """Whether a command has these words and options."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        words = words[1:]
    if hasattr(command, "commands"):
        return not words and command.name != app.info.name
    options = {option for param in command.params for option in param.opts}
    takes_any = command.context_settings.get("ignore_unknown_options", False)
    return takes_any or {re.sub(r"[^a-z-]", "", word) for word in words if word.startswith("-")} <= options


def test_the_readme_has_the_two_commands() -> None:
    assert "make run " in fenced(README)[0]
    assert "make test " in fenced(README)[0]


def test_the_readme_lists_the_plugins_that_are_there() -> None:
    kinds = {"providers": "provider", "policy": "policy", "wallet": "wallet", "dashboard": "site"}
    rows = re.findall(r"^\| \[(\w+)\]\(plugins/(\w+)/README\.md\) \| (\w+) \|", README, re.MULTILINE)
    assert sorted(rows) == [(stem, stem, kinds[stem.split("_")[0]]) for stem in STEMS]


def test_the_readme_gives_a_reason_for_each_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=;!~ ]", dependency)[0] for dependency in project["dependencies"]]
    section = README[README.index("## What the core depends on") : README.index("## Working on it")]
    assert re.findall(r"^\| `([\w-]+)` \| \S", section, re.MULTILINE) == names


def test_committed_files_name_no_machine() -> None:
    """No absolute path of somebody's home or work folder, and no host of a package registry."""
    strange = re.compile(
        r"(?<![\w.])/(work|home|root|Users|tmp/\w)[/\w]*|\b(pypi\.org|pythonhosted\.org|registry\.npmjs|crates\.io|"
        r"proxy\.golang|deb\.debian)\S*"
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or path == Path(__file__):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{name}: {hit[0]}" for hit in strange.finditer(text)]
    assert found == []
