"""What people are shown: ids can be copied, however narrow the terminal is."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from arbstr_core.cli._providers import _lines

ID = "apr_4db0fffd93ee4bf14217f964157e"
PROGRAM = f"""
from arbstr_core.cli._show import table
table(["id", "agent", "models"], [["{ID}", "bot", "llama-3.3-70b gpt-oss-120b and more"]], empty="")
"""


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("columns", ["40", "80"])
def test_an_id_is_never_folded(columns: str, terminal: bool) -> None:
    env = {**os.environ, "COLUMNS": columns, "TERM": "xterm", "NO_COLOR": "1"}
    ours, theirs = pty.openpty() if terminal else os.pipe()
    try:
        subprocess.run([sys.executable, "-c", PROGRAM], env=env, stdout=theirs, check=True, timeout=60)
        said = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ID in said
    assert "bot" in said
    assert ("llama-3.3-70b gpt-oss-120b and more" in said) != (terminal and columns == "40")


def test_what_is_out_at_a_node_says_at_which() -> None:
    """A provider with many nodes may sell a model at one and not at another."""
    out = {"provider": "market", "node": "n1", "model": "m", "reason": "it has no price"}
    (line,) = _lines({"provider": "market", "failing": None, "offers": [], "out": [out]})
    assert line[:3] == ["market", "m (n1)", "out"]
