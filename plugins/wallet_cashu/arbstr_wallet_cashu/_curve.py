"""Owns the curve: blinding and unblinding (NUT-00), proofs of the mint's honesty (NUT-12), signatures (BIP-340).

The only file that knows the library underneath. Points are compressed and in hex, as on the wire; scalars are 32 bytes.
"""

from __future__ import annotations

import hashlib

from coincurve import PrivateKey, PublicKey, PublicKeyXOnly

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""of secp256k1's group"""

_DOMAIN = b"Secp256k1_HashToCurve_Cashu_"
_POINT_HEX = 66
_SCALAR_BYTES = 32


class NotOnCurve(ValueError):
    """Text that is no point, or a scalar that is none."""


def read_point(text: str) -> PublicKey:
    """A compressed point; raises NotOnCurve."""
    if len(text) != _POINT_HEX:
        raise NotOnCurve(f"{text[:80]!r} is no compressed point")
    try:
        return PublicKey(bytes.fromhex(text))
    except ValueError:
        raise NotOnCurve(f"{text!r} is no point of secp256k1") from None


def hash_to_curve(message: bytes) -> PublicKey:
    """The point Y of a secret (NUT-00)."""
    digest = hashlib.sha256(_DOMAIN + message).digest()
    for counter in range(1 << 16):
        try:
            return PublicKey(b"\x02" + hashlib.sha256(digest + counter.to_bytes(4, "little")).digest())
        except ValueError:
            continue
    raise AssertionError("half of all numbers are points: this does not happen")


def y_of(secret: str) -> str:
    """Y of a secret, hex: what its coin is known by, and what NUT-07 asks for."""
    return hash_to_curve(secret.encode()).format().hex()


def blind(secret: str, r: bytes) -> str:
    """B_ = Y + rG, hex."""
    return PublicKey.combine_keys([hash_to_curve(secret.encode()), PrivateKey(r).public_key]).format().hex()


def unblind(blinded: str, r: bytes, mint_key: str) -> str:
    """C = C_ - rK, hex. Raises NotOnCurve."""
    return _sum(read_point(blinded), _negative(read_point(mint_key).multiply(r))).format().hex()


def reblind(signature: str, r: bytes, mint_key: str) -> str:
    """C_ = C + rK, hex: what the mint signed, from what came of it (NUT-12). Raises NotOnCurve."""
    return _sum(read_point(signature), read_point(mint_key).multiply(r)).format().hex()


def is_honest(blinded: str, signed: str, e: str, s: str, mint_key: str) -> bool:
    """Whether the mint proves that it signed `blinded` with the key it published (NUT-12)."""
    try:
        mint, point, signature = read_point(mint_key), read_point(blinded), read_point(signed)
        challenge, answer = read_scalar(e), read_scalar(s)
        first = _sum(PrivateKey(answer).public_key, _negative(mint.multiply(challenge)))
        second = _sum(point.multiply(answer), _negative(signature.multiply(challenge)))
    except NotOnCurve:
        return False
    return hash_e(first, second, mint, signature) == challenge


def hash_e(*points: PublicKey) -> bytes:
    """The challenge of NUT-12: SHA-256 over the points' uncompressed hex."""
    return hashlib.sha256("".join(point.format(compressed=False).hex() for point in points).encode()).digest()


def public_of(secret: bytes) -> str:
    """The public key of a private one, hex."""
    return PrivateKey(secret).public_key.format().hex()


def sign(secret: bytes, message: str) -> str:
    """A BIP-340 signature of SHA-256 of `message`, hex."""
    return PrivateKey(secret).sign_schnorr(hashlib.sha256(message.encode()).digest()).hex()


def is_signed(public: str, message: str, signature: str) -> bool:
    """Whether `signature` is one of `message` by `public`."""
    try:
        key = PublicKeyXOnly(bytes.fromhex(public)[1:])
        return key.verify(bytes.fromhex(signature), hashlib.sha256(message.encode()).digest())
    except ValueError:
        return False


def scalar_from(number: int) -> bytes:
    """32 bytes of a number below the order. Raises NotOnCurve for 0."""
    if not 0 < number < ORDER:
        raise NotOnCurve("0 and numbers from the order on are no private keys")
    return number.to_bytes(32, "big")


def read_scalar(text: str) -> bytes:
    """32 bytes in hex; raises NotOnCurve."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != _SCALAR_BYTES:
        raise NotOnCurve(f"{text[:80]!r} is no scalar")
    return scalar_from(int.from_bytes(raw, "big"))


def _negative(point: PublicKey) -> PublicKey:
    raw = bytearray(point.format())
    raw[0] ^= 1
    return PublicKey(bytes(raw))


def _sum(*points: PublicKey) -> PublicKey:
    try:
        return PublicKey.combine_keys(list(points))
    except ValueError:
        raise NotOnCurve("the sum is the point at infinity") from None
