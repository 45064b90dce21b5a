"""What the headers of a request say of it: who asks, that it was asked before, and what else arbstr is told."""

from __future__ import annotations

from collections.abc import Mapping

from arbstr_core.types import BadRequest

_MOST_OF_A_KEY = 255
_DIGITS = 7
_HINTS = ("x-arbstr-", "prefer", "anthropic-")


def read_retry(headers: Mapping[str, str]) -> tuple[str | None, int | None]:
    """(the caller's `Idempotency-Key`, how often its SDK has asked before). Raises BadRequest."""
    key = headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _MOST_OF_A_KEY and key.isascii() and key.isprintable()):
        raise BadRequest(f"Idempotency-Key must be 1 to {_MOST_OF_A_KEY} printable ASCII characters")
    count = headers.get("x-stainless-retry-count", "")
    return key, int(count) if count.isascii() and count.isdigit() and len(count) < _DIGITS else None


def hints_of(headers: Mapping[str, str]) -> dict[str, str]:
    """What else a call carries: the caller's `x-arbstr-*`, `prefer` and `anthropic-*`."""
    return {name: value for name, value in headers.items() if name.startswith(_HINTS)}
