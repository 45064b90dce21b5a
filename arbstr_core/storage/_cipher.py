"""The master key: what is secret at rest is sealed with it (AES-256-GCM), each value bound to its purpose."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from arbstr_core.storage._database import Database
from arbstr_core.storage._durable import make_secret, sync
from arbstr_core.storage._statements import Statement
from arbstr_core.storage._tables import CIPHER_CHECK, RETIRED_KEY
from arbstr_core.storage._transaction import Operation, Transaction
from arbstr_core.types import StorageError

_KEY_BYTES = 32
_ID_BYTES = 8
_NONCE_BYTES = 12
_PURPOSE = "arbstr:check"
_CHECK = b"arbstr"
_INSERT = Statement(sa.insert(CIPHER_CHECK).values(key_id=sa.bindparam("key_id"), sealed=sa.bindparam("sealed")))


class Cipher:
    """Seals and opens values. A sealed value is: key id (8 bytes), nonce (12 bytes), ciphertext with its tag.

    `retired` are the keys before this one, the oldest first: what they sealed is opened, and nothing sealed with them.
    """

    def __init__(self, key: bytes, retired: Sequence[bytes] = ()) -> None:
        self._id = _id_of(key)
        self._aead = AESGCM(key)
        self._known = {_id_of(each): AESGCM(each) for each in (*retired, key)}
        # What is known by its digest (a body that waits for an operator, a retry) is known after a rotation, too.
        self._root = hmac.digest((*retired, key)[0], b"arbstr keys for digests", "sha256")

    @property
    def key_id(self) -> str:
        """Names the key without giving it away."""
        return self._id.hex()

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for digests (HMAC) of one purpose; it tells nothing of the master key."""
        return hmac.digest(self._root, purpose.encode(), "sha256")

    def seal(self, value: bytes, purpose: str) -> bytes:
        """`value`, readable only with this key and for this purpose."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._id + nonce + self._aead.encrypt(nonce, value, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed for `purpose`; raises StorageError for another key, another purpose, or changed bytes."""
        aead = self._known.get(sealed[:_ID_BYTES])
        if aead is None:
            raise StorageError(f"a value was sealed with master key {sealed[:_ID_BYTES].hex()}, not {self.key_id}")
        nonce, body = sealed[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], sealed[_ID_BYTES + _NONCE_BYTES :]
        try:
            return aead.decrypt(nonce, body, purpose.encode())
        except InvalidTag:
            raise StorageError(f"the sealed value of {purpose!r} was changed: restore a backup") from None


async def open_cipher(db: Database, path: Path, *, create: bool = True) -> Cipher:
    """The cipher of the key in `path`, checked against the database.

    A missing file is made (mode 0600) with `create`, unless the database already holds values sealed with a key. A
    rotation that was killed after it counted is brought to its end.
    """
    check, retired = await db.read(_written)
    key = read_key(path)
    if check is not None and (key is None or _id_of(key).hex() != check[0]):
        key = take_over(path, check[0]) or key
    if key is None:
        if check is not None:
            raise StorageError(
                f"{path} is missing and {db.name} is sealed with master key {check[0]}: put the file back"
            )
        if not create:
            raise StorageError(f"{path} is missing: run arbstr init")
        key = make_key(path)
    cipher = Cipher(key)
    if check is None:
        await db.submit(_Adopt(cipher))
    elif check[0] != cipher.key_id or cipher.open(check[1], _PURPOSE) != _CHECK:
        raise StorageError(
            f"{path} is not the master key of {db.name} (it is {cipher.key_id}, not {check[0]}): put that back"
        )
    return Cipher(key, [cipher.open(sealed, retired_purpose(id)) for id, sealed in retired]) if retired else cipher


def _written(connection: sa.Connection) -> tuple[Any, Sequence[Any]]:
    check = connection.execute(sa.select(CIPHER_CHECK)).first()
    old = sa.select(RETIRED_KEY.c.key_id, RETIRED_KEY.c.sealed).order_by(RETIRED_KEY.c.n)
    return check, connection.execute(old).all()


def retired_purpose(key_id: str) -> str:
    """What a retired key is sealed for."""
    return f"arbstr:retired:{key_id}"


def check_of(cipher: Cipher) -> dict[str, Any]:
    """The row by which the key of `cipher` is known to be the right one."""
    return {"key_id": cipher.key_id, "sealed": cipher.seal(_CHECK, _PURPOSE)}


def take_over(path: Path, key_id: str) -> bytes | None:
    """Put the new key of a rotation in the place of the old one, which is kept beside it under the name of its id;
    the new key, or None where none of that id waits. Killed in between, it goes on where it was."""
    waiting = path.with_name(f"{path.name}.new")
    new, old = read_key(waiting), read_key(path)
    if new is None or _id_of(new).hex() != key_id:
        return None
    try:
        if old is not None:
            kept = path.with_name(f"{path.name}.{_id_of(old).hex()}")
            with suppress(FileExistsError):
                os.link(path, kept)
        os.replace(waiting, path)
        sync(path.parent)
    except OSError as error:
        raise StorageError(f"{waiting} cannot be made {path.name} ({error.strerror}): check its folder") from error
    return new


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"arbstr key id" + key).digest()[:_ID_BYTES]


def wrong_master_key(connection: sa.Connection | None, path: Path) -> str | None:
    """What is wrong with the key in `path` for the database behind `connection` (None: there is none yet), and what to
    do; None where nothing is."""
    try:
        key = read_key(path)
    except StorageError as unreadable:
        return str(unreadable)
    check = None
    if connection is not None and sa.inspect(connection).has_table(CIPHER_CHECK.name):
        check = connection.execute(sa.select(CIPHER_CHECK)).first()
    if check is None:
        return None
    if key is None:
        return f"{path} is missing and the database is sealed with master key {check[0]}: put the file back"
    mine, waiting = Cipher(key).key_id, read_key(path.with_name(f"{path.name}.new"))
    if mine == check[0] or (waiting is not None and _id_of(waiting).hex() == check[0]):
        return None  # or the next start ends a rotation
    return f"{path} is master key {mine}, and the database is sealed with {check[0]}: put that back"


def read_key(path: Path) -> bytes | None:
    """The key in a file; None where there is no file. Raises StorageError."""
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"{path} cannot be read ({error}): make it readable for the user that runs arbstr"
        ) from error
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise StorageError(f"{path} does not hold a master key of {_KEY_BYTES} bytes in hex: put the right file back")
    return key


def make_key(path: Path) -> bytes:
    """A new key, in a file of its own. Raises StorageError where there is one already."""
    key = os.urandom(_KEY_BYTES)
    make_secret(path, key.hex() + "\n")
    return key


class _Adopt(Operation[None]):
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def run(self, tx: Transaction) -> None:
        tx.run(_INSERT, check_of(self._cipher))
