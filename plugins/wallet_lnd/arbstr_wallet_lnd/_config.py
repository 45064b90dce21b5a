"""The table `[plugins.wallet_lnd]`: its keys and their defaults."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from arbstr_core.api import Amount, Msat, Network, Ppm, SecretRef

STEM = "wallet_lnd"
_PUBKEY = re.compile(r"0[23][0-9a-f]{64}\Z")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}\Z")
_PPM = 1_000_000


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator sets: which node, whose macaroon, and how much a payment may cost and take."""

    macaroon: SecretRef
    """LND's file, or that in hex or base64"""
    network: Network
    address: str = "127.0.0.1:10009"
    cert: SecretRef | None = None
    """LND's tls.cert; none for a node behind a certificate that any browser takes"""
    server_name: str | None = None
    """the name in the certificate, where it is not that of `address`"""
    node_pubkey: str | None = None
    """the node's identity; the first one seen where it is not said here"""
    fee_limit: Ppm = Ppm(10_000)
    """the most a payment's fee may be, as a share of its amount"""
    fee_limit_least: Amount = Amount(Msat(2_000))
    """and of small amounts"""
    max_parts: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 16
    cltv_limit: Annotated[int, msgspec.Meta(ge=0, le=2_016)] = 432
    """blocks for which a payment may lock our money; 0 leaves it to LND"""
    route_hints: bool = False
    """name private channels in invoices; for a node that has no others"""
    call_seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 5.0
    payment_seconds: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 60
    """how long LND looks for new ways; what is on its way then goes on"""
    wait_seconds: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 20.0
    """how long a payment is watched before its end is left to be looked up"""

    def __post_init__(self) -> None:
        if not _ADDRESS.match(self.address):
            raise ValueError(
                f'`address` is {self.address!r}: write HOST:PORT of LND\'s gRPC, such as "127.0.0.1:10009"'
            )
        if self.node_pubkey is not None and not _PUBKEY.match(self.node_pubkey):
            raise ValueError(
                "`node_pubkey` is not 66 hex digits that begin with 02 or 03, as `lncli getinfo` prints them"
            )
        if self.network is Network.SIM:
            raise ValueError(
                '`network` is "sim", which is no network of Lightning: mainnet, testnet, signet or regtest'
            )

    def fee_limit_of(self, amount: int) -> Msat:
        """The most that the fee of a payment of `amount` may be, in msat; rounded up."""
        return Msat(max(self.fee_limit_least.msat, -(-amount * self.fee_limit.ppm // _PPM)))
