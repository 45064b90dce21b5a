"""The audit key: what it says of the ledger can be checked by anyone who has its public half (Ed25519, RFC 8032)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from arbstr_core.storage._durable import make_secret
from arbstr_core.types import StorageError

_BYTES = 32
_ID_CHARS = 16
_REMEDY = "copy audit.key from the data_dir of another process on it, or from where you keep it"


class Signer:
    """Signs with the key in a file that is outside of the database, and never part of a backup."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        """Names the public key: 16 hex digits of its SHA-256."""
        return key_id_of(self.public)

    def sign(self, body: bytes) -> bytes:
        """The signature of `body`, 64 bytes."""
        return self._key.sign(body)


def key_id_of(public: bytes) -> str:
    """The name of a public key."""
    return hashlib.sha256(public).hexdigest()[:_ID_CHARS]


def is_signed(public: bytes, body: bytes, signature: bytes) -> bool:
    """True where `signature` is that of `body`, by the owner of the public key (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, body)
    except (InvalidSignature, ValueError):
        return False
    return True


def open_signer(path: Path, signing: str | None = None) -> Signer:
    """The signer of the key in `path`, made (mode 0600) where there is none. Raises StorageError.

    `signing` is the id of the key that signs for the database already: then none is made, and it must be that one.
    """
    seed = _read(path)
    if seed is None:
        if signing is not None:
            raise StorageError(f"{path} is missing, and this database is signed with audit key {signing}: {_REMEDY}")
        seed = _make(path)
    signer = Signer(seed)
    if signing not in (None, signer.key_id):
        raise StorageError(
            f"{path} is audit key {signer.key_id}, and this database is signed with {signing}: {_REMEDY}"
        )
    return signer


def wrong_audit_key(connection: sa.Connection | None, path: Path) -> str | None:
    """What is wrong with the key in `path` for the database behind `connection` (None: there is none yet), and what to
    do; None where nothing is."""
    try:
        seed = _read(path)
    except StorageError as unreadable:
        return str(unreadable)
    public = None
    if connection is not None and sa.inspect(connection).has_table("audit_key"):
        public = connection.exec_driver_sql("SELECT public_key FROM audit_key ORDER BY n DESC LIMIT 1").scalar()
    if public is None:
        return None
    signing = key_id_of(bytes(public))
    if seed is None:
        return f"{path} is missing, and this database is signed with audit key {signing}: {_REMEDY}"
    mine = Signer(seed).key_id
    same = mine == signing
    return None if same else f"{path} is audit key {mine}, and this database is signed with {signing}: {_REMEDY}"


def _read(path: Path) -> bytes | None:
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"{path} cannot be read ({error}): make it readable for the user that runs arbstr"
        ) from error
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != _BYTES:
        raise StorageError(f"{path} does not hold an audit key of {_BYTES} bytes in hex: put the right file back")
    return seed


def _make(path: Path) -> bytes:
    seed = os.urandom(_BYTES)
    make_secret(path, seed.hex() + "\n")
    return seed
