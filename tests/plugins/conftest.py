"""A folder of real distributions, good and broken, on sys.path for one test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

GOOD = """
    import msgspec
    from arbstr_core.api import Command, Manifest, hookimpl

    class Config(msgspec.Struct, frozen=True, kw_only=True):
        greeting: str = "hello"
        number: int = 0

    MANIFEST = Manifest(name={name!r}, api=(1, 0), config=Config)

    async def _greet(params):
        return "hello"
"""


class Site:
    """Writes what pip would have installed: a module, and its `.dist-info`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        name: str,
        body: str = "",
        *,
        head: str | None = GOOD,
        distribution: str | None = None,
        module: str | None = None,
        entry: str | None = None,
        version: str = "1.0",
    ) -> str:
        """A distribution with the plugin `name`; its module is `head` and then `body`. Returns the module's name."""
        distribution = distribution or f"arbstr-{name.replace('_', '-')}"
        module = module or distribution.replace("-", "_")
        source = textwrap.dedent((head or "").replace("{name!r}", repr(name))) + textwrap.dedent(body)
        mark = "import pathlib\npathlib.Path(__file__).with_suffix('.imported').touch()\n"
        (self.folder / f"{module}.py").write_text(mark + source)
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[arbstr.plugins]\n{name} = {entry or module}\n")
        importlib.invalidate_caches()
        return module

    def imported(self, module: str) -> bool:
        """Whether anything imported `module`, ever."""
        return (self.folder / f"{module}.imported").exists()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    before = set(sys.modules)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield Site(folder)
    for path in folder.glob("*.py"):
        if path.stem not in before:
            sys.modules.pop(path.stem, None)
