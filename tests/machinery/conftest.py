"""What cuts the power, or kills a server with its children, needs Linux; elsewhere it is not collected."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def postgres_url(postgres_empty_url: str) -> str:
    """Here tests make tables of their own."""
    return postgres_empty_url


collect_ignore = [] if sys.platform == "linux" else ["test_unsynced.py", "test_undo.py", "test_postgres_killed.py"]
