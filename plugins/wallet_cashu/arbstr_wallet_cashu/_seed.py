"""Owns what follows from the seed: every secret and blinding factor (NUT-13), and the purse's own key.

Two namespaces, each with counters of its own. `purse` is NUT-13 as every wallet does it: the words restore these coins
anywhere. `issued` is NUT-13 over a seed made from the first: coins made to be given away, so that restoring a purse
does not take back what others were paid.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import json

import msgspec
from mnemonic import Mnemonic

from arbstr_wallet_cashu._curve import ORDER, public_of, scalar_from

_WORDS = Mnemonic("english")
_KDF = b"Cashu_KDF_HMAC_SHA256"
_HARD = 1 << 31
_PURPOSE = (129372 + _HARD, _HARD)


class Space(enum.StrEnum):
    """For whom a coin is made: to be kept, or to be given away."""

    PURSE = "purse"
    ISSUED = "issued"


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """Who can spend a coin (NUT-11): `key` alone, and from `until` on (Unix seconds, 0: never) `refund` as well."""

    key: str
    until: int = 0
    refund: str = ""


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, and the factor it is blinded with."""

    secret: str
    r: bytes


class BadWords(ValueError):
    """Text that is no BIP-39 phrase."""


def new_words() -> str:
    """Twelve words (BIP-39), 128 random bits."""
    return _WORDS.generate(128)


class Seed:
    """The seed of one purse. Raises BadWords where `words` are no BIP-39 phrase in English."""

    def __init__(self, words: str) -> None:
        phrase = " ".join(words.lower().split())
        if not _WORDS.check(phrase):
            raise BadWords("not 12 to 24 words of BIP-39 in English with the right last word; copy them again")
        purse = Mnemonic.to_seed(phrase)
        issued = hmac.digest(purse, b"arbstr: issued", "sha512")
        self._seeds = {Space.PURSE: purse, Space.ISSUED: issued}
        self._masters = {space: _master(seed) for space, seed in self._seeds.items()}
        self._key = scalar_from(int.from_bytes(hmac.digest(purse, b"arbstr: purse key", "sha256"), "big") % ORDER)
        self.identity = public_of(self._key)
        """The purse's public key, hex: what it is known by, and what tokens can be locked to."""

    @property
    def key(self) -> bytes:
        """The private key of `identity`."""
        return self._key

    def quote_key(self, label: str) -> bytes:
        """A private key for one mint quote (NUT-20)."""
        made = hmac.digest(self._seeds[Space.PURSE], b"arbstr: quote: " + label.encode(), "sha256")
        return scalar_from(int.from_bytes(made, "big") % ORDER)

    def derive(self, space: Space, keyset: str, counter: int, lock: Lock | None = None) -> Derived:
        """The secret and blinding factor number `counter` of a keyset. A locked coin has the secret as its nonce."""
        seed, master = self._seeds[space], self._masters[space]
        secret, r = _by_hmac(seed, keyset, counter) if keyset.startswith("01") else _by_bip32(master, keyset, counter)
        return Derived(secret=secret if lock is None else locked_secret(lock, secret), r=r)


def locked_secret(lock: Lock, nonce: str) -> str:
    """The secret of a coin that only `lock` can spend (NUT-10, NUT-11)."""
    tags = [["sigflag", "SIG_INPUTS"]]
    if lock.until:
        tags += [["locktime", str(lock.until)], ["refund", lock.refund]]
    return json.dumps(["P2PK", {"nonce": nonce, "data": lock.key, "tags": tags}], separators=(",", ":"))


def _by_hmac(seed: bytes, keyset: str, counter: int) -> tuple[str, bytes]:
    message = _KDF + bytes.fromhex(keyset) + counter.to_bytes(8, "big")
    r = int.from_bytes(hmac.digest(seed, message + b"\x01", "sha256"), "big") % ORDER
    return hmac.digest(seed, message + b"\x00", "sha256").hex(), scalar_from(r)


def _by_bip32(master: tuple[int, bytes], keyset: str, counter: int) -> tuple[str, bytes]:
    number = int.from_bytes(bytes.fromhex(keyset), "big") % (_HARD - 1)
    node = master
    for step in (*_PURPOSE, number + _HARD, counter + _HARD):
        node = _child(node, step)
    return scalar_from(_child(node, 0)[0]).hex(), scalar_from(_child(node, 1)[0])


def _master(seed: bytes) -> tuple[int, bytes]:
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    return int.from_bytes(digest[:32], "big"), digest[32:]


def _child(parent: tuple[int, bytes], index: int) -> tuple[int, bytes]:
    """A private child of BIP-32."""
    key, chain = parent
    raw = b"\0" + scalar_from(key) if index >= _HARD else bytes.fromhex(public_of(scalar_from(key)))
    digest = hmac.new(chain, raw + index.to_bytes(4, "big"), hashlib.sha512).digest()
    return (int.from_bytes(digest[:32], "big") + key) % ORDER, digest[32:]
