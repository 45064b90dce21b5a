"""Bakes macaroons as LND does, and checks them as LND does: the chain of HMACs, the permissions, the caveats.

Source: the macaroon paper's construction in libmacaroons' binary format, version 2; LND's identifier inside it.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from arbstr_wallet_lnd import _lnd_pb2 as pb

PERMISSIONS: Mapping[str, tuple[str, str]] = {
    "/lnrpc.Lightning/GetInfo": ("info", "read"),
    "/lnrpc.Lightning/ChannelBalance": ("offchain", "read"),
    "/lnrpc.Lightning/PendingChannels": ("offchain", "read"),
    "/lnrpc.Lightning/DecodePayReq": ("offchain", "read"),
    "/lnrpc.Lightning/AddInvoice": ("invoices", "write"),
    "/lnrpc.Lightning/LookupInvoice": ("invoices", "read"),
    "/lnrpc.Lightning/SubscribeInvoices": ("invoices", "read"),
    "/lnrpc.Lightning/ListPayments": ("offchain", "read"),
    "/invoicesrpc.Invoices/CancelInvoice": ("invoices", "write"),
    "/routerrpc.Router/SendPaymentV2": ("offchain", "write"),
    "/routerrpc.Router/TrackPaymentV2": ("offchain", "read"),
}
"""What LND asks for, by method; it asks for nothing to say its state."""

_ENTITIES = ("address", "info", "invoices", "macaroon", "message", "offchain", "onchain", "peers", "signer")
ADMIN = tuple((entity, action) for entity in _ENTITIES for action in ("read", "write"))
"""What LND's admin.macaroon allows."""


class Refused(Exception):
    """The macaroon does not allow it; the text is what LND says."""


def bake(root_key: bytes, permissions: Iterable[tuple[str, str]], caveats: Iterable[str] = ()) -> bytes:
    """A macaroon for `permissions`, such as ("uri", "/lnrpc.Lightning/GetInfo")."""
    said = pb.MacaroonId(nonce=hashlib.sha256(root_key).digest()[:16], storage_id=b"0")
    for entity, action in permissions:
        said.ops.add(entity=entity, actions=[action])
    identifier = b"\x03" + said.SerializeToString()
    out = b"\x02" + _packet(1, b"lnd") + _packet(2, identifier) + b"\x00"
    signature = _mac(_derived(root_key), identifier)
    for caveat in caveats:
        out += _packet(2, caveat.encode()) + b"\x00"
        signature = _mac(signature, caveat.encode())
    return out + b"\x00" + _packet(6, signature)


def check(binary: bytes, root_key: bytes, path: str, now_ms: int) -> None:
    """Raises Refused where `binary` does not allow `path`."""
    try:
        identifier, caveats, signature = _taken_apart(binary)
        ops = pb.MacaroonId.FromString(identifier[1:]).ops
    except (IndexError, ValueError) as bad:
        raise Refused(f"cannot determine data format of binary-encoded macaroon: {bad}") from None
    expected = _mac(_derived(root_key), identifier)
    for caveat in caveats:
        expected = _mac(expected, caveat)
    if not hmac.compare_digest(expected, signature):
        raise Refused("verification failed: signature mismatch after caveat verification")
    for caveat in caveats:
        condition, _, argument = caveat.decode().partition(" ")
        if condition != "time-before" or datetime.datetime.fromisoformat(argument).timestamp() * 1000 <= now_ms:
            raise Refused(f'caveat "{caveat.decode()}" not satisfied: macaroon has expired')
    granted = {(op.entity, action) for op in ops for action in op.actions}
    if not granted & {PERMISSIONS[path], ("uri", path)}:
        raise Refused("permission denied")


def _taken_apart(binary: bytes) -> tuple[bytes, list[bytes], bytes]:
    sections: list[list[tuple[int, bytes]]] = [[]]
    at = 1
    while at < len(binary):
        kind, at = binary[at], at + 1
        if kind == 0:
            sections.append([])
            continue
        length, shift = 0, 0
        while True:
            byte, at = binary[at], at + 1
            length, shift = length | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        sections[-1].append((kind, binary[at : at + length]))
        at += length
    head, *caveats, empty, tail = sections
    if empty or [kind for kind, _ in tail] != [6]:
        raise ValueError("no signature")
    return dict(head)[2], [dict(each)[2] for each in caveats], tail[0][1]


def _derived(root_key: bytes) -> bytes:
    return _mac(b"macaroons-key-generator".ljust(32, b"\x00"), root_key)


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _packet(kind: int, data: bytes) -> bytes:
    length, varint = len(data), b""
    while length >= 0x80:
        varint, length = varint + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([kind]) + varint + bytes([length]) + data
