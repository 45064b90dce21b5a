"""`/admin/sellers`: who is paid for serving calls, where to, from how much on, and how often."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from arbstr_core.flow import SellerFlow
from arbstr_core.web._admin_operators import Who
from arbstr_core.web._documents import Page
from arbstr_core.web._fields import Id, PaidMsat, Seconds, Text, Wanted, printable
from arbstr_core.web._payouts import PaymentDocument

Json = dict[str, Any]
_DAY = 86_400


class Seller(BaseModel):
    """What `POST /admin/sellers` takes."""

    model_config = ConfigDict(extra="forbid")
    name: Text = Field(description="as rows of providers name him: `seller`")
    destination: Annotated[str, Field(min_length=1, max_length=2_048), AfterValidator(printable)] = Field(
        description="a Lightning address, an LNURL, or `ecash`, `ecash of MINT`, `ecash for PUBLIC_KEY`"
    )
    realm: Text | None = Field(None, description="whose money it is; else that of the rails here")
    threshold_msat: PaidMsat = Field(1_000_000, description="he is paid from this much on")
    every_seconds: Seconds = Field(_DAY, description="and at most this often")
    enabled: bool = True


class SellerDocument(BaseModel):
    """A seller."""

    name: str
    realm: str
    destination: str = Field(description="empty where he has earned, and nobody has said how he is paid")
    threshold_msat: int
    every_seconds: int
    enabled: bool
    balance_msat: int = Field(description="earned, and not paid yet")
    last_ms: int | None = Field(description="when the last payment to him was begun")


class SellerTokenDocument(BaseModel):
    """What a seller was paid with."""

    payment: str
    owner: str
    token: str


def seller_routes(router: APIRouter, sellers: SellerFlow) -> None:
    """For operators."""

    @router.post("/sellers", tags=["sellers"], response_model=SellerDocument)
    async def set_seller(new: Seller, who: Who) -> Json:
        """Say how a seller is paid from now on."""
        return await sellers.put(
            new.name,
            destination=new.destination,
            realm=new.realm,
            threshold_msat=new.threshold_msat,
            every_seconds=new.every_seconds,
            enabled=new.enabled,
            actor=who,
        )

    @router.get("/sellers", tags=["sellers"], response_model=Page[SellerDocument])
    async def list_sellers() -> Json:
        """All of them, on one page."""
        return await sellers.sellers()

    @router.post("/sellers/{seller}/pay", tags=["sellers"], response_model=PaymentDocument)
    async def pay_seller(seller: Id, realm: Wanted = None) -> Json:
        """Pay him now, whatever his threshold and schedule say."""
        return await sellers.pay(seller, realm)

    @router.get("/payments/{payment}/token", tags=["sellers"], response_model=SellerTokenDocument)
    async def seller_token(payment: Id) -> Json:
        """The token that a seller was paid with, to hand it to him."""
        return await sellers.token(payment)
