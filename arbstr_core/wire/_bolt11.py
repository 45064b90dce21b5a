"""Reads Lightning invoices: what one asks for, of whom, and until when.

Source: BOLT 11. The signature is not checked, which only whoever pays can do; the checksum is, so a changed letter is
noticed. Nothing here asks anybody anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from arbstr_core.types import MAX_MSAT, Msat, Network

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {letter: value for value, letter in enumerate(_LETTERS)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_PREFIX = re.compile(r"ln(?P<chain>bcrt|bc|tbs|tb)(?:(?P<number>[1-9]\d{0,18})(?P<scale>[munp]?))?\Z")
_PICO_BTC = {"": 10**12, "m": 10**9, "u": 10**6, "n": 10**3, "p": 1}
_PICO_PER_MSAT = 10
_NETWORKS = {"bc": Network.MAINNET, "tb": Network.TESTNET, "tbs": Network.SIGNET, "bcrt": Network.REGTEST}
_MOST_LETTERS = 7_089  # what fits the largest QR code, and far more than any wallet makes
_TIMESTAMP, _CHECKSUM, _SIGNATURE = 7, 6, 104
_DEFAULT_EXPIRY_S = 3600
_MOST_EXPIRY_S = 100 * 365 * 86_400
_HASH, _DESCRIPTION, _PAYEE, _DESCRIPTION_HASH, _EXPIRY = 1, 13, 19, 23, 6


class Bolt11(msgspec.Struct, frozen=True, kw_only=True):
    """What an invoice says. `amount_msat` is None where it names none. Hashes and the node's key are hex; times are
    Unix milliseconds."""

    network: Network
    payment_hash: str
    amount_msat: Msat | None
    made_ms: int
    expires_ms: int
    description: str = ""
    description_hash: str = ""
    payee: str = ""


def read_bolt11(text: str) -> Bolt11:
    """What the invoice `text` says; upper case and a leading `lightning:` are taken too.

    Raises ValueError with a sentence where it is none, or not whole.
    """
    invoice = text.strip()
    if invoice[:10].lower() == "lightning:":
        invoice = invoice[10:]
    prefix, words = _words(invoice)
    found = _PREFIX.match(prefix)
    if found is None:
        raise ValueError(f"{prefix[:16]!r} does not begin a Lightning invoice: lnbc, lntb, lntbs or lnbcrt does")
    if len(words) < _TIMESTAMP + _SIGNATURE:
        raise ValueError("the invoice is cut short")
    made_s = _number(words[:_TIMESTAMP])
    fields = dict(_fields(words[_TIMESTAMP:-_SIGNATURE]))
    if _HASH not in fields:
        raise ValueError("the invoice has no payment hash")
    expiry_s = min(_number(fields[_EXPIRY]), _MOST_EXPIRY_S) if _EXPIRY in fields else _DEFAULT_EXPIRY_S
    return Bolt11(
        network=_NETWORKS[found["chain"]],
        payment_hash=_bytes(fields[_HASH]).hex(),
        amount_msat=None if found["number"] is None else _msat(int(found["number"]), found["scale"]),
        made_ms=made_s * 1000,
        expires_ms=(made_s + expiry_s) * 1000,
        description=_bytes(fields.get(_DESCRIPTION, ())).decode(errors="replace"),
        description_hash=_bytes(fields.get(_DESCRIPTION_HASH, ())).hex(),
        payee=_bytes(fields.get(_PAYEE, ())).hex(),
    )


def read_bech32(text: str) -> tuple[str, bytes]:
    """(prefix, bytes) of a bech32 text of any length, such as an LNURL (LUD-01); ValueError where it is none."""
    prefix, words = _words(text)
    return prefix, _bytes(words)


def _words(text: str) -> tuple[str, list[int]]:
    """The part before the last `1`, and the 5-bit words after it, their checksum checked and taken off."""
    if len(text) > _MOST_LETTERS:
        raise ValueError(f"{len(text)} letters are more than any invoice has")
    if text.lower() != text and text.upper() != text:
        raise ValueError("upper and lower case are mixed")
    prefix, one, data = text.lower().rpartition("1")
    if not one or not prefix.isascii() or len(data) < _CHECKSUM or any(letter not in _VALUES for letter in data):
        raise ValueError(f"{text[:16]!r} is not in the letters of bech32")
    words = [_VALUES[letter] for letter in data]
    high = [ord(letter) >> 5 for letter in prefix]
    low = [ord(letter) & 31 for letter in prefix]
    if _polymod([*high, 0, *low, *words]) != 1:
        raise ValueError("the checksum does not fit: a letter is missing or changed")
    return prefix, words[:-_CHECKSUM]


def _polymod(words: Sequence[int]) -> int:
    check = 1
    for word in words:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ word
        for bit, value in enumerate(_GENERATOR):
            check ^= value if top >> bit & 1 else 0
    return check


def _fields(words: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    """(type, words) of each tagged field, the last of a kind first, so that the first one counts; those whose length
    is not what it must be are skipped, as BOLT 11 wants."""
    found, at = [], 0
    while at + 3 <= len(words):
        kind, length = words[at], words[at + 1] * 32 + words[at + 2]
        body = words[at + 3 : at + 3 + length]
        if len(body) < length:
            raise ValueError("a field of the invoice is cut short")
        if length == {_HASH: 52, _DESCRIPTION_HASH: 52, _PAYEE: 53}.get(kind, length):
            found.append((kind, body))
        at += 3 + length
    return reversed(found)


def _msat(number: int, scale: str) -> Msat:
    msat, rest = divmod(number * _PICO_BTC[scale], _PICO_PER_MSAT)
    if rest:
        raise ValueError("the invoice asks for a fraction of a msat")
    if msat > MAX_MSAT:
        raise ValueError("the invoice asks for more than all bitcoin there is")
    return Msat(msat)


def _number(words: Sequence[int]) -> int:
    value = 0
    for word in words:
        value = value * 32 + word
    return value


def _bytes(words: Sequence[int]) -> bytes:
    """Whole bytes of 5-bit words; the bits left over are padding."""
    bits = len(words) * 5
    return (_number(words) >> bits % 8).to_bytes(bits // 8, "big")
