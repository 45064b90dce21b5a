"""What cuts the power, or kills a server with its children, needs Linux; elsewhere it is not collected."""

from __future__ import annotations

import sys

collect_ignore = [] if sys.platform == "linux" else ["test_unsynced.py", "test_undo.py", "test_postgres_killed.py"]
