"""L402 credentials: a macaroon that names an account, and the preimage of the invoice that it came with.

Sources: L402 specification (Lightning Labs), "Authenticate" and "Identifier, version 0"; libmacaroons' binary format,
version 2. The macaroon names the account by the hash of the agent's token: with the token, its credentials are revoked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import NamedTuple

_VERSION = b"\x00\x00"
_HASH = 32
_ID_BYTES = len(_VERSION) + 2 * _HASH
_FIXED = re.compile(rb"\x02\x02" + bytes([_ID_BYTES]) + rb"(.{66})\x00\x00\x06\x20(.{32})\Z", re.DOTALL)
"""version 2; the identifier; the end of the head; no caveats; the signature"""
_GENERATOR = b"macaroons-key-generator"

SCHEMES = ("l402", "lsat")
"""the scheme of the header, in lower case, and what it was called before"""


class Paid(NamedTuple):
    """Whose credential it is, by the hash of its token, and the invoice whose preimage came with it."""

    token_hash: bytes
    payment_hash: str


class L402:
    """Makes and reads them with a key of arbstr's own, derived for `PURPOSE`."""

    PURPOSE = "accounts:l402"

    def __init__(self, key: bytes) -> None:
        self._key = key

    def macaroon(self, token_hash: bytes, payment_hash: str) -> str:
        """The macaroon of whoever has this token, for an invoice; base64."""
        identifier = _VERSION + bytes.fromhex(payment_hash) + token_hash
        made = b"\x02\x02" + bytes([_ID_BYTES]) + identifier + b"\x00\x00\x06\x20" + self._signature(identifier)
        return base64.b64encode(made).decode()

    def read(self, credential: str) -> Paid | None:
        """What `MACAROON:PREIMAGE` says; None where it is not one of ours, or the invoice was not paid."""
        macaroon, _, preimage = credential.strip().partition(":")
        try:
            whole = base64.b64decode(macaroon.encode("ascii"), validate=True)
            secret = bytes.fromhex(preimage)
        except (ValueError, binascii.Error):
            return None
        found = _FIXED.match(whole)
        if found is None:
            return None
        identifier, signature = found[1], found[2]
        ours = hmac.compare_digest(signature, self._signature(identifier))
        payment_hash = identifier[2 : 2 + _HASH]
        paid = hmac.compare_digest(hashlib.sha256(secret).digest(), payment_hash)
        if not (ours and paid and identifier[:2] == _VERSION):
            return None
        return Paid(identifier[2 + _HASH :], payment_hash.hex())

    def _signature(self, identifier: bytes) -> bytes:
        root = hmac.digest(self._key, identifier[2 + _HASH :], "sha256")
        return hmac.digest(hmac.digest(_GENERATOR, root, "sha256"), identifier, "sha256")
