"""What `/v1/stats`, `/v1/requests`, `/v1/cost`, `/providers` and `/health` answer, in the first arbstr's shapes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BaseModel

from arbstr_core.flow import Window
from arbstr_core.web._fields import Wanted

Word = Annotated[str | None, Query(max_length=64)]


def _window(
    range: Word = None,
    since: Word = None,
    until: Word = None,
    model: Wanted = None,
    provider: Wanted = None,
    group_by: Word = None,
) -> Window:
    """Which time: `range` of `last_1h`, `last_24h`, `last_7d` (the default) or `last_30d`, or from `since` to `until`
    (RFC 3339); and which model and provider."""
    return Window(range=range, since=since, until=until, model=model, provider=provider, group_by=group_by)


def _requests(
    range: Word = None,
    since: Word = None,
    until: Word = None,
    model: Wanted = None,
    provider: Wanted = None,
    success: bool | None = None,
    streaming: bool | None = None,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    per_page: Annotated[int, Query()] = 20,
    sort: Word = None,
    order: Word = None,
) -> Window:
    """The same, with a page of `per_page` rows (1 to 100), and how they are sorted."""
    return Window(
        range=range,
        since=since,
        until=until,
        model=model,
        provider=provider,
        success=success,
        streaming=streaming,
        page=page,
        per_page=min(max(per_page, 1), 100),
        sort=sort or "timestamp",
        order=order or "desc",
    )


StatsAsked = Annotated[Window, Depends(_window)]
RequestsAsked = Annotated[Window, Depends(_requests)]


class CountsDocument(BaseModel):
    """How many calls."""

    total: int
    success: int
    error: int
    streaming: int


class CostsDocument(BaseModel):
    """What they cost the agents, and their tokens."""

    total_cost_sats: float
    total_input_tokens: int
    total_output_tokens: int


class PerformanceDocument(BaseModel):
    """How long they took; null where there were none."""

    avg_latency_ms: float | None


class GroupDocument(BaseModel):
    """The same of one model or tier."""

    counts: CountsDocument
    costs: CostsDocument
    performance: PerformanceDocument


class StatsDocument(GroupDocument):
    """All of it."""

    since: str
    until: str
    empty: bool | None = None
    message: str | None = None
    models: dict[str, GroupDocument] | None = None
    tiers: dict[str, GroupDocument] | None = None


class RequestDocument(BaseModel):
    """One call."""

    id: str
    timestamp: str
    model: str
    provider: str | None = None
    streaming: bool
    success: bool
    tokens: dict[str, int]
    cost: dict[str, float]
    timing: dict[str, int]
    error: dict[str, Any] | None = None


class RequestsDocument(BaseModel):
    """A page of calls."""

    data: list[RequestDocument]
    page: int
    per_page: int
    total: int
    total_pages: int
    since: str
    until: str


class RatesDocument(BaseModel):
    """Prices in sats: of a million tokens, and of a request."""

    input_rate_sats_per_1m: float
    output_rate_sats_per_1m: float
    base_fee_sats: float


class CountDocument(BaseModel):
    """As Anthropic has it."""

    input_tokens: int


class CostDocument(BaseModel):
    """What a call is expected to cost."""

    model: str
    provider: str
    estimated_input_tokens: int
    estimated_output_tokens: int
    estimated_cost_sats: float
    rates: RatesDocument
    rate_unit: str


class ProviderDocument(RatesDocument):
    """A provider; the rates are its cheapest model's."""

    name: str
    url: str | None
    models: list[str]
    model_rate_count: int
    tier: str
    source: str
    provider_id: str
    routable: bool


class SkippedDocument(BaseModel):
    """What is not sold, and why."""

    provider: str
    model: str
    reason: str


class MarketDocument(BaseModel):
    """Where the offers come from."""

    last_poll_at: str
    quotes_seen: int
    nodes_seen: int
    skipped: list[SkippedDocument]
    notes: list[str]


class ProvidersDocument(BaseModel):
    """The market."""

    providers: list[ProviderDocument]
    market: MarketDocument
    rate_unit: str


class CircuitDocument(BaseModel):
    """How a provider does."""

    state: str
    failure_count: int
    tier: str


class HealthDocument(BaseModel):
    """`ok`, `degraded` where a circuit is open, `unhealthy` where all are."""

    status: str
    providers: dict[str, CircuitDocument]
