"""The rule of conftest.py: a skipped test has failed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "body",
    [
        "import pytest\n\n@pytest.mark.skip\ndef test_a(): pass\n",
        "import pytest\n\ndef test_a(): pytest.skip('no')\n",
        "import pytest\n\npytest.importorskip('no_such_module')\n\ndef test_a(): pass\n",
        "import unittest\n\nclass TestA(unittest.TestCase):\n    @unittest.skip('no')\n    def test_a(self): pass\n",
    ],
)
def test_a_skip_is_a_failure(tmp_path: Path, body: str) -> None:
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(body)
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode in (1, 2), done.stdout
    assert "none may be" in done.stdout
