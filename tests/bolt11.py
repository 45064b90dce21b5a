"""Writes Lightning invoices of any shape, good and bad ones, with a signature of zeros: BOLT 11 backwards."""

from __future__ import annotations

from collections.abc import Iterable

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
MADE_S = 1_750_000_000


def invoice(
    prefix: str,
    *,
    payment_hash: str | None = "01" * 32,
    description: str | None = "kit",
    description_hash: str | None = None,
    payee: str | None = None,
    expiry: int | None = None,
    made_s: int = MADE_S,
    extra: Iterable[tuple[int, int]] = (),
) -> str:
    """An invoice that begins with `prefix` (`lnbc10u`); `extra` are (type, length) of more fields, all zeros."""
    words = _of_number(made_s, 7)
    for kind, length in extra:
        words += [kind, length // 32, length % 32, *[0] * length]
    for kind, data in ((1, payment_hash), (23, description_hash), (19, payee)):
        words += [] if data is None else _field(kind, _of_bytes(bytes.fromhex(data)))
    words += [] if description is None else _field(13, _of_bytes(description.encode()))
    words += [] if expiry is None else _field(6, _of_number(expiry, 13))
    return _text(prefix, words + [0] * 104)


def bech32(prefix: str, data: bytes) -> str:
    """Bytes as bech32, of any length."""
    return _text(prefix, _of_bytes(data))


def _field(kind: int, words: list[int]) -> list[int]:
    return [kind, len(words) // 32, len(words) % 32, *words]


def _of_number(number: int, length: int) -> list[int]:
    return [number >> 5 * (length - 1 - at) & 31 for at in range(length)]


def _of_bytes(data: bytes) -> list[int]:
    length = -(-len(data) * 8 // 5)
    return _of_number(int.from_bytes(data, "big") << (length * 5 - len(data) * 8), length)


def _text(prefix: str, words: list[int]) -> str:
    high, low = [ord(letter) >> 5 for letter in prefix], [ord(letter) & 31 for letter in prefix]
    check = 1
    for word in [*high, 0, *low, *words, *[0] * 6]:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ word
        for bit, value in enumerate(_GENERATOR):
            check ^= value if top >> bit & 1 else 0
    tail = [(check ^ 1) >> 5 * (5 - at) & 31 for at in range(6)]
    return prefix + "1" + "".join(_LETTERS[word] for word in [*words, *tail])
