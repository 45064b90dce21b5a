"""The public surface of arbstr_core.api is what tests/api_surface.txt says: plugins outside of arbstr rely on it."""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

from arbstr_core.api import API_VERSION

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "api_surface.txt"
MESSAGE = """arbstr_core.api changed. If that is meant:
  1. API_VERSION in arbstr_core/api/_version.py: minor for an addition, major for anything removed or changed;
  2. CHANGELOG.md, under "Plugin API": what authors have to do;
  3. make surface
"""


def test_the_surface_is_as_promised() -> None:
    script = ROOT / "scripts" / "api_surface.py"
    now = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    kept = KEPT.read_text()
    change = "\n".join(difflib.unified_diff(kept.splitlines(), now.splitlines(), "promised", "now", lineterm=""))
    assert now == kept, f"{MESSAGE}\n{change}"


def test_the_changelog_tells_of_this_version() -> None:
    version = ".".join(map(str, API_VERSION))
    assert f"Plugin API {version}" in (ROOT / "CHANGELOG.md").read_text()
