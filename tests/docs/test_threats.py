"""Every threat of the document has tests that carry its number."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"^\s*(?:async )?def test((?:_t\d+)+)_", re.MULTILINE)


def test_every_threat_has_a_test_of_its_number() -> None:
    listed = re.findall(r"^\| (T\d+) \|", (ROOT / "docs" / "threats.md").read_text(), re.MULTILINE)
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "plugins").glob("*/tests/**/test_*.py")]
    tested = {
        number.upper() for file in files for names in NAMED.findall(file.read_text()) for number in names.split("_")[1:]
    }
    assert listed == [f"T{number}" for number in range(1, len(listed) + 1)]
    assert sorted(set(listed) - tested) == []
