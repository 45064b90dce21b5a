"""The request log: every call, refused ones too. Off the request path, and not money: it may lose its last second."""

from arbstr_core.journal._journal import CallRow, Journal, schema

__all__ = ["CallRow", "Journal", "schema"]
