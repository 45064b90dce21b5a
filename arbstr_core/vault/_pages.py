"""What history is shown as. Amounts are msat, times Unix milliseconds; rows come newest first."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from arbstr_core.vault._values import HoldState, Limits

Row = TypeVar("Row")
Place = TypeVar("Place", int, str)


class Part(msgspec.Struct, Generic[Row, Place], frozen=True, kw_only=True):
    """Some rows, and from where the next are asked for; None where there are no more.

    A part may hold fewer rows than were asked for, or none, and still have more after it: what is looked at for one
    part is bounded, whatever the filters leave of it.
    """

    rows: tuple[Row, ...]
    following: Place | None


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A hold and what became of it."""

    seq: int
    id: str
    agent: str
    """the key that it was held for"""
    account: int
    kind: str
    """`call`, `billing` or `payout`"""
    model: str
    state: HoldState
    held_msat: int
    charged_msat: int
    """with what was corrected since"""
    created_ms: int
    ended_ms: int | None
    approval: str | None
    orphaned: bool
    """it was ended in the place of whoever held it"""
    body: bytes | None
    """the receipt, JSON; None while it is held"""


class ServedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was settled, and its receipt."""

    agent: str
    model: str
    charged_msat: int
    """with what was corrected since"""
    created_ms: int
    body: bytes


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a transfer."""

    account: str
    side: str
    amount_msat: int


class TransferRow(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer with its entries."""

    seq: int
    kind: str
    realm: str
    amount_msat: int
    at_ms: int
    hold: str | None
    """the id of the call, reservation or payout that it ended"""
    agent: str | None
    """whose key that was"""
    model: str | None
    key: str | None
    """what it happened once for, where it ended no hold"""
    refers_to: int | None
    memo: str
    change_msat: int | None
    """by how much the balance of the account that was asked for changed"""
    entries: tuple[EntryRow, ...]


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the audit; `data` is JSON."""

    seq: int
    at_ms: int
    actor: str
    action: str
    subject: str
    data: bytes
    hash: str
    """hex"""


class LimitsRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an agent's limits."""

    limits: Limits
    created_ms: int


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """One limit and what it leaves now. Counts or msat, as the limit is."""

    agent: str
    """whose limit it is: the key's, or that of one above it"""
    limit: str
    """`max_charge`, `daily`, `hourly`, `per_minute` or `concurrent`"""
    most: int
    used: int
    left: int
    resets_ms: int | None
    """when it leaves more by itself; None where time does not change it"""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which holds or transfers are wanted; None for any. `agents` are the keys whose they are."""

    agents: frozenset[str] | None = None
    kind: str | None = None
    model: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
