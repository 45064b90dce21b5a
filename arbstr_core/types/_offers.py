"""What can be bought, for how much, and the plan that says from whom."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from arbstr_core.types._calls import ChatCall
from arbstr_core.types._endpoints import Endpoint, Feature
from arbstr_core.types._fields import FieldRule, LimitField, Passthrough
from arbstr_core.types._money import FxRate, Msat, MsatPrice, Price
from arbstr_core.types._rails import Network


class Tier(enum.StrEnum):
    """How capable, and how far away, a model is: local < standard < frontier."""

    LOCAL = "local"
    STANDARD = "standard"
    FRONTIER = "frontier"

    @property
    def rank(self) -> int:
        """0 for local, 1 for standard, 2 for frontier."""
        return _RANKS[self]


_RANKS = {Tier.LOCAL: 0, Tier.STANDARD: 1, Tier.FRONTIER: 2}

ALL_FEATURES = frozenset(Feature)
CHAT_ONLY = frozenset({Endpoint.CHAT})


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider's node, for a price.

    `upstream` is the provider's own name for `model`. `input_factor` (tokens a byte of body) and `input_overhead`
    (tokens a call) bound what the provider may count as input. `context_window` and `max_output_tokens` are in
    tokens, None where unknown.
    """

    provider: str
    model: str
    upstream: str
    price: Price | None
    """None where the provider names none: the offer is shown, and sold to nobody"""
    node: str = ""
    endpoints: frozenset[Endpoint] = CHAT_ONLY
    features: frozenset[Feature] = ALL_FEATURES
    context_window: int | None = None
    max_output_tokens: int | None = None
    tier: Tier = Tier.STANDARD
    seller: str | None = None
    input_factor: float = 1.0
    input_overhead: int = 256
    attachment_tokens: int = 2048
    """the most that one picture or sound inside the body may count as, beyond its bytes"""
    exact_tokenizer: bool = False
    """True where the provider's `count_input` says exactly what it will count as input"""
    limit_field: LimitField = LimitField.MAX_TOKENS
    max_choices: int | None = None
    """the most `n` that its usage can be trusted with; None for any"""
    fields: Mapping[str, FieldRule] = {}
    """rules for request fields, by name in lower case; `tools.TYPE` is for tools that run at the provider,
    `cache_control` for that mark anywhere in messages and tools"""
    passthrough: Passthrough = Passthrough.KNOWN
    hidden_reasoning: bool = False
    """True where the provider bills output tokens that it never shows"""
    cancel_free: bool = False
    """True where a call that is let go before its end costs nothing"""
    max_concurrent: int | None = None
    """the most calls that its node serves at one time; None where that is not known"""
    canonical: str = ""
    """the name by which this model is known everywhere, where the provider says it; never guessed from another name"""
    rail_fee_ppm: int = 0
    """what it costs to pay this provider, on top of its price: a share in parts per million"""
    as_of_ms: int = 0
    """Unix time of the price, milliseconds; 0 for one written in the configuration"""
    prepaid: Network | None = None
    """whose money pays it, of what lies at its node: it is sold to agents of that realm alone. Its provider is a
    `Prepaid` of that network. None: it is billed later, or free, and sold to anyone"""
    withheld: str = ""
    """why it is not for sale now, in a sentence; empty where it is"""
    reputation: float = 1.0
    """above 0 and at most 1: how far its node's word has held. Strategies take its cost for cost / reputation"""

    @property
    def key(self) -> tuple[str, str, str]:
        """(provider, node, model): what standing is kept by."""
        return (self.provider, self.node, self.model)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """An offer with its price in msat: `price` is the agent's (margin included), `cost_price` the provider's.

    `margin_ppm` is all that the agent's price has on top.
    """

    offer: Offer
    price: MsatPrice
    cost_price: MsatPrice
    fx: FxRate | None = None
    margin_ppm: int = 0


class Expected(msgspec.Struct, frozen=True):
    """The tokens that a call is expected to use. `cached` are part of `input`; `output` is that of all choices."""

    input: int = 0
    cached: int = 0
    output: int = 0


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """An offer priced for one call. `price` is the agent's (margin included), `cost_price` the provider's, in msat.

    `cost_msat` is what the call is expected to cost the agent, for the tokens `expected`; `ceiling_msat` the most it
    can. `input_limit` is the most input the ceiling counts with, in tokens; `output_limit` what to send, in tokens a
    choice; `choices` how many of those may be billed.
    """

    offer: Offer
    price: MsatPrice
    cost_price: MsatPrice
    cost_msat: Msat
    ceiling_msat: Msat
    input_limit: int
    output_limit: int
    choices: int = 1
    fx: FxRate | None = None
    expected: Expected = Expected()
    translated: ChatCall | None = None
    """the call in the words in which the offer gets it, where those are not the caller's own"""


class Excluded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An offer that is out, and why, in a sentence. `field` is the field of the request that is to blame, if one is;
    `node` which of the provider's, where it has several."""

    provider: str
    model: str
    reason: str
    field: str | None = None
    node: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one routing policy says about a call: the quotes it keeps, who is out and why, and what else it demands.

    Offers below `tier_floor` are out, and so are those above `tier_ceiling`; but up to `tier_spare` they stand in for
    the others: the next tier is asked where no offer is left below it, or where those fail.
    """

    kept: tuple[Quote, ...]
    out: tuple[Excluded, ...] = ()
    reasons: tuple[str, ...] = ()
    tier_floor: Tier | None = None
    tier_ceiling: Tier | None = None
    tier_spare: Tier | None = None
    strategy: str | None = None
    notes: Mapping[str, Any] = {}
    """what the receipt keeps of it, below the policy's name: JSON values"""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, in order, and why: at most `[routing] keep` candidates; `beaten` qualified, but were not kept."""

    candidates: tuple[Quote, ...]
    beaten: tuple[Quote, ...] = ()
    out: tuple[Excluded, ...] = ()
    reasons: tuple[str, ...] = ()
    strategy: str
    policy: str | None = None
    notes: Mapping[str, Mapping[str, Any]] = {}
    """by policy: what it wants kept in the receipt"""
