"""`/internal`: reserve, settle and release for a router that is not arbstr.

Paths, fields and answers are those of arbstr-vault, which routers speak already; unknown fields are left alone.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from arbstr_core.flow import BillingFlow, Report
from arbstr_core.types import MAX_MSAT
from arbstr_core.web._documents import ReleasedDocument, ReservedDocument, SettledDocument
from arbstr_core.web._fields import Msat, PaidMsat, Text

Json = dict[str, Any]

Tokens = Annotated[int, Field(ge=0, le=MAX_MSAT, strict=True)]


class Reserve(BaseModel):
    """What `POST /internal/reserve` takes."""

    model_config = ConfigDict(extra="ignore")
    agent_token: Annotated[str, Field(min_length=1, max_length=256)]
    amount_msats: PaidMsat
    correlation_id: Text = Field(description="the same again, for the same agent, is the same reservation")
    model: Text


class Told(BaseModel):
    """What the router tells of the call; it goes into the receipt."""

    model_config = ConfigDict(extra="ignore")
    tokens_in: Tokens | None = None
    tokens_out: Tokens | None = None
    provider: Text | None = None
    latency_ms: Tokens | None = None


class Settle(Told):
    """What `POST /internal/settle` takes; what is told may stand in `metadata`, too."""

    reservation_id: Text
    actual_msats: Msat
    metadata: Told | None = None


class Release(BaseModel):
    """What `POST /internal/release` takes."""

    model_config = ConfigDict(extra="ignore")
    reservation_id: Text
    reason: Text | None = None


def billing_routes(router: APIRouter, billing: BillingFlow) -> None:
    """All of it."""

    @router.post("/reserve", tags=["billing"], response_model=ReservedDocument)
    async def reserve(asked: Reserve) -> Json:
        """Set money of an agent aside before its call is sent. Its limits and its balance bind."""
        return await billing.reserve(asked.agent_token, asked.amount_msats, asked.correlation_id, asked.model)

    @router.post("/settle", tags=["billing"], response_model=SettledDocument)
    async def settle(told: Settle) -> Json:
        """Charge what the call cost, and give the rest back. What is above the reservation is not charged, but told as
        `overage_msats`. The same again changes nothing."""
        return await billing.settle(told.reservation_id, told.actual_msats, _report(told))

    @router.post("/release", tags=["billing"], response_model=ReleasedDocument)
    async def release(asked: Release) -> Json:
        """Give all of it back: the call came to nothing. The same again changes nothing."""
        return await billing.release(asked.reservation_id, asked.reason)


def _report(told: Settle) -> Report:
    """What stands beside the amount counts before what stands in `metadata`."""
    inner = told.metadata or Told()
    return Report(
        **{
            name: getattr(inner, name) if getattr(told, name) is None else getattr(told, name)
            for name in Told.model_fields
        }
    )
