"""Who operates, and how long."""

from __future__ import annotations

import msgspec


class OperatorSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session of an operator's browser; hashes are SHA-256.

    `operator` is the name of the one whose live token opened it, None where no operator with a name has that token.
    """

    page_hash: bytes
    """of what its pages send beside the cookie"""
    token_hash: bytes
    operator: str | None
    created_ms: int
    seen_ms: int
