"""The master key: what is secret at rest is sealed with it (AES-256-GCM), each value bound to its purpose."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from arbstr_core.storage._database import Database
from arbstr_core.storage._durable import make_secret
from arbstr_core.storage._statements import Statement
from arbstr_core.storage._tables import CIPHER_CHECK
from arbstr_core.storage._transaction import Operation, Transaction
from arbstr_core.types import StorageError

_KEY_BYTES = 32
_ID_BYTES = 8
_NONCE_BYTES = 12
_PURPOSE = "arbstr:check"
_CHECK = b"arbstr"
_INSERT = Statement(sa.insert(CIPHER_CHECK).values(key_id=sa.bindparam("key_id"), sealed=sa.bindparam("sealed")))


class Cipher:
    """Seals and opens values. A sealed value is: key id (8 bytes), nonce (12 bytes), ciphertext with its tag."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._id = hashlib.sha256(b"arbstr key id" + key).digest()[:_ID_BYTES]
        self._root = hmac.digest(key, b"arbstr keys for digests", "sha256")

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
        if sealed[:_ID_BYTES] != self._id:
            raise StorageError(f"a value was sealed with master key {sealed[:_ID_BYTES].hex()}, not {self.key_id}")
        nonce, body = sealed[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], sealed[_ID_BYTES + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, body, purpose.encode())
        except InvalidTag:
            raise StorageError(f"the sealed value of {purpose!r} was changed: restore a backup") from None


async def open_cipher(db: Database, path: Path, *, create: bool = True) -> Cipher:
    """The cipher of the key in `path`, checked against the database.

    A missing file is made (mode 0600) with `create`, unless the database already holds values sealed with a key.
    """
    check = await db.read(lambda connection: connection.execute(sa.select(CIPHER_CHECK)).first())
    key = _read_key(path)
    if key is None:
        if check is not None:
            raise StorageError(
                f"{path} is missing and {db.name} is sealed with master key {check[0]}: put the file back"
            )
        if not create:
            raise StorageError(f"{path} is missing: run arbstr init")
        key = _make_key(path)
    cipher = Cipher(key)
    if check is None:
        await db.submit(_Adopt(cipher))
    elif check[0] != cipher.key_id or cipher.open(check[1], _PURPOSE) != _CHECK:
        raise StorageError(
            f"{path} is not the master key of {db.name} (it is {cipher.key_id}, not {check[0]}): put that back"
        )
    return cipher


def wrong_master_key(connection: sa.Connection | None, path: Path) -> str | None:
    """What is wrong with the key in `path` for the database behind `connection` (None: there is none yet), and what to
    do; None where nothing is."""
    try:
        key = _read_key(path)
    except StorageError as unreadable:
        return str(unreadable)
    check = None
    if connection is not None and sa.inspect(connection).has_table(CIPHER_CHECK.name):
        check = connection.execute(sa.select(CIPHER_CHECK)).first()
    if check is None:
        return None
    if key is None:
        return f"{path} is missing and the database is sealed with master key {check[0]}: put the file back"
    mine = Cipher(key).key_id
    return (
        None
        if mine == check[0]
        else f"{path} is master key {mine}, and the database is sealed with {check[0]}: put that back"
    )


def _read_key(path: Path) -> bytes | None:
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


def _make_key(path: Path) -> bytes:
    key = os.urandom(_KEY_BYTES)
    make_secret(path, key.hex() + "\n")
    return key


class _Adopt(Operation[None]):
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def run(self, tx: Transaction) -> None:
        tx.run(_INSERT, {"key_id": self._cipher.key_id, "sealed": self._cipher.seal(_CHECK, _PURPOSE)})
