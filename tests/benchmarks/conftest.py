"""Where the benchmarks cannot run, what needs them is no test."""

from __future__ import annotations

import sys

collect_ignore = [] if sys.platform == "linux" else ["test_on_linux.py"]
