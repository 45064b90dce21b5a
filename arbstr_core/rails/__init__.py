"""Drives wallet rails: which there are, and which realm's money they move. Holds no rows, never touches the ledger."""

from arbstr_core.rails._rails import Rails

__all__ = ["Rails"]
