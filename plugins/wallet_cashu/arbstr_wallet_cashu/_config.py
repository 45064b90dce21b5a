"""Owns the shape of `[plugins.wallet_cashu]`."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from arbstr_core.api import Network, SecretRef
from arbstr_wallet_cashu._tokens import same_mint

STEM = "wallet_cashu"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")


class MintConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mint that the operator trusts with money."""

    url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url is {self.url!r}; it is where the mint answers, such as https://mint.example")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("url has a user, a query or a fragment; leave those out: it stands in every token")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plugin's table. The first mint is the preferred one; a token of any other than these is refused."""

    mints: dict[str, MintConfig]
    network: Network = Network.MAINNET
    """whose money the mints hold: the realm of accounts that are paid over this rail"""
    invoices: Network | None = None
    """the network that the mints' invoices are written for, where it is another one: a FakeWallet writes `mainnet`"""
    seed: SecretRef | None = None
    """12 to 24 words (BIP-39); none: made at first start, and kept sealed in the database"""
    coins: Annotated[int, msgspec.Meta(ge=0, le=16)] = 3
    """how many coins of each kind to have, so that payments go side by side"""
    most_coins: Annotated[int, msgspec.Meta(ge=16, le=2000)] = 256
    """at a mint; with more, the superfluous ones are swapped for fewer"""
    largest: Annotated[int, msgspec.Meta(ge=1)] = 100_000_000
    """sat moved at a time, in or out"""
    poll_ms: Annotated[int, msgspec.Meta(ge=50, le=60_000)] = 1000
    """how often a mint is asked about a fresh invoice; about older ones more rarely"""
    tidy_seconds: Annotated[int, msgspec.Meta(ge=1)] = 300
    """how often keysets are read again, tokens looked after and coins tidied"""

    def __post_init__(self) -> None:
        if not self.mints:
            raise ValueError("mints is empty: name at least one, [plugins.wallet_cashu.mints.NAME] with its url")
        if self.network is Network.MAINNET and self.invoice_network is not Network.MAINNET:
            raise ValueError(f"invoices is {self.invoices}: real money pays no invoices that are none; leave it out")
        for name in self.mints:
            if not _NAME.match(name):
                raise ValueError(f"mints.{name}: a name has letters, digits, - and _")
        urls = [same_mint(mint.url) for mint in self.mints.values()]
        if len(set(urls)) != len(urls):
            raise ValueError("mints: two of them have the same url; leave one out")

    @property
    def invoice_network(self) -> Network:
        """What invoices of the mints, and those they pay, are written for."""
        return self.invoices or self.network
