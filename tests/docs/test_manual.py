"""The manual is built, every link in it leads somewhere, and a browser that reads it asks nobody else for anything."""

from __future__ import annotations

import importlib.util
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    """A script of scripts/, as a module."""
    found = importlib.util.spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    sys.modules[found.name] = made
    found.loader.exec_module(made)
    return made


MANUAL = script("manual")


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said[name] for name in ("id", "name") if name in said}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif tag == "link" and said.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(said["href"])
        elif "src" in said:
            self.loads.append(said["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Every page of the site, by its file."""
    folder = tmp_path_factory.mktemp("manual") / "site"
    MANUAL.build(folder)
    return {path: Page(path.read_text()) for path in sorted(folder.rglob("*.html")) if path.name != "404.html"}


def test_every_page_is_there(site: dict[Path, Page]) -> None:
    (folder,) = {path.parent for path in site if path.name == "index.html"}
    places = {str(path.relative_to(folder).with_suffix(".md")) for path in site}
    assert places == set(MANUAL.pages().values())


def test_every_link_leads_somewhere(site: dict[Path, Page]) -> None:
    dead = []
    for path, page in site.items():
        for link in (*page.links, *page.loads):
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = unquote(link).partition("#")
            goal = (path.parent / file).resolve() if file else path
            there = goal.is_file() or (goal.is_dir() and (goal / "index.html").is_file())
            if not there or (anchor and goal in site and anchor not in site[goal].anchors):
                dead.append((path.name, link))
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(site: dict[Path, Page]) -> None:
    assert [(path.name, load) for path, page in site.items() for load in page.loads if "//" in load] == []
    (folder,) = {path.parent for path in site if path.name == "index.html"}
    styles = [*folder.rglob("*.css"), *folder.rglob("*.svg")]
    assert styles
    for style in styles:
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style.read_text()), style


@pytest.mark.parametrize("link", ["gone.md", "index.md#nowhere"], ids=["page", "anchor"])
def test_a_link_that_leads_nowhere_ends_it(link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n[There]({link})\n")
    monkeypatch.setattr(MANUAL, "pages", lambda: {page: "index.md"})
    monkeypatch.setattr(MANUAL, "NAV", {"Begin": ["index"], "Plugins": [], "Decisions": []})
    with pytest.raises(SystemExit, match=re.escape(link.rpartition("#")[2])):
        MANUAL.build(tmp_path / "site")


def test_a_page_that_is_gone_is_told_and_a_new_one_comes_last(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"NAV names pages that are not there: .*index\.md"):
        MANUAL.nav({tmp_path / "new.md": "new.md"})
    assert MANUAL.nav(MANUAL.pages() | {tmp_path / "new.md": "new.md"}).endswith('{"More" = ["new.md"]}]')


def test_the_pictures_are_what_their_script_draws(tmp_path: Path) -> None:
    pictures = script("pictures")
    pictures.main(tmp_path)
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert drawn == {path.name: path.read_text() for path in pictures.FOLDER.iterdir()}
    concepts = (ROOT / "docs" / "concepts.md").read_text()
    assert set(re.findall(r"\(pictures/([\w.]+)\)", concepts)) == set(drawn)
    for name, picture in pictures.PICTURES.items():
        assert f"![{picture.title}](pictures/{name}.svg)" in concepts
