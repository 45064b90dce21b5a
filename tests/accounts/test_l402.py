"""L402 credentials: macaroons that other programs can read, and that nobody else can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from arbstr_wallet_lnd._macaroon import _packets

from arbstr_core.accounts import L402

PREIMAGE = bytes(range(32))
HASH = hashlib.sha256(PREIMAGE).hexdigest()
TOKEN = b"t" * 32


def test_a_macaroon_is_written_as_the_format_has_it() -> None:
    """Read by the reader of LND's macaroons; the identifier is L402's version 0, the signature the usual chain."""
    key = os.urandom(32)
    whole = base64.b64decode(L402(key).macaroon(TOKEN, HASH))
    assert whole[0] == 2
    packets = list(_packets(whole[1:]))
    assert [kind for kind, _ in packets] == [2, 0, 0, 6]
    identifier, signature = packets[0][1], packets[3][1]
    assert identifier == b"\0\0" + bytes.fromhex(HASH) + TOKEN
    root = hmac.digest(key, TOKEN, "sha256")
    derived = hmac.digest(b"macaroons-key-generator", root, "sha256")
    assert signature == hmac.digest(derived, identifier, "sha256")


def test_only_the_whole_of_it_with_its_preimage_is_believed() -> None:
    ours = L402(b"k" * 32)
    macaroon = ours.macaroon(TOKEN, HASH)
    found = ours.read(f"{macaroon}:{PREIMAGE.hex()}")
    assert found is not None
    assert (found.token_hash, found.payment_hash) == (TOKEN, HASH)
    assert L402(b"j" * 32).read(f"{macaroon}:{PREIMAGE.hex()}") is None
    for preimage in ("", "00", PREIMAGE[::-1].hex(), PREIMAGE.hex() + "00", "zz" * 32):
        assert ours.read(f"{macaroon}:{preimage}") is None
    whole = base64.b64decode(macaroon)
    for at in range(len(whole)):
        other = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        for changed in (other, whole[:at], whole + whole[:at] if at else b""):
            assert ours.read(f"{base64.b64encode(changed).decode()}:{PREIMAGE.hex()}") is None
