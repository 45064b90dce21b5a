"""Another master key: what plugins keep is sealed anew, and the key before it is kept for what never changes.

The new key is durable in a file of its own before the database knows it; that it counts is one transaction; then the
file gets its name. Whoever is killed on the way is in the one state or the other, and the next start ends what was
begun.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.storage._cipher import Cipher, check_of, make_key, open_cipher, read_key, retired_purpose, take_over
from arbstr_core.storage._database import Database
from arbstr_core.storage._statements import INTEGER, Statement
from arbstr_core.storage._tables import CIPHER_CHECK, PLUGIN_STORE, RETIRED_KEY
from arbstr_core.storage._transaction import Operation, Transaction
from arbstr_core.types import StorageError

_STORED = Statement(sa.select(PLUGIN_STORE.c.stem, PLUGIN_STORE.c.key, PLUGIN_STORE.c.value))
_RESEAL = Statement(
    sa.update(PLUGIN_STORE)
    .where(PLUGIN_STORE.c.stem == sa.bindparam("stem_"), PLUGIN_STORE.c.key == sa.bindparam("key_"))
    .values(value=sa.bindparam("value_"))
)
_RETIRED = Statement(sa.select(RETIRED_KEY.c.n, RETIRED_KEY.c.key_id, RETIRED_KEY.c.sealed).order_by(RETIRED_KEY.c.n))
_RESEAL_KEY = Statement(
    sa.update(RETIRED_KEY)
    .where(RETIRED_KEY.c.n == sa.bindparam("n_", type_=INTEGER))
    .values(sealed=sa.bindparam("sealed_"))
)
_RETIRE = Statement(
    sa.insert(RETIRED_KEY).values(
        n=sa.bindparam("n", type_=INTEGER), key_id=sa.bindparam("key_id"), sealed=sa.bindparam("sealed")
    )
)
_CHECK = Statement(
    sa.update(CIPHER_CHECK)
    .where(CIPHER_CHECK.c.key_id == sa.bindparam("old"))
    .values(key_id=sa.bindparam("key_id_"), sealed=sa.bindparam("sealed_"))
)


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """What a rotation did. `kept` is where the key before it is: backups that were made before need it."""

    old: str
    new: str
    resealed: int
    kept: Path


async def rotate(db: Database, path: Path) -> Rotated:
    """Make a new master key, in the place of the one in `path`. No other process may use the database meanwhile.

    Raises StorageError; then the old key counts, or the new one does and the next start puts its file in place.
    """
    old = await open_cipher(db, path, create=False)
    key = read_key(path)
    assert key is not None, "it was read a moment ago"
    waiting = path.with_name(f"{path.name}.new")
    # A rotation that never counted: the database knows nothing of that key.
    waiting.unlink(missing_ok=True)
    new = Cipher(make_key(waiting))
    resealed = await db.submit(_Rotate(old, key, new))
    if take_over(path, new.key_id) is None:
        raise StorageError(f"{waiting} is gone, and the database is sealed with it: put it back as {path}")
    return Rotated(old=old.key_id, new=new.key_id, resealed=resealed, kept=path.with_name(f"{path.name}.{old.key_id}"))


class _Rotate(Operation[int]):
    """Seal everything anew that may change, and say that the new key counts."""

    def __init__(self, old: Cipher, key: bytes, new: Cipher) -> None:
        self._old = old
        self._key = key
        self._new = new

    def run(self, tx: Transaction) -> int:
        rows = tx.all(_STORED, {})
        for stem, key, value in rows:
            purpose = f"plugin_store:{stem}:{key}"
            tx.run(_RESEAL, {"stem_": stem, "key_": key, "value_": self._again(bytes(value), purpose)})
        last = 0
        for n, key_id, sealed in tx.all(_RETIRED, {}):
            tx.run(_RESEAL_KEY, {"n_": n, "sealed_": self._again(bytes(sealed), retired_purpose(key_id))})
            last = n
        retired = self._new.seal(self._key, retired_purpose(self._old.key_id))
        tx.run(_RETIRE, {"n": last + 1, "key_id": self._old.key_id, "sealed": retired})
        check: dict[str, Any] = check_of(self._new)
        counted = tx.run(_CHECK, {"old": self._old.key_id, "key_id_": check["key_id"], "sealed_": check["sealed"]})
        if counted != 1:
            raise StorageError(f"the database is not sealed with {self._old.key_id} any more: start again")
        return len(rows)

    def _again(self, sealed: bytes, purpose: str) -> bytes:
        return self._new.seal(self._old.open(sealed, purpose), purpose)
