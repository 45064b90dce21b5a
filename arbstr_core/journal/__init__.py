"""What happened and what was learned of it: the request log, written in the background, and habits in memory."""

from arbstr_core.journal._experience import Experience
from arbstr_core.journal._journal import CallRow, Journal, schema
from arbstr_core.journal._requests import RequestFilter, RequestLog, RequestRow, Totals
from arbstr_core.journal._series import Series, Sums

__all__ = [
    "CallRow",
    "Experience",
    "Journal",
    "RequestFilter",
    "RequestLog",
    "RequestRow",
    "Series",
    "Sums",
    "Totals",
    "schema",
]
