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
# Some plugins look ever again: to build a query costs more than to run it.
_FIND = sa.select(PLUGIN_STORE.c.value).where(*_OWN)
_SCAN = (
    sa.select(PLUGIN_STORE.c.key, PLUGIN_STORE.c.value)
    .where(
        PLUGIN_STORE.c.stem == sa.bindparam("stem"),
        PLUGIN_STORE.c.key >= sa.bindparam("prefix"),
        sa.func.substr(PLUGIN_STORE.c.key, 1, sa.bindparam("size", type_=sa.Integer)) == sa.bindparam("prefix"),
    )
    .order_by(PLUGIN_STORE.c.key)
)
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
        own = self._row(key)
        sealed = await self._db.read(lambda connection: connection.execute(_FIND, own).scalar())
        return None if sealed is None else self._opened(key, sealed)

    async def put(self, items: Mapping[str, bytes | None], *, where: Mapping[str, bytes | None] | None = None) -> bool:
        """Write all of `items` (None deletes) in one transaction, if every key of `where` has that value (None:
        absent). True where it was written; durable when it returns."""
        sealed = {
            key: None if value is None else self._cipher.seal(value, self._purpose(key)) for key, value in items.items()
        }
        return await self._db.submit(_Put(self, sealed, dict(where or {})))

    async def compare_and_set(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """`put` for one key: write `new` (None deletes) if the value is `old` (None: absent). True where it was."""
        return await self.put({key: new}, where={key: old})

    async def scan(self, prefix: str) -> dict[str, bytes]:
        """All pairs whose key starts with `prefix`, in key order."""
        wanted = {"stem": self._stem, "prefix": prefix, "size": len(prefix)}
        rows = await self._db.read(lambda connection: connection.execute(_SCAN, wanted).all())
        return {key: self._opened(key, sealed) for key, sealed in rows}

    def _purpose(self, key: str) -> str:
        return f"plugin_store:{self._stem}:{key}"

    def _opened(self, key: str, sealed: bytes) -> bytes:
        return self._cipher.open(sealed, self._purpose(key))

    def write(self, tx: Transaction, sealed: Mapping[str, bytes | None], where: Mapping[str, bytes | None]) -> bool:
        """The writer's half of `put`. Keys are taken in order, so that two processes do not wait for each other."""
        made: list[str] = []
        for key in sorted({*sealed, *where}) if where else ():
            if key not in where:
                tx.one(_GET, self._row(key))
            elif not self._is(tx, key, where[key], made):
                # All that was written so far are rows that this transaction made for itself alone.
                for own in made:
                    tx.run(_DELETE, self._row(own))
                return False
        for key, value in sorted(sealed.items()):
            if value is None:
                tx.run(_DELETE, self._row(key))
            else:
                tx.run(_PUT, {**self._row(key), "value": value})
        for key in made:
            if key not in sealed:
                tx.run(_DELETE, self._row(key))
        return True

    def _is(self, tx: Transaction, key: str, old: bytes | None, made: list[str]) -> bool:
        """Whether `key` has the value `old`, from now on until the transaction ends. Where it is to be absent there is
        no row to lock, and another process may be faster: a row of ours stands there meanwhile, noted in `made`."""
        if old is not None:
            row = tx.one(_GET, self._row(key))
            return row is not None and self._opened(key, row[0]) == old
        if tx.run(_ADD, {**self._row(key), "value": b""}) == 0:
            return False
        made.append(key)
        return True

    def _row(self, key: str) -> dict[str, str]:
        return {"stem": self._stem, "key": key}


class _Put(Operation[bool]):
    def __init__(
        self, store: PluginStore, sealed: Mapping[str, bytes | None], where: Mapping[str, bytes | None]
    ) -> None:
        self._store = store
        self._sealed = sealed
        self._where = where

    def run(self, tx: Transaction) -> bool:
        return self._store.write(tx, self._sealed, self._where)
