"""The chain of audit rows: what each says, and how its hash is made.

A row's hash is SHA-256 over the hash before it and the row's canonical JSON. What a transaction does to the ledger is
one row, which holds a digest of each hold, transfer (with its entries and its receipt) that was written; the writer and
`verify` make those digests with the same functions, so a row that was changed no longer matches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

FORMAT = 1
EPOCH = 0
GENESIS = hashlib.sha256(b"arbstr audit epoch 0").digest()
LEDGER = "ledger"
"""The action of the rows that vouch for holds and transfers"""
_DIGEST_CHARS = 32

_encode = msgspec.json.Encoder().encode
_sha256 = hashlib.sha256


class Head(msgspec.Struct):
    """The end of the chain."""

    seq: int = 0
    hash: bytes = GENESIS


def link(before: bytes, row: Sequence[Any]) -> bytes:
    """The hash of a row (seq, epoch, format, at_ms, actor, action, subject, data) that follows the hash `before`."""
    return _sha256(before + _encode(row)).digest()


def digest(text: str | bytes) -> str:
    """SHA-256, hex."""
    return _sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def canonical(*members: Any) -> str:
    """The text of a JSON array without blanks."""
    return _encode(members).decode()


def of_hold(fixed: Sequence[Any]) -> str:
    """The digest of a hold: its columns that never change, in the order of `HOLD_FIXED`. 128 bits, hex."""
    return _sha256(_encode(fixed)).hexdigest()[:_DIGEST_CHARS]


def of_transfer(transfer: Sequence[Any], entries: Sequence[Sequence[Any]], receipt: str | None) -> str:
    """The digest of a transfer, its entries (account_id, side, amount, previous_seq) in order, and the receipt that was
    written with it. 128 bits, hex."""
    return _sha256(_encode((transfer, entries, receipt))).hexdigest()[:_DIGEST_CHARS]
