"""The log of `arbstr serve`, on standard error: as lines for people, or as JSON, one object a line; without secrets."""

from __future__ import annotations

import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from arbstr_core.cli._redact import Redactor
from arbstr_core.config import LogSettings
from arbstr_core.journal import CallRow

_CHATTY = ("httpx", "httpcore", "stevedore", "uvicorn.error")
_REQUEST = re.compile(r"\breq_[0-9a-f]{28}\b")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_FIELDS = "arbstr_fields"
_calls = logging.getLogger("arbstr.calls")


def set_up(settings: LogSettings, redact: Redactor) -> None:
    """Log to standard error from now on, as `settings` say. ARBSTR_LOG is the level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((_Json if settings.format == "json" else _Text)(redact))
    level = os.environ.get("ARBSTR_LOG", "INFO").upper()
    logging.basicConfig(level=level, handlers=[handler], force=True)
    handler.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_call(row: CallRow) -> None:
    """Write down one call that ended: a watcher of the journal."""
    fields = {
        "request_id": row.id,
        "agent": row.agent,
        "endpoint": row.endpoint,
        "model": row.model,
        "provider": row.provider,
        "sold": row.sold,
        "status": row.status,
        "outcome": str(row.outcome),
        "stream": row.stream,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "charged_msat": row.charged_msat,
        "first_byte_ms": row.first_byte_ms,
        "total_ms": row.total_ms,
    }
    said = " ".join(f"{name}={value}" for name, value in fields.items() if value not in ("", None))
    _calls.info("%s", said, extra={_FIELDS: fields})


class _Text(logging.Formatter):
    """One line for each record, and its traceback below it. What callers wrote makes no line of its own."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = self._redact(super().format(record))
        first = said.split("\nTraceback ", 1)
        first[0] = first[0].translate(_CONTROLS)
        return "\nTraceback ".join(first)


class _Json(logging.Formatter):
    """One object a line: `at`, `level`, `logger`, `message`; `request_id` where it is about a call; `error`."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = self._redact(record.getMessage())
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said: dict[str, Any] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _encodable(message),
        }
        if (found := _REQUEST.search(message)) is not None:
            said["request_id"] = found[0]
        for name, value in getattr(record, _FIELDS, {}).items():
            said[name] = _encodable(self._redact(value)) if isinstance(value, str) else value
        if record.exc_info:
            said["error"] = _encodable(self._redact(self.formatException(record.exc_info)))
        return msgspec.json.encode(said).decode()


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
