"""The chain of audit rows: what each says, and how its hash is made.

A row's hash is SHA-256 over the hash before it and the row's canonical JSON. `covers_*` make the canonical text of what
a row vouches for; the writer and `verify` use the same ones, so a changed row no longer matches its audit row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

FORMAT = 1
EPOCH = 0
GENESIS = hashlib.sha256(b"arbstr audit epoch 0").hexdigest()


class Head(msgspec.Struct):
    """The end of the chain."""

    seq: int = 0
    hash: str = GENESIS


def link(before: str, row: Sequence[Any]) -> str:
    """The hash of a row (seq, epoch, format, at_ms, action, subject, data) that follows the hash `before`."""
    return hashlib.sha256(bytes.fromhex(before) + msgspec.json.encode(row)).hexdigest()


def digest(text: str | bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def canonical(*members: Any) -> str:
    """The text of a JSON array without blanks."""
    return msgspec.json.encode(members).decode()


def covers_transfer(transfer: Sequence[Any], entries: Sequence[Sequence[Any]], receipt: str | None) -> str:
    """For a transfer row, its entries (account_id, side, amount) in order, and the receipt written with it."""
    return canonical(transfer, entries, None if receipt is None else digest(receipt))
