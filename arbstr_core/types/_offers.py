"""What can be bought, for how much, and the plan that says from whom."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from arbstr_core.types._fields import FieldRule, LimitField, Passthrough
from arbstr_core.types._money import FxRate, Msat, MsatPrice, Price


class Endpoint(enum.StrEnum):
    """An OpenAI endpoint that arbstr serves; the value is the path below `/v1`."""

    CHAT = "chat/completions"


class Feature(enum.StrEnum):
    """What a call may need of a model beyond text in and text out."""

    TOOLS = "tools"
    JSON = "json"
    VISION = "vision"
    AUDIO = "audio"


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
    as_of_ms: int = 0
    """Unix time of the price, milliseconds; 0 for one written in the configuration"""

    @property
    def key(self) -> tuple[str, str, str]:
        """(provider, node, model): what standing is kept by."""
        return (self.provider, self.node, self.model)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """An offer with its price in msat: `price` is the agent's (margin included), `cost_price` the provider's."""

    offer: Offer
    price: MsatPrice
    cost_price: MsatPrice
    fx: FxRate | None = None
    margin_ppm: int = 0


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """An offer priced for one call. `price` is the agent's (margin included), `cost_price` the provider's, in msat.

    `cost_msat` is what the call is expected to cost the agent, `ceiling_msat` the most it can.
    `input_limit` is the most input the ceiling counts with, in tokens; `output_limit` what to send, in tokens a choice;
    `choices` how many of those may be billed.
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


class Excluded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An offer that is out, and why, in a sentence. `field` is the field of the request that is to blame, if one is."""

    provider: str
    model: str
    reason: str
    field: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one routing policy says about a call: the quotes it keeps, who is out and why, and what else it demands."""

    kept: tuple[Quote, ...]
    out: tuple[Excluded, ...] = ()
    reasons: tuple[str, ...] = ()
    tier_floor: Tier | None = None
    tier_ceiling: Tier | None = None
    strategy: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, in order, and why: at most `[routing] keep` candidates; `beaten` qualified, but were not kept."""

    candidates: tuple[Quote, ...]
    beaten: tuple[Quote, ...] = ()
    out: tuple[Excluded, ...] = ()
    reasons: tuple[str, ...] = ()
    strategy: str
    policy: str | None = None


class Shut(msgspec.Struct, frozen=True, kw_only=True):
    """Why an offer is not to be asked now, and until when, in Unix milliseconds."""

    reason: str
    until_ms: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """How one provider's model has done lately. `success` is a share from 0 to 1, `first_byte_ms` a moving mean."""

    success: float = 1.0
    first_byte_ms: float = 0.0


_CLEAN = Record()


class Standing(msgspec.Struct, frozen=True):
    """What is known of the offers' behaviour when a plan is made, by `Offer.key`.

    `shut` are those whose breaker is open, so that they are in no plan. `waiting` says how many calls wait for a node
    that serves no more at one time, by (provider, node).
    """

    records: Mapping[tuple[str, str, str], Record] = {}
    shut: Mapping[tuple[str, str, str], Shut] = {}
    waiting: Mapping[tuple[str, str], int] = {}

    def of(self, offer: Offer) -> Record:
        """The record of an offer; a clean one where nothing is known."""
        return self.records.get(offer.key, _CLEAN)

    def queue(self, offer: Offer) -> int:
        """How many calls wait for the node of an offer."""
        return self.waiting.get((offer.provider, offer.node), 0)
