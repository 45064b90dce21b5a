"""Commands, and the one composition root."""

from arbstr_core.cli._commands import main

__all__ = ["main"]
