"""`/admin/solvency`, `/admin/freeze`, `/admin/thaw`, `/admin/capital` and `/admin/money/loss`: rails and the ledger."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from arbstr_core.flow import SolvencyFlow
from arbstr_core.web._admin_operators import Who
from arbstr_core.web._fields import Key, PaidMsat, Text

Json = dict[str, Any]


class RailDocument(BaseModel):
    """A rail against the ledger; amounts are null where it does not say what it holds."""

    name: str
    state: str
    detail: str
    ledger_msat: int
    spendable_msat: int | None
    in_flight_msat: int | None
    closing_msat: int | None
    surplus_msat: int | None = Field(
        description="what it can spend beyond what the ledger has there; below 0: what it lacks, whatever comes back"
    )
    places: dict[str, int]
    unit: str
    invoices: bool = Field(description="it can ask for money")
    walked: bool = Field(description="compared with the ledger since that was restored from a backup")
    problem: str = Field(description="why its records could not be read to the end; empty where they could")


class RealmDocument(BaseModel):
    """How a realm stands. What it has is between `least_msat` and `most_msat`."""

    realm: str
    state: str = Field(description="covered, waiting, unknown, suspect or frozen")
    cover: str = Field(description="what this check alone found: covered, waiting, unknown or below")
    below: int = Field(description="checks in a row that found too little; the third freezes what goes out")
    checked_ms: int | None
    least_msat: int
    most_msat: int
    needed_msat: int = Field(description="what is owed, less what the operator lets work at nodes")
    owed_msat: int
    agents_msat: int
    sellers_msat: int
    calls_msat: int
    suspense_msat: int
    equity_msat: int
    made_msat: int
    nodes_msat: int
    nodes_most_msat: int
    lost_msat: int
    rails: list[RailDocument]
    reason: str


class FreezeDocument(BaseModel):
    """What is frozen."""

    scope: str
    reason: str
    actor: str
    at_ms: int


class SolvencyDocument(BaseModel):
    """Every realm, and what is frozen."""

    realms: list[RealmDocument]
    frozen: list[FreezeDocument]


class Frozen(BaseModel):
    """What freezing or thawing came to; `changed` is false where it was so before."""

    scope: str
    frozen: bool
    changed: bool


class CapitalDocument(BaseModel):
    """The operator's own money, booked."""

    rail: str
    realm: str
    amount_msat: int
    transfer: int


class LossDocument(BaseModel):
    """What was written off."""

    realm: str
    asset: str
    amount_msat: int
    reason: str
    transfer: int


class Scope(BaseModel):
    """What `POST /admin/freeze` and `/admin/thaw` take: a realm, or a rail."""

    model_config = ConfigDict(extra="forbid")
    realm: Text | None = None
    rail: Text | None = None
    reason: Text = "an operator wants it so"


class Found(BaseModel):
    """What `POST /admin/capital` takes."""

    model_config = ConfigDict(extra="forbid")
    rail: Text
    amount_msat: PaidMsat | None = Field(None, description="null: all that there is beyond the ledger")


class Lost(BaseModel):
    """What `POST /admin/money/loss` takes."""

    model_config = ConfigDict(extra="forbid")
    realm: Text
    asset: Text = Field(description="its account, as `GET /admin/money` and the ledger name it: `asset:claim:NODE`")
    amount_msat: PaidMsat = Field(description="at most what the ledger has there")
    reason: Text = Field(description="why it will not come back; the audit keeps it")


def solvency_routes(router: APIRouter, flow: SolvencyFlow) -> None:
    """Add them to the operator's routes."""

    @router.get("/solvency", tags=["rails"], response_model=SolvencyDocument)
    async def solvency(now: bool = False) -> Json:
        """Each realm as its last check found it; with `now=true` the rails are asked again."""
        return await flow.solvency(now=now)

    @router.post("/freeze", tags=["rails"], response_model=Frozen)
    async def freeze(scope: Scope, who: Who) -> Json:
        """Let nothing leave a realm, or a rail, any more. Calls are served all the same."""
        return await flow.freeze(realm=scope.realm, rail=scope.rail, reason=scope.reason, actor=who, frozen=True)

    @router.post("/thaw", tags=["rails"], response_model=Frozen)
    async def thaw(scope: Scope, who: Who) -> Json:
        """Let it again."""
        return await flow.freeze(realm=scope.realm, rail=scope.rail, reason=scope.reason, actor=who, frozen=False)

    @router.post("/capital", tags=["rails"], response_model=CapitalDocument)
    async def capital(found: Found) -> Json:
        """Book money of your own that a rail holds beyond what the ledger has there."""
        return await flow.capital(found.rail, found.amount_msat)

    @router.post("/money/loss", tags=["rails"], response_model=LossDocument)
    async def loss(lost: Lost, who: Who, idempotency_key: Key = None) -> Json:
        """Write off money of yours that a rail, a node or a mint has and will not give back."""
        return await flow.loss(
            lost.asset, lost.amount_msat, realm=lost.realm, reason=lost.reason, key=idempotency_key, actor=who
        )
