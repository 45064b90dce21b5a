"""Owns the texts of the simulated network: invoices `sim1...`, tokens `simA...`, and requests for tokens `simreq...`.

An invoice says its amount, hash, expiry and memo itself, as BOLT 11 does; the preimage follows from its nonce, so that
whoever pays it has the proof. Nothing here is secret, for nothing here is money.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TypeVar

import msgspec

from arbstr_core.api import BadRequest, Network

INVOICE_PREFIX = "sim1"
TOKEN_PREFIX = "simA"
REQUEST_PREFIX = "simreq"
MINT = "sim"
"""The one mint of the simulated network."""
_CHECK = 8
_ALL_BITCOIN_MSAT = 2_100_000_000_000_000_000


class InvoiceText(msgspec.Struct, frozen=True, kw_only=True):
    """What an invoice says: msat, Unix milliseconds."""

    amount_msat: int
    payment_hash: str
    expires_ms: int
    nonce: str
    memo: str = ""
    description_hash: str = ""
    network: str = Network.SIM.value


class TokenText(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says: msat, and the id that can be spent once; `lock` is who alone can do that, empty for all."""

    amount_msat: int
    token_id: str
    mint: str = MINT
    lock: str = ""


class RequestText(msgspec.Struct, frozen=True, kw_only=True):
    """Which token is asked for."""

    amount_msat: int
    memo: str = ""
    mint: str = MINT


Body = TypeVar("Body", InvoiceText, TokenText, RequestText)


def digest(*parts: str) -> str:
    """SHA-256 over the parts, hex."""
    return hashlib.sha256("\0".join(("arbstr-sim", *parts)).encode()).hexdigest()


def preimage_of(nonce: str) -> str:
    """The preimage of an invoice, hex."""
    return digest("preimage", nonce)


def hash_of(nonce: str) -> str:
    """The payment hash: SHA-256 of the preimage's bytes, hex."""
    return hashlib.sha256(bytes.fromhex(preimage_of(nonce))).hexdigest()


def write_invoice(*, amount_msat: int, nonce: str, expires_ms: int, memo: str, description_hash: str = "") -> str:
    """An invoice as text."""
    body = InvoiceText(
        amount_msat=amount_msat,
        payment_hash=hash_of(nonce),
        expires_ms=expires_ms,
        nonce=nonce,
        memo=memo,
        description_hash=description_hash,
    )
    return _write(INVOICE_PREFIX, body)


def write_token(*, amount_msat: int, token_id: str, lock: str = "") -> str:
    """A token as text."""
    return _write(TOKEN_PREFIX, TokenText(amount_msat=amount_msat, token_id=token_id, lock=lock))


def write_request(*, amount_msat: int, memo: str) -> str:
    """A request for a token as text."""
    return _write(REQUEST_PREFIX, RequestText(amount_msat=amount_msat, memo=memo))


def read_invoice(text: str) -> InvoiceText:
    """What an invoice says; BadRequest where it is none, of another network, or damaged."""
    invoice = _read(INVOICE_PREFIX, text, InvoiceText)
    if invoice.network != Network.SIM:
        raise BadRequest(f"the invoice is for the network {invoice.network}, and this rail pays on sim")
    if invoice.payment_hash != hash_of(invoice.nonce):
        raise BadRequest("the invoice's hash does not belong to its nonce")
    _check_amount(invoice.amount_msat)
    return invoice


def read_token(text: str) -> TokenText:
    """What a token says; BadRequest where it is none, or damaged."""
    token = _read(TOKEN_PREFIX, text, TokenText)
    if token.mint != MINT:
        raise BadRequest(f"the token is of the mint {token.mint!r}, and this wallet takes those of {MINT!r} alone")
    _check_amount(token.amount_msat)
    return token


def _check_amount(amount_msat: int) -> None:
    if not 0 < amount_msat <= _ALL_BITCOIN_MSAT:
        raise BadRequest(f"{amount_msat} msat is no amount to pay")


def _write(prefix: str, body: InvoiceText | TokenText | RequestText) -> str:
    packed = base64.b32encode(msgspec.json.encode(body)).decode().rstrip("=").lower()
    return f"{prefix}{packed}{digest(prefix, packed)[:_CHECK]}"


def _read(prefix: str, text: str, kind: type[Body]) -> Body:
    packed, check = text[len(prefix) : -_CHECK], text[-_CHECK:]
    if not text.startswith(prefix) or not packed or digest(prefix, packed)[:_CHECK] != check:
        raise BadRequest(f"not a whole {prefix}... of the simulated network: {text[:24]!r}")
    try:
        raw = base64.b32decode(packed.upper() + "=" * (-len(packed) % 8))
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest(f"{prefix}... does not say what it should: {text[:24]!r}") from None
