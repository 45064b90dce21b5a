"""`POST /wallet/transfers` and `POST /admin/transfers`: one agent's money becomes another's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from arbstr_core.flow import TransferFlow, switched_on
from arbstr_core.web._fields import Key, PaidMsat, Text
from arbstr_core.web._wallet import Me

Json = dict[str, Any]


class NewTransfer(BaseModel):
    """What `POST /wallet/transfers` takes."""

    model_config = ConfigDict(extra="forbid")
    to: Text = Field(description="the id of the agent that is paid")
    amount_msat: PaidMsat


class NewTransferOf(BaseModel):
    """What `POST /admin/transfers` takes; agents by id or name."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    payer: Text = Field(alias="from")
    payee: Text = Field(alias="to")
    amount_msat: PaidMsat


class TransferDocument(BaseModel):
    """What was transferred."""

    id: str
    payer: str = Field(alias="from")
    to: str
    amount_msat: int


def own_transfers(router: APIRouter, maybe: TransferFlow | None) -> None:
    """The agent's."""

    @router.post("/transfers", status_code=201, tags=["wallet"], response_model=TransferDocument)
    async def transfer(me: Me, new: NewTransfer, idempotency_key: Key = None) -> Json:
        """Pay another agent of this arbstr, at once; the limits are those of payouts."""
        return await switched_on(maybe).pay(me, new.to, new.amount_msat, key=idempotency_key)


def transfer_routes(router: APIRouter, maybe: TransferFlow | None) -> None:
    """The operator's."""

    @router.post("/transfers", status_code=201, tags=["agents"], response_model=TransferDocument)
    async def move(new: NewTransferOf, idempotency_key: Key = None) -> Json:
        """Move money from one agent's account to another's, whatever their limits."""
        return await switched_on(maybe).move(new.payer, new.payee, new.amount_msat, key=idempotency_key)
