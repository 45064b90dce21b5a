"""Owns the shape of `[plugins.providers_mesh]`, and what its types alone cannot say."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from arbstr_core.api import Endpoint, Price, Rate, SecretRef, Tier, price_of
from arbstr_providers_mesh._kinds import Kind

STEM = "providers_mesh"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")
_SELLER = re.compile(r"(?!\s)[^/]{1,100}(?<!\s)")
_RATES = ("input", "cached_input", "output", "request")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One server: where it is, and what its models cost. Without rates they cost nothing."""

    url: str
    kind: Kind | None = None
    key: SecretRef | None = None
    models: frozenset[str] | None = None
    input: Rate | None = None
    cached_input: Rate | None = None
    output: Rate | None = None
    request: Rate | None = None
    seller: str | None = None
    tier: Tier = Tier.LOCAL
    endpoints: frozenset[Endpoint] | None = None
    context: int | None = None
    max_output_tokens: int | None = None
    max_concurrent: int | None = None
    max_waiting: int | None = None

    @property
    def free(self) -> bool:
        """Whether its models cost nothing: no rate is written."""
        return all(getattr(self, name) is None for name in _RATES)

    @property
    def price(self) -> Price | None:
        """What each of its models costs."""
        return price_of(None, self)

    def __post_init__(self) -> None:
        _check_url(self.url)
        for name, least in (("context", 1), ("max_output_tokens", 1), ("max_concurrent", 1), ("max_waiting", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; it is a number, at least {least}")
        if self.seller is not None and not _SELLER.fullmatch(self.seller):
            raise ValueError(
                f"seller is {self.seller[:60]!r}; it is a name of 1 to 100 characters, without / or blanks around it"
            )
        if self.seller is not None and self.free:
            raise ValueError("seller is set and no rates are; write input and output, or he earns nothing")
        if self.endpoints is not None and not self.endpoints:
            raise ValueError(f"endpoints is empty; name what is spoken, of {', '.join(sorted(Endpoint))}")
        _ = self.price


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin's table: nodes by name."""

    nodes: dict[str, Node] = {}

    def __post_init__(self) -> None:
        for name in self.nodes:
            if not _NAME.match(name):
                raise ValueError(f"nodes: {name[:60]!r} is no name; use letters, digits, - and _")


def _check_url(url: str) -> None:
    """The message never repeats the url: one with a password in it must not be printed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('url is not an http or https address; write one such as "http://192.168.1.20:9337/v1"')
    if parts.username is not None or parts.password is not None:
        raise ValueError('url has a user or password in it; take it out and give the secret as key = "env:NAME"')
    if parts.query or parts.fragment:
        raise ValueError("url has a query or fragment; leave only what stands before /chat/completions")
