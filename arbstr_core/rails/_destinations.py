"""Where money is to go, as people write it: an invoice, a Lightning address, an LNURL. Read before anything is asked.

What a rail makes of an invoice is compared with what the invoice says itself, where arbstr can read it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from arbstr_core.api import InvoiceTarget, PaymentTarget, WalletRail
from arbstr_core.rails._drive import Raised, answered
from arbstr_core.types import MAX_MSAT, Address, AddressKind, BadRequest, RailUnavailable
from arbstr_core.wire import Bolt11, read_bech32, read_bolt11

_LONGEST = 8_192
_SCHEME = "lightning:"
_LN_ADDRESS = re.compile(r"(?P<name>[a-z0-9._+-]{1,64})@(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::(?P<port>\d{1,5}))?\Z")
_DECODE_SECONDS = 20.0
_SOONEST_MS = 30_000
"""An invoice that ends so soon is not taken"""


def read_address(text: str) -> Address | None:
    """The address that `text` is, None where it is an invoice or the like. Raises BadRequest for a broken LNURL."""
    plain = _plain(text)
    lower = plain.lower()
    found = _LN_ADDRESS.match(lower)
    if found is not None:
        port = f":{found['port']}" if found["port"] else ""
        url = f"https://{found['host']}{port}/.well-known/lnurlp/{found['name']}"
        return Address(kind=AddressKind.LIGHTNING_ADDRESS, text=plain, url=url)
    if lower.startswith("lnurlp://"):
        return Address(kind=AddressKind.LNURL, text=plain, url=_checked(f"https://{plain[len('lnurlp://') :]}"))
    if not lower.startswith("lnurl1"):
        return None
    try:
        _, data = read_bech32(plain)
        return Address(kind=AddressKind.LNURL, text=plain, url=_checked(data.decode("ascii")))
    except (ValueError, UnicodeDecodeError) as bad:
        raise BadRequest(f"That is no whole LNURL: {bad}", param="to") from None


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise BadRequest("The LNURL leads to no public https address; ask for an invoice", param="to")
    return url


def _plain(text: str) -> str:
    plain = text.strip()
    if plain[: len(_SCHEME)].lower() == _SCHEME:
        plain = plain[len(_SCHEME) :]
    if not plain or len(plain) > _LONGEST or not plain.isprintable():
        raise BadRequest("Say where to pay: an invoice, a Lightning address, an LNURL, or ecash", param="to")
    return plain


async def read_invoice(rails: Sequence[WalletRail], text: str, now_ms: int) -> InvoiceTarget:
    """What an invoice says, read by the first of `rails` that can. Raises BadRequest with what is wrong with it, or
    RailUnavailable where none could be asked."""
    plain = _plain(text)
    own = _own_reading(plain)
    if not rails:
        raise BadRequest("No rail of this realm pays invoices", param="to")
    if own is not None:
        _fits(own, rails[0], now_ms)
    refused: BadRequest | RailUnavailable | None = None
    for rail in rails:
        said = await answered(rail.decode(plain), seconds=_DECODE_SECONDS)
        if not isinstance(said, Raised):
            return _agreed(said, own, rail, now_ms)
        bad = BadRequest(said.what) if said.refused else RailUnavailable(f"{rail.name} cannot read it: {said.what}")
        refused = refused or bad
    assert refused is not None, "no rail read it, and none refused"
    refused.param = "to"
    raise refused


def _own_reading(plain: str) -> Bolt11 | None:
    if not plain.lower().startswith("ln"):
        return None
    try:
        return read_bolt11(plain)
    except ValueError as bad:
        raise BadRequest(f"That is no whole Lightning invoice: {bad}", param="to") from None


def _fits(said: Bolt11, rail: WalletRail, now_ms: int) -> None:
    wanted = rail.invoice_network or rail.network
    if said.network is not wanted:
        raise BadRequest(
            f"The invoice is for {said.network}, and this money is on {wanted}: ask for one there", param="to"
        )
    if said.amount_msat is None:
        raise BadRequest("The invoice names no amount, and such are not paid: ask for one that does", param="to")
    if said.expires_ms <= now_ms + _SOONEST_MS:
        raise BadRequest("The invoice has expired, or is about to: ask for a new one", param="to")


def _agreed(target: PaymentTarget, own: Bolt11 | None, rail: WalletRail, now_ms: int) -> InvoiceTarget:
    """The rail's reading, where it is what the invoice says."""
    if not isinstance(target, InvoiceTarget):
        raise BadRequest(f"{rail.name} reads no invoice there", param="to")
    if target.network is not rail.network or not 0 < target.amount_msat <= MAX_MSAT or not target.reference:
        raise BadRequest("The invoice is for another network, or for no amount: ask for another", param="to")
    if target.expires_ms <= now_ms + _SOONEST_MS:
        raise BadRequest("The invoice has expired, or is about to: ask for a new one", param="to")
    if own is not None and (target.reference, target.amount_msat) != (own.payment_hash, own.amount_msat):
        raise BadRequest(f"{rail.name} reads the invoice otherwise than it is written, so it is not paid", param="to")
    return target
