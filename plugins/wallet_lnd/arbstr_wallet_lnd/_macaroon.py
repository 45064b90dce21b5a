"""Reads what a macaroon says of itself: what it allows, and until when. Only LND can tell whether it is genuine.

Source: the binary format of libmacaroons, version 2, which LND writes; inside its identifier, after one byte of
version, the permissions as LND bakes them. Reading it asks nobody and tries nothing, so a macaroon that could do harm
is found without doing any.
"""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import msgspec
from google.protobuf.message import DecodeError

from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._calls import NEEDED

_VERSION, _BAKERY = 2, 3
_END, _LOCATION, _IDENTIFIER, _SIGNATURE = 0, 1, 2, 6
_TIME_BEFORE = "time-before "
_URI = "uri"


class Macaroon(msgspec.Struct, frozen=True, kw_only=True):
    """A macaroon: its permissions as (entity, action), and the caveats that narrow it. Holds nothing secret."""

    permissions: frozenset[tuple[str, str]]
    caveats: tuple[str, ...] = ()

    def lacking(self) -> tuple[str, ...]:
        """The methods this rail calls and this macaroon does not allow."""
        return tuple(
            call.path
            for call in NEEDED
            if (_URI, call.path) not in self.permissions and call.permission not in self.permissions
        )

    def excess(self) -> tuple[str, ...]:
        """What it allows beyond the methods this rail calls: whole entities, and other methods."""
        needed = {(_URI, call.path) for call in NEEDED}
        return tuple(sorted(_written(*each) for each in self.permissions - needed))

    def expires_ms(self) -> int | None:
        """When the earliest of its caveats ends it, Unix milliseconds; None where none does."""
        ends = [_instant(each.removeprefix(_TIME_BEFORE)) for each in self.caveats if each.startswith(_TIME_BEFORE)]
        known = [end for end in ends if end is not None]
        return min(known) if known else None


def binary_macaroon(given: bytes) -> bytes:
    """The macaroon in its own bytes: as in LND's file, or from hex or base64 as people put it in the environment.

    Raises ValueError where it is none.
    """
    if given[:1] == bytes([_VERSION]):
        return given
    text = given.strip()
    padded = text + b"=" * (-len(text) % 4)
    readers: tuple[Callable[[], bytes], ...] = (
        lambda: binascii.unhexlify(text),
        lambda: base64.b64decode(padded, validate=True),
        lambda: base64.b64decode(padded, altchars=b"-_", validate=True),
    )
    for read in readers:
        with suppress(ValueError):
            found = read()
            if found[:1] == bytes([_VERSION]):
                return found
    raise ValueError("it is no macaroon: neither LND's file, nor that in hex or base64")


def read_macaroon(binary: bytes) -> Macaroon:
    """What `binary` allows; raises ValueError where it is not a macaroon that LND baked."""
    if binary[:1] != bytes([_VERSION]):
        raise ValueError("it is no macaroon of version 2, as LND bakes them")
    packets = _packets(binary[1:])
    identifier = dict(list(_section(packets))).get(_IDENTIFIER, b"")
    caveats = []
    while section := list(_section(packets)):
        caveats += [data.decode(errors="replace") for kind, data in section if kind == _IDENTIFIER]
    if [kind for kind, _ in packets] != [_SIGNATURE]:
        raise ValueError("the macaroon is cut short")
    return Macaroon(permissions=frozenset(_permissions(identifier)), caveats=tuple(caveats))


def _permissions(identifier: bytes) -> Iterator[tuple[str, str]]:
    if identifier[:1] != bytes([_BAKERY]):
        raise ValueError("the macaroon does not say what it allows, as LND's do")
    try:
        said = pb.MacaroonId.FromString(identifier[1:])
    except DecodeError:
        raise ValueError("the macaroon does not say what it allows, as LND's do") from None
    for op in said.ops:
        for action in op.actions:
            yield op.entity, action


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of each packet; the end of a section has no content."""
    at = 0
    while at < len(data):
        kind, at = _varint(data, at)
        if kind == _END:
            yield kind, b""
            continue
        length, at = _varint(data, at)
        if at + length > len(data):
            raise ValueError("the macaroon is cut short")
        yield kind, data[at : at + length]
        at += length


def _section(packets: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    for kind, content in packets:
        if kind == _END:
            return
        yield kind, content


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("the macaroon is cut short")


def _written(entity: str, action: str) -> str:
    return f"{entity}:{action}"


def _instant(text: str) -> int | None:
    """An RFC 3339 time in Unix milliseconds; None where it is none, as LND will say more loudly."""
    try:
        at = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return round(at.timestamp() * 1000) if at.tzinfo else None
