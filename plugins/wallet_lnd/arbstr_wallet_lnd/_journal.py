"""What this rail wrote down of payments before it sent them. One record a key, and which key has a payment hash."""

from __future__ import annotations

import msgspec

from arbstr_core.api import Failed, Msat, Paid, Store

_PAYMENT, _HASH = "pay/", "hash/"


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """One request to pay that may have reached the node. `after_ns` is when the node had begun the payment of this hash
    that it showed before, 0 for none: what it shows with that time is not this request's doing. (Its number would not
    tell: LND on SQLite gives the number of a payment that failed to the next one.)"""

    at_ms: int
    after_ns: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One payment: all that is sent, to which node, how often it was asked for, and its end.

    `seen` says that the node has shown it, `lost` that it then no longer did.
    """

    key: str
    payment_hash: str
    text: str
    amount_msat: Msat
    fee_limit_msat: Msat
    expires_ms: int
    node: str
    sends: tuple[Send, ...] = ()
    seen: bool = False
    lost: bool = False
    end: Paid | Failed | None = None


class Journal:
    """Reads and writes records; every write says what it was decided on, and fails where that has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, key: str) -> Record | None:
        """The payment of `key`."""
        raw = await self._store.get(_PAYMENT + key)
        return None if raw is None else msgspec.json.decode(raw, type=Record)

    async def holder(self, payment_hash: str) -> str | None:
        """The key that pays this hash now, or did."""
        raw = await self._store.get(_HASH + payment_hash)
        return None if raw is None else raw.decode()

    async def add(self, record: Record, *, holder: str | None) -> bool:
        """A new record, which has its hash from now on, if `holder` had it till now. False where either changed."""
        pay, of_hash = _PAYMENT + record.key, _HASH + record.payment_hash
        return await self._store.put(
            {pay: msgspec.json.encode(record), of_hash: record.key.encode()},
            where={pay: None, of_hash: None if holder is None else holder.encode()},
        )

    async def refuse(self, record: Record) -> bool:
        """A new record of a payment that never will be; its hash stays whose it is."""
        return await self._store.compare_and_set(_PAYMENT + record.key, None, msgspec.json.encode(record))

    async def change(self, old: Record, new: Record) -> bool:
        """`new` in the place of `old`; False where it is no longer there."""
        if new == old:
            return True
        return await self._store.compare_and_set(_PAYMENT + old.key, msgspec.json.encode(old), msgspec.json.encode(new))
