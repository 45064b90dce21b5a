"""The chain of audit rows: what each says, and how its hash is made.

A row's hash is SHA-256 over the hash before it and the row's canonical JSON. What a transaction does to the ledger is
one row, which holds a digest of each hold and of each transfer (with its entries and its receipt) that was written.

What is digested is put together so that databases can do it, too: the small columns as JSON, the one large text as it
is, after a bar. JSON arrays end where they end, so no two rows make the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

FORMAT = 1
EPOCH = 0
GENESIS = hashlib.sha256(b"arbstr audit epoch 0").digest()
LEDGER = "ledger"
"""The action of the rows that vouch for holds and transfers"""
DIGEST_BYTES = 16
HEX_CHARS = 2 * DIGEST_BYTES

Run = tuple[str, int, str]
"""What a ledger row says: hold or transfer, the number of the first, the digests of it and of those that follow, hex"""

_encode = msgspec.json.Encoder().encode
_sha256 = hashlib.sha256


class Head(msgspec.Struct):
    """The end of the chain."""

    seq: int = 0
    hash: bytes = GENESIS


def link(before: bytes, row: Sequence[Any]) -> bytes:
    """The hash of a row (seq, epoch, format, at_ms, actor, action, subject, data) that follows the hash `before`."""
    return _sha256(before + _encode(row)).digest()


def chained(head: Head, at_ms: int, note: Sequence[str]) -> tuple[Any, ...]:
    """The row of the table that follows `head`, which becomes it; `note` is actor, action, subject, data."""
    head.seq += 1
    row = (head.seq, EPOCH, FORMAT, at_ms, *note)
    head.hash = link(head.hash, row)
    return (*row, head.hash)


def digest(text: str | bytes) -> str:
    """SHA-256, hex."""
    return _sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def canonical(*members: Any) -> str:
    """The text of a JSON array without blanks."""
    return _encode(members).decode()


def of_hold(small: Sequence[Any], windows: Iterable[tuple[Any, ...]], candidates: str) -> bytes:
    """The digest of a hold: its `HOLD_SMALL`, its windows (agent, kind, start) by agent and kind, its candidates."""
    more = b"".join(map(_encode, sorted(windows))) if windows else b""
    return _sha256(b"%b%b|%b" % (_encode(small), more, candidates.encode())).digest()[:DIGEST_BYTES]


def of_transfer(transfer: Sequence[Any], entries: Iterable[Sequence[Any]], receipt: str | None) -> bytes:
    """The digest of a transfer: its columns, its entries (n, account_id, side, amount, previous_seq) in order, and the
    receipt that was written with it."""
    more = b"".join(map(_encode, entries))
    return _sha256(b"%b%b|%b" % (_encode(transfer), more, (receipt or "").encode())).digest()[:DIGEST_BYTES]


def runs(kind: str, rows: Iterable[tuple[int, bytes]]) -> list[Run]:
    """Digests of rows by their numbers, as a ledger row says them."""
    found: list[tuple[int, list[bytes]]] = []
    following = -1
    for seq, digest in rows:
        if seq != following:
            found.append((seq, []))
        found[-1][1].append(digest)
        following = seq + 1
    return [(kind, first, b"".join(digests).hex()) for first, digests in found]
