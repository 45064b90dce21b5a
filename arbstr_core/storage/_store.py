"""What a plugin keeps: durable keys and values of its own, sealed with the master key."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from arbstr_core.storage._cipher import Cipher
from arbstr_core.storage._database import Database
from arbstr_core.storage._statements import Statement
from arbstr_core.storage._tables import PLUGIN_STORE
from arbstr_core.storage._transaction import Operation, Transaction

_OWN = (PLUGIN_STORE.c.stem == sa.bindparam("stem"), PLUGIN_STORE.c.key == sa.bindparam("key"))
# Other processes that want the same key on PostgreSQL wait, and then see what became of it.
_GET = Statement(sa.select(PLUGIN_STORE.c.value).where(*_OWN).with_for_update())
_DELETE = Statement(sa.delete(PLUGIN_STORE).where(*_OWN))
_INSERT = "INSERT INTO plugin_store (stem, key, value) VALUES (:stem, :key, :value) ON CONFLICT (stem, key)"
_ADD = Statement(sa.text(f"{_INSERT} DO NOTHING"))
_PUT = Statement(sa.text(f"{_INSERT} DO UPDATE SET value = excluded.value"))


class PluginStore:
    """The `Store` of one plugin, kept apart from the others' by its stem."""

    def __init__(self, db: Database, cipher: Cipher, stem: str) -> None:
        self._db = db
        self._cipher = cipher
        self._stem = stem

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        table = PLUGIN_STORE.c
        query = sa.select(table.value).where(table.stem == self._stem, table.key == key)
        sealed = await self._db.read(lambda connection: connection.execute(query).scalar())
        return None if sealed is None else self._opened(key, sealed)

    async def put(self, items: Mapping[str, bytes]) -> None:
        """Write all of `items` in one transaction; durable when it returns."""
        sealed = {key: self._cipher.seal(value, self._purpose(key)) for key, value in items.items()}
        await self._db.submit(_Put(self._stem, sealed))

    async def compare_and_set(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """Write `new` (None deletes) if the value is `old` (None: absent). True where it was."""
        sealed = None if new is None else self._cipher.seal(new, self._purpose(key))
        return await self._db.submit(_CompareAndSet(self, key, old, sealed))

    async def scan(self, prefix: str) -> dict[str, bytes]:
        """All pairs whose key starts with `prefix`, in key order."""
        table = PLUGIN_STORE.c
        starts = sa.func.substr(table.key, 1, len(prefix)) == prefix
        query = sa.select(table.key, table.value).where(table.stem == self._stem, table.key >= prefix, starts)
        rows = await self._db.read(lambda connection: connection.execute(query.order_by(table.key)).all())
        return {key: self._opened(key, sealed) for key, sealed in rows}

    def _purpose(self, key: str) -> str:
        return f"plugin_store:{self._stem}:{key}"

    def _opened(self, key: str, sealed: bytes) -> bytes:
        return self._cipher.open(sealed, self._purpose(key))

    def swap(self, tx: Transaction, key: str, old: bytes | None, sealed: bytes | None) -> bool:
        """The writer's half of `compare_and_set`."""
        own = {"stem": self._stem, "key": key}
        row = tx.one(_GET, own)
        if (None if row is None else self._opened(key, row[0])) != old:
            return False
        if sealed is None:
            tx.run(_DELETE, own)
            return True
        # Where there is no row to lock, another process may have been faster.
        return tx.run(_ADD if row is None else _PUT, {**own, "value": sealed}) == 1


class _Put(Operation[None]):
    def __init__(self, stem: str, sealed: Mapping[str, bytes]) -> None:
        self._stem = stem
        self._sealed = sealed

    def run(self, tx: Transaction) -> None:
        # In order, so that two processes do not wait for each other.
        for key, value in sorted(self._sealed.items()):
            tx.run(_PUT, {"stem": self._stem, "key": key, "value": value})


class _CompareAndSet(Operation[bool]):
    def __init__(self, store: PluginStore, key: str, old: bytes | None, sealed: bytes | None) -> None:
        self._store = store
        self._key = key
        self._old = old
        self._sealed = sealed

    def run(self, tx: Transaction) -> bool:
        return self._store.swap(tx, self._key, self._old, self._sealed)
