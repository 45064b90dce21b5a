"""What plugins and rooms warn of while a house is built: kept, so that `check` and `doctor` can repeat it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Notices(logging.Handler):
    """Keeps warnings, each once, in order."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: dict[str, None] = {}

    @property
    def texts(self) -> list[str]:
        """What was said."""
        return list(self._texts)

    def renew(self, others: Notices) -> None:
        """Keep what `others` heard in the place of what was heard before."""
        self._texts = others._texts

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self._texts.setdefault(record.getMessage())


@contextmanager
def heard() -> Iterator[Notices]:
    """Listen to everything of arbstr's for a while, whatever level of the log is shown."""
    log = logging.getLogger("arbstr")
    level, notices = log.level, Notices()
    log.addHandler(notices)
    if not log.isEnabledFor(logging.WARNING):
        log.setLevel(logging.WARNING)
    try:
        yield notices
    finally:
        log.setLevel(level)
        log.removeHandler(notices)
