"""`/wallet/deposits` and `/admin/deposits`: how money is put into an account, by invoice or by token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from arbstr_core.flow import DepositFlow, switched_on
from arbstr_core.types import BadRequest
from arbstr_core.web._admin_operators import Who
from arbstr_core.web._documents import Page
from arbstr_core.web._fields import Id, Key, PageAsked, PaidMsat, Text, Wanted, printable
from arbstr_core.web._wallet import Me

Json = dict[str, Any]

Token = Annotated[str, Field(min_length=1, max_length=65_536)]
Memo = Annotated[str, Field(max_length=200), AfterValidator(printable)]


class NewDeposit(BaseModel):
    """What `POST /wallet/deposits` takes: `amount_msat` for an invoice, or a `token` to redeem."""

    model_config = ConfigDict(extra="forbid")
    amount_msat: PaidMsat | None = None
    token: Token | None = Field(None, description="ecash of a mint that this arbstr takes; redeemed at once")
    rail: Text | None = Field(None, description="which rail makes the invoice; else the first that can")
    memo: Memo = Field("", description="what the payer reads")
    expires_seconds: Annotated[int, Field(ge=60, le=86_400, strict=True)] = 3600


class NewDepositFor(NewDeposit):
    """What `POST /admin/deposits` takes. Without an `agent` it is the operator's capital."""

    agent: Text | None = Field(None, description="id or name of the agent whose money it will be")
    realm: Text | None = Field(None, description="of the operator's capital: where it will be")


class Assignment(BaseModel):
    """What `POST /admin/deposits/assign` takes: a deposit that nobody was known for, and whose it is."""

    model_config = ConfigDict(extra="forbid")
    rail: Text
    reference: Text
    agent: Text


class DepositRequestDocument(BaseModel):
    """Money that was asked for, or a token that was handed in. An invoice is `open` once it can be paid."""

    id: str
    kind: str = Field(description="invoice or token")
    state: str = Field(description="asked, open, paid, refused, cancelled or expired")
    agent: str | None
    realm: str
    rail: str
    amount_msat: int
    fee_msat: int = Field(description="what redeeming the token takes")
    memo: str
    invoice: str | None
    reference: str | None
    reason: str
    created_ms: int
    expires_ms: int | None
    ended_ms: int | None


class DepositDocument(BaseModel):
    """Money that came in."""

    rail: str
    reference: str
    kind: str
    realm: str
    amount_msat: int
    fee_msat: int
    request: str | None
    purpose: str | None
    agent: str | None
    assigned: bool
    transfer: int
    at_ms: int


class AssignedDocument(BaseModel):
    """Whose a deposit is now, and the transfer that says so."""

    rail: str
    reference: str
    agent: str
    transfer: int


def _invoice(new: NewDeposit, key: str | None) -> Json | None:
    """How an invoice is wanted, None where a token is handed in. Raises BadRequest for neither, or both."""
    if (new.amount_msat is None) == (new.token is None):
        raise BadRequest("Say amount_msat, for an invoice, or hand in a token; one of them", param="amount_msat")
    if new.token is not None:
        return None
    names = ("amount_msat", "rail", "memo", "expires_seconds")
    return {"key": key, **{name: getattr(new, name) for name in names}}


def deposit_routes(router: APIRouter, maybe: DepositFlow | None) -> None:
    """The agent's."""

    @router.post("/deposits", status_code=201, tags=["deposits"], response_model=DepositRequestDocument)
    async def create_deposit(me: Me, new: NewDeposit, idempotency_key: Key = None) -> Json:
        """Ask for an invoice by which somebody pays money into the account; or hand in a token, which is redeemed."""
        flow, wanted = switched_on(maybe), _invoice(new, idempotency_key)
        return await flow.hand_in(me, new.token or "") if wanted is None else await flow.ask(me, **wanted)

    @router.get("/deposits", tags=["deposits"], response_model=Page[DepositRequestDocument])
    async def list_deposits(me: Me, asked: PageAsked) -> Json:
        """What the agent and the keys below it asked for, or handed in, the newest first."""
        return await switched_on(maybe).mine(me, asked)

    @router.get("/deposits/{deposit}", tags=["deposits"], response_model=DepositRequestDocument)
    async def show_deposit(me: Me, deposit: Id) -> Json:
        """One of them, as it stands."""
        return await switched_on(maybe).one(me, deposit)


def incoming_routes(router: APIRouter, maybe: DepositFlow | None) -> None:
    """The operator's."""

    @router.post("/deposits", status_code=201, tags=["deposits"], response_model=DepositRequestDocument)
    async def create_deposit_for(new: NewDepositFor, idempotency_key: Key = None) -> Json:
        """Ask for an invoice, or hand in a token, for an agent; without one for the operator's capital."""
        flow, wanted = switched_on(maybe), _invoice(new, idempotency_key)
        if wanted is None:
            return await flow.hand_in_for(new.agent, new.realm, new.token or "")
        return await flow.ask_for(new.agent, new.realm, **wanted)

    @router.get("/deposits", tags=["deposits"], response_model=Page[DepositDocument])
    async def list_incoming(asked: PageAsked, agent: Wanted = None, nobodys: bool = False) -> Json:
        """What came in, the newest first; with `nobodys` what nobody is known for yet."""
        return await switched_on(maybe).deposits(agent, asked, nobodys=nobodys)

    @router.get("/deposits/requests", tags=["deposits"], response_model=Page[DepositRequestDocument])
    async def list_requests(asked: PageAsked, agent: Wanted = None) -> Json:
        """What was asked for, or handed in, the newest first."""
        return await switched_on(maybe).requests(agent, asked)

    @router.post("/deposits/assign", tags=["deposits"], response_model=AssignedDocument)
    async def assign_deposit(who: Who, given: Assignment) -> Json:
        """Say whose a deposit is that nobody was known for. The same again changes nothing."""
        return await switched_on(maybe).assign(given.rail, given.reference, given.agent, actor=who)
