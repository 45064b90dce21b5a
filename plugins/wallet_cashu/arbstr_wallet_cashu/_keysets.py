"""Owns keysets (NUT-01, NUT-02): what a mint signs with, whether their ids are true, what their coins cost to spend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from arbstr_wallet_cashu._curve import NotOnCurve, read_point

SAT = "sat"
_SHORT = 16
_MOST_PPK = 1_000_000


class BadKeyset(ValueError):
    """A keyset that is not what its id says, or that no wallet can use."""


class Keyset(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a mint by amount, in sat; `ppk` is what a coin costs to spend, in thousandths of a sat."""

    id: str
    mint: str
    keys: dict[int, str]
    ppk: int = 0
    active: bool = True
    expires: int | None = None

    def short(self) -> str:
        """The id as tokens carry it (NUT-00, "short keyset id")."""
        return self.id[:_SHORT]


def id_v1(keys: Mapping[int, str]) -> str:
    """The id of version 00: of the keys alone."""
    joined = b"".join(bytes.fromhex(keys[amount]) for amount in sorted(keys))
    return "00" + hashlib.sha256(joined).hexdigest()[:14]


def id_v2(keys: Mapping[int, str], unit: str, ppk: int, expires: int | None) -> str:
    """The id of version 01: of the keys, the unit, the fee and the expiry (None: none)."""
    text = ",".join(f"{amount}:{keys[amount].lower()}" for amount in sorted(keys)) + f"|unit:{unit}"
    if ppk:
        text += f"|input_fee_ppk:{ppk}"
    if expires is not None:
        text += f"|final_expiry:{expires}"
    return "01" + hashlib.sha256(text.encode()).hexdigest()


def checked(keyset: Keyset) -> Keyset:
    """`keyset`, if its keys are points, its fee is one, and its id is derived from it. Raises BadKeyset."""
    if not keyset.keys:
        raise BadKeyset(f"the keyset {keyset.id} has no keys")
    for amount, key in keyset.keys.items():
        if amount < 1 or amount & (amount - 1):
            raise BadKeyset(f"the keyset {keyset.id} has a key for {amount}, which is no power of two")
        try:
            read_point(key)
        except NotOnCurve as bad:
            raise BadKeyset(f"the keyset {keyset.id}, key {amount}: {bad}") from None
    if not 0 <= keyset.ppk <= _MOST_PPK:
        raise BadKeyset(f"the keyset {keyset.id} takes a fee of {keyset.ppk} ppk")
    derived = _derived(keyset)
    if keyset.id not in derived:
        raise BadKeyset(f"the keyset {keyset.id} is not what its id says: its keys make {derived[0]}")
    return keyset


def _derived(keyset: Keyset) -> list[str]:
    """What the id can be. Nutshell, when it rotates, writes an expiry of 0 into it where there is none."""
    if keyset.id[:2] == "00":
        return [id_v1(keyset.keys)]
    expires = {keyset.expires, keyset.expires or None}
    return [id_v2(keyset.keys, SAT, keyset.ppk, each) for each in expires]


def fee(ppks: Iterable[int]) -> int:
    """What spending these coins together costs, in sat: the sum of their fees, rounded up once (NUT-02)."""
    return -(-sum(ppks) // 1000)


def full_id(given: str, known: Iterable[str]) -> str | None:
    """The one known id that `given` is or shortens, None where there is none. Raises BadKeyset where it is not one."""
    ids = set(known)
    if given in ids:
        return given
    found = sorted(each for each in ids if len(given) == _SHORT and each.startswith(given))
    if len(found) > 1:
        raise BadKeyset(f"the keyset id {given} stands for more than one keyset; ask for a token with whole ids")
    return found[0] if found else None
