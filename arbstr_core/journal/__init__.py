"""The request log: every call, refused ones too. Off the request path, and not money: it may lose its last second."""

from arbstr_core.journal._journal import CallRow, Journal, schema
from arbstr_core.journal._requests import RequestFilter, RequestLog, RequestRow, Totals

__all__ = ["CallRow", "Journal", "RequestFilter", "RequestLog", "RequestRow", "Totals", "schema"]
