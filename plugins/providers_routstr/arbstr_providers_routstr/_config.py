"""Owns the shape of `[plugins.providers_routstr]`."""

from __future__ import annotations

import enum
from fnmatch import fnmatchcase
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from arbstr_core.api import Amount, Msat, Network, Tier

STEM = "providers_routstr"
SAT = 1000


class Way(enum.StrEnum):
    """How money goes to a node."""

    LIGHTNING = "lightning"
    ECASH = "ecash"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plugin's table."""

    nodes: tuple[str, ...] = ()
    """where nodes answer, up to and without `/v1`"""
    relays: tuple[str, ...] = ()
    """Nostr relays that are asked which nodes there are, ws:// or wss://"""
    ask_nodes: bool = False
    """ask the nodes of the configuration which others they know"""
    directory_seconds: Annotated[int, msgspec.Meta(ge=1)] = 900
    """how often relays and nodes are asked which nodes there are"""
    most_nodes: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    """of those that were found, the most that are looked at"""
    network: Network = Network.MAINNET
    """whose money the nodes take: the realm of the agents that their offers are sold to"""
    pay: tuple[Way, ...] = (Way.LIGHTNING, Way.ECASH)
    """how money goes to a node, the preferred way first"""
    privacy: bool = False
    """pay each call with a token of its own, so that nodes see no key twice; dear, and it can lose a token"""
    cap: Amount = Amount(Msat(2_000 * SAT))
    """the most that is kept at one node"""
    cap_all: Amount = Amount(Msat(10_000 * SAT))
    """the most that is kept at all of them together"""
    topup: Amount = Amount(Msat(100 * SAT))
    """the least that is sent at a time"""
    wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 10.0
    """how long a call that has nowhere else to go waits for money to arrive at its node"""
    poll_seconds: Annotated[int, msgspec.Meta(ge=1)] = 120
    """how often a node's prices are read"""
    idle_minutes: Annotated[int, msgspec.Meta(ge=1)] = 30
    """after how long without a call the money comes back from a node"""
    overpriced: Annotated[float, msgspec.Meta(ge=1)] = 3.0
    """the money comes back from a node that costs more than so many times what the cheapest does"""
    tier: Tier = Tier.STANDARD
    tiers: dict[str, Tier] = {}
    """of models by name, which may have `*` in it; the first that fits counts"""
    hidden_reasoning: tuple[str, ...] = ()
    """models, by name or with `*`, that bill output which they never show"""

    def __post_init__(self) -> None:
        for url in self.nodes:
            _check_url(url)
        for url in self.relays:
            if urlsplit(url).scheme not in ("ws", "wss") or not urlsplit(url).hostname:
                raise ValueError("relays has an entry that is no ws or wss address; write wss://relay.example")
        if len({node_name(url) for url in self.nodes}) != len(self.nodes):
            raise ValueError("nodes: two of them are the same; leave one out")
        if not self.pay:
            raise ValueError('pay is empty; write at least one of "lightning" and "ecash"')
        if self.privacy and Way.ECASH not in self.pay:
            raise ValueError('privacy pays with ecash: write "ecash" into pay')
        if not SAT <= self.topup.msat <= self.cap.msat <= self.cap_all.msat:
            raise ValueError("topup is at least 1 sat, cap at least topup, and cap_all at least cap")

    def tier_of(self, model: str) -> Tier:
        """The tier of a model."""
        return next((tier for pattern, tier in self.tiers.items() if fnmatchcase(model, pattern)), self.tier)

    def hides(self, model: str) -> bool:
        """True where the operator says that a model bills what it does not show."""
        return any(fnmatchcase(model, pattern) for pattern in self.hidden_reasoning)


def node_name(url: str) -> str:
    """What a node is called: where it answers, without the scheme."""
    parts = urlsplit(url)
    return f"{parts.netloc.lower()}{parts.path.rstrip('/').removesuffix('/v1')}"


def node_url(url: str) -> str:
    """Where a node answers, as everything below it is added to."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("nodes has an entry that is no http or https address; write one such as https://node.example")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("nodes has an address with a user, a query or a fragment in it; leave those out")
