"""What happened and what was learned of it: the request log, written in the background; counts; habits in memory."""

from arbstr_core.journal._counts import Counts
from arbstr_core.journal._experience import Experience
from arbstr_core.journal._families import COUNTER, Family, Sample, exposition, gauge
from arbstr_core.journal._journal import TABLES, CallRow, Journal, Watcher, schema
from arbstr_core.journal._requests import RequestFilter, RequestLog, RequestRow, Totals
from arbstr_core.journal._series import Series, Sums

__all__ = [
    "COUNTER",
    "TABLES",
    "CallRow",
    "Counts",
    "Experience",
    "Family",
    "Journal",
    "RequestFilter",
    "RequestLog",
    "RequestRow",
    "Sample",
    "Series",
    "Sums",
    "Totals",
    "Watcher",
    "exposition",
    "gauge",
    "schema",
]
