"""`make docs`: the manual as a site, of docs/, the plugins' READMEs and the change log; a dead link ends it.

The pages are gathered in one folder first, with their links bent to it: as they lie they are made to be read in the
repository, where half of them are beside the code. What they link to and is no page is taken along as a file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

NAV: dict[str, list[str]] = {
    "Begin": ["index", "concepts", "migrating-from-arbstr", "migrating-from-litellm"],
    "Calls": ["openai-api", "routing", "routstr", "dispatch", "receipts", "retries", "errors", "savings"],
    "Money": ["money", "failures", "running-with-lnd", "running-a-mint", "payouts", "solvency", "treasury", "audit"],
    "Operating": [
        "deploying",
        "operation",
        "dashboard",
        "metrics",
        "database",
        "webhooks",
        "security-model",
        "scaling",
        "performance",
    ],
    "Reference": [
        "configuration",
        "operator-api",
        "wallet-api",
        "internal-api",
        "evidence",
        "threats",
        "security",
        "changelog",
    ],
    "Plugins": ["plugins", "hooks"],
    "Decisions": [],
}
"""the pages by chapter; those of the plugins and the decisions are added, and what is named nowhere comes last"""

CONFIG = """
[project]
site_name = "arbstr"
site_description = "The proxy an AI agent's operator puts in front of every model."
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = {nav}

[project.theme]
font = false
language = "en"
features = ["navigation.tabs", "navigation.sections", "navigation.top", "content.code.copy", "toc.follow"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"
toggle.icon = "lucide/sun"
toggle.name = "Dark"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
toggle.icon = "lucide/moon"
toggle.name = "Light"

[project.markdown_extensions.tables]
[project.markdown_extensions.attr_list]
[project.markdown_extensions.toc]
permalink = true
[project.markdown_extensions.pymdownx.superfences]
[project.markdown_extensions.pymdownx.highlight]
"""


def pages() -> dict[Path, str]:
    """Each page's file, and its place in the manual."""
    found = {path: str(path.relative_to(ROOT / "docs")) for path in sorted((ROOT / "docs").rglob("*.md"))}
    found |= {path: f"plugins/{path.parent.name}.md" for path in sorted((ROOT / "plugins").glob("*/README.md"))}
    return found | {ROOT / "SECURITY.md": "security.md", ROOT / "CHANGELOG.md": "changelog.md"}


def nav(places: dict[Path, str]) -> str:
    """The chapters, as TOML. Raises ValueError where one names a page that is not there."""
    chapters = {title: [f"{name}.md" for name in names] for title, names in NAV.items()}
    chapters["Plugins"] += sorted(place for place in places.values() if place.startswith("plugins/"))
    chapters["Decisions"] += sorted(place for place in places.values() if place.startswith("decisions/"))
    listed = {place for chapter in chapters.values() for place in chapter}
    if wrong := sorted(listed - set(places.values())):
        raise ValueError(f"NAV names pages that are not there: {', '.join(wrong)}")
    if more := sorted(set(places.values()) - listed):
        chapters["More"] = more
    rows = [f"{{{json.dumps(title)} = {json.dumps(chapter)}}}" for title, chapter in chapters.items()]
    return f"[{', '.join(rows)}]"


class Gathered:
    """The pages in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places = pages()
        # Who comes from a plugin's page to the repository's first page comes to the manual's.
        self._known = self._places | {ROOT / "README.md": "index.md"}

    def write(self) -> None:
        """Write them, and what they link to; and the configuration beside them."""
        for page, place in self._places.items():
            target = self._folder / "pages" / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self._bent(page, place))
        (self._folder / "zensical.toml").write_text(CONFIG.format(nav=nav(self._places)))

    def _bent(self, page: Path, place: str) -> str:
        """The text of a page, with its links as they are from `place`; what is code stays as it is."""

        def bent(found: re.Match[str]) -> str:
            return f"{found[1]}{self._target(found[2], page, place)}{found[3]}"

        text = page.read_text()
        parts, at = [], 0
        for code in FENCE.finditer(text):
            parts += [LINK.sub(bent, text[at : code.start()]), code[0]]
            at = code.end()
        return "".join([*parts, LINK.sub(bent, text[at:])])

    def _target(self, link: str, page: Path, place: str) -> str:
        path = (page.parent / link).resolve()
        if "://" in link or not path.exists():
            return link  # what leads nowhere is told by the builder, with its line
        goal = self._known.get(path)
        if goal is None:
            goal = str(path.relative_to(ROOT)).removeprefix("docs/")
            file = self._folder / "pages" / goal
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, file)
        return os.path.relpath(goal, Path(place).parent)


def build(target: Path) -> None:
    """Make the site in `target`, in the place of what is there. Raises SystemExit, having said why."""
    with tempfile.TemporaryDirectory(prefix="arbstr-manual-") as folder:
        Gathered(Path(folder)).write()
        zensical = Path(sys.executable).with_name("zensical")
        done = subprocess.run([zensical, "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            said = COLOUR.sub("", done.stdout + done.stderr)
            sys.exit(f"the manual cannot be built:\n{said}")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(Path(folder) / "site", target)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
    print("the manual is in site/index.html")
