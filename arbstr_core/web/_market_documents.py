"""The documents about the market and about plugins; see `_documents`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

NODE = "which of the provider's endpoints, where it has several"


class ExpectedDocument(BaseModel):
    """What a call is expected to use."""

    input_tokens: int
    cached_input_tokens: int = Field(description="those of it that the provider is likely to have in its cache")
    output_tokens: int = Field(description="what is usual for the agent and the model, within the limit")


class CandidateDocument(BaseModel):
    """One offer, priced for a call."""

    provider: str
    node: str = Field(description=NODE)
    model: str
    tier: str
    cost_msat: int = Field(description="what it is expected to cost")
    ceiling_msat: int = Field(description="the most that it can cost")
    expected: ExpectedDocument
    output_limit: int = Field(description="the limit that is sent, in tokens a choice")


class OutDocument(BaseModel):
    """An offer that is out, and why."""

    provider: str
    node: str = Field(description=NODE)
    model: str
    reason: str


class PlanDocument(BaseModel):
    """Whom a call would be sent to, in order."""

    candidates: list[CandidateDocument] = Field(description="whom it would go to, one after the other")
    beaten: list[CandidateDocument] = Field(description="who qualifies, and would not be asked")
    out: list[OutDocument]
    reasons: list[str]
    strategy: str | None
    policy: str | None = Field(description="which policy chose the strategy, if one did")
    notes: dict[str, dict[str, Any]] = Field(description="numbers of policies, by policy")


class RefusalDocument(BaseModel):
    """What would refuse a call."""

    limit: str
    agent: str
    left_msat: int
    resets_ms: int | None
    approval: bool = Field(description="whether an operator would be asked")


class QuoteDocument(PlanDocument):
    """What a call would cost, and whether it would be let through now."""

    model: str
    granted: bool
    hold_msat: int = Field(description="what would be set aside")
    covered: int = Field(description="how many candidates that covers")
    output_limit: int | None = Field(
        description="the output that would be afforded, where it is less than was asked for"
    )
    refusal: RefusalDocument | None


class OfferDocument(BaseModel):
    """An offer with the agents' price in msat per million tokens, and per request."""

    provider: str
    node: str = Field(description=NODE)
    model: str
    canonical: str | None = Field(description="the name under which it can be asked for, too")
    tier: str
    context_window: int | None
    input_msat: int
    cached_input_msat: int
    output_msat: int
    request_msat: int
    asked_ms: int = Field(description="when the provider said so last")


class FailingDocument(BaseModel):
    """A provider, or a part of one, that does not say what it offers, or a source that does not say the rate."""

    provider: str
    reason: str


class AliasDocument(BaseModel):
    """A name that stands for several models."""

    name: str
    stands_for: list[str]
    offers: int = Field(description="how many offers of them there are now")


class RateDocument(BaseModel):
    """What a bitcoin costs, for offers in dollars; null where that is not known, which `reason` says."""

    usd_per_btc: str | None
    source: str | None
    as_of_ms: int | None
    spread_ppm: int | None = Field(description="added when dollars become msat")
    reason: str | None
    failing: list[FailingDocument] = Field(description="sources that do not say")


class OffersDocument(BaseModel):
    """The market."""

    offers: list[OfferDocument]
    out: list[OutDocument]
    failing: list[FailingDocument]
    aliases: list[AliasDocument]
    usd: RateDocument


class CheckDocument(BaseModel):
    """Who is not there, of all providers."""

    failing: list[FailingDocument]


class OfferStateDocument(BaseModel):
    """Whether an offer can be asked now, and how it has done lately."""

    model: str
    node: str
    tier: str
    breaker: Literal["closed", "open", "half_open"]
    failures: int = Field(description="in a row")
    until_ms: int | None = Field(description="when an open breaker may be tried again")
    last_failure: str | None
    success: float = Field(description="a share of the calls, as a moving mean")
    first_byte_ms: int = Field(description="a moving mean")
    max_concurrent: int | None
    open_calls: int = Field(description="counted where max_concurrent is set")
    waiting: int


class ProviderDocument(BaseModel):
    """A provider, and why it does not say what it offers, where it does not."""

    provider: str
    failing: str | None
    offers: list[OfferStateDocument]
    out: list[OutDocument]


class ProvidersDocument(BaseModel):
    """All of them."""

    providers: list[ProviderDocument]


class ParamDocument(BaseModel):
    """A parameter of a plugin's command."""

    name: str
    help: str
    required: bool
    default: Any


class CommandDocument(BaseModel):
    """A plugin's command."""

    name: str
    help: str
    params: list[ParamDocument]


class ReloadDocument(BaseModel):
    """What a new configuration changed."""

    made: list[str] = Field(description="plugins whose objects were made anew")
    kept: list[str] = Field(description="plugins whose table, and what that refers to, is as it was")
    closed: list[str] = Field(description="plugins whose old objects are closed once no open call needs them")
    offers: int = Field(description="what can be bought now")
    open_calls: int = Field(description="calls that go on as they began")
    notices: list[str] = Field(description="what plugins warned of when they were made")
