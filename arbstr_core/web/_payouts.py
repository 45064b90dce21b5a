"""`/wallet/payouts` for agents, `/admin/payments` for operators: money that goes out over rails."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from arbstr_core.flow import Ask, PayoutFlow, patience
from arbstr_core.web._admin_operators import Who
from arbstr_core.web._documents import Page
from arbstr_core.web._fields import HistoryAsked, Id, Key, Msat, PageAsked, PaidMsat, Text, Wanted, printable
from arbstr_core.web._wallet import Me

Json = dict[str, Any]

Destination = Annotated[str, Field(min_length=1, max_length=8_192), AfterValidator(printable)]
Prefer = Annotated[str, Header(description="`wait=N`: answer once it has ended, or after so many seconds")]


class NewPayout(BaseModel):
    """What `POST /wallet/payouts` and `/wallet/payouts/quote` take."""

    model_config = ConfigDict(extra="forbid")
    to: Destination = Field(description="a bolt11 invoice, a Lightning address, an LNURL, or `ecash` for a token")
    amount_msat: PaidMsat | None = Field(None, description="an invoice says it itself; named, it must be the same")
    rail: Text = Field("auto", description="`auto`, or the only rail that may pay")
    mint: Text | None = Field(None, description="of a token: the mint's URL; else the rail's first")
    lock: Text | None = Field(None, description="of a token: the public key that alone can redeem it (P2PK)")
    refund_days: Annotated[int, Field(ge=1, le=3_650, strict=True)] = Field(
        30, description="of a locked token: after so long it can be taken back"
    )

    def asked(self) -> Ask:
        """The same for `flow`."""
        return Ask(
            to=self.to,
            amount_msat=self.amount_msat,
            rail=self.rail,
            mint=self.mint or "",
            lock=self.lock or "",
            refund_days=self.refund_days,
        )


class Evidence(BaseModel):
    """What `POST /admin/payments/{payment}/resolve` takes."""

    model_config = ConfigDict(extra="forbid")
    outcome: Literal["paid", "failed"]
    evidence: Text = Field(description="how that is known: it goes into the audit")
    fee_msat: Msat = Field(0, description="what it took, where it was paid")


class RailQuoteDocument(BaseModel):
    """What one rail would take."""

    rail: str
    fee_limit_msat: int
    expected_fee_msat: int


class PayoutQuoteDocument(BaseModel):
    """What a payout would take at most."""

    to: str
    kind: str = Field(description="`invoice`, `lightning_address`, `lnurl` or `ecash`")
    amount_msat: int
    fee_limit_msat: int = Field(description="the most that its fee may be")
    hold_msat: int = Field(description="what would be held: both")
    needs_approval: bool
    own: bool = Field(description="the invoice of another agent here: a transfer, without a fee")
    rails: list[RailQuoteDocument] = Field(description="the first pays; the next only once it has failed for good")


class PayoutDocument(BaseModel):
    """A payout as its agent sees it."""

    id: str
    agent: str
    key: str | None
    state: str
    to: str
    amount_msat: int
    fee_limit_msat: int
    fee_msat: int | None = Field(description="what it took, once it has succeeded")
    rail: str
    reason: str | None
    created_ms: int
    sent_ms: int | None
    ended_ms: int | None
    preimage: str | None
    token: str | None = Field(description="of a payout as ecash, once it has succeeded")


class ReclaimDocument(BaseModel):
    """A token that is taken back."""

    id: str
    payout: str
    state: str
    reason: str


class PaymentDocument(BaseModel):
    """A payment of any kind as operators see it."""

    id: str
    kind: str = Field(description="`payout`, `seller`, `topup` or `change`")
    realm: str
    owner: str = Field(description="whose account pays")
    agent: str | None
    key: str | None
    state: str
    to: str
    reference: str
    amount_msat: int
    fee_held_msat: int
    fee_msat: int | None
    rail: str
    rails: list[str]
    attempt: int
    attempts: list[dict[str, Any]]
    tries: int
    reason: str | None
    own_request: str | None
    created_ms: int
    due_ms: int
    sent_ms: int | None
    ended_ms: int | None
    handed: str | None


class PaymentWithApproval(PaymentDocument):
    """And the approval that it waits for, or went by."""

    approval: str | None


def payout_routes(router: APIRouter, payouts: PayoutFlow) -> None:
    """For agents."""

    @router.post("/payouts/quote", tags=["payouts"], response_model=PayoutQuoteDocument)
    async def quote_payout(me: Me, new: NewPayout) -> Json:
        """What a payout would take at most, by rail. Nothing is held, and nothing sent."""
        return await payouts.quote(me, new.asked())

    @router.post("/payouts", status_code=201, tags=["payouts"], response_model=PayoutDocument)
    async def create_payout(me: Me, new: NewPayout, idempotency_key: Key = None, prefer: Prefer = "") -> Json:
        """Pay. Amount and fee are held, and the payment is on its way once this answers; 403 `approval_required` where
        an operator has to let it first: then it goes once that is granted."""
        return await payouts.open(me, new.asked(), idempotency_key, wait_seconds=patience(prefer))

    @router.get("/payouts", tags=["payouts"], response_model=Page[PayoutDocument])
    async def list_payouts(me: Me, asked: PageAsked, state: Wanted = None) -> Json:
        """Payouts of the agent and of the keys below it, the newest first."""
        return await payouts.payouts(me, asked, state=state)

    @router.get("/payouts/{payout}", tags=["payouts"], response_model=PayoutDocument)
    async def show_payout(me: Me, payout: Id) -> Json:
        """One of them, with the token where it is one."""
        return await payouts.payout(me, payout)

    @router.post("/payouts/{payout}/cancel", tags=["payouts"], response_model=PayoutDocument)
    async def cancel_payout(me: Me, payout: Id) -> Json:
        """Give up one that was not sent yet."""
        return await payouts.cancel(me, payout)

    @router.post("/payouts/{payout}/reclaim", tags=["payouts"], response_model=ReclaimDocument)
    async def reclaim_payout(me: Me, payout: Id) -> Json:
        """Take back the token of one that nobody has claimed. Its money comes back as a deposit, less the mint's fee.
        The same again says what became of it."""
        return await payouts.reclaim(me, payout)


def payment_routes(router: APIRouter, payouts: PayoutFlow) -> None:
    """For operators."""

    @router.get("/payments", tags=["payments"], response_model=Page[PaymentDocument])
    async def list_payments(asked: HistoryAsked, owner: Wanted = None, state: Wanted = None) -> Json:
        """Payments, the newest first; `owner` is a root agent's id, a seller's name, a node's."""
        return await payouts.payments(asked, owner=owner, state=state)

    @router.get("/payments/{payment}", tags=["payments"], response_model=PaymentWithApproval)
    async def show_payment(payment: Id) -> Json:
        """One of them."""
        return await payouts.payment(payment)

    @router.post("/payments/{payment}/approve", tags=["payments"], response_model=PaymentWithApproval)
    async def approve_payment(payment: Id, who: Who) -> Json:
        """Let a payout go that waits for that."""
        return await payouts.decide(payment, grant=True, actor=who)

    @router.post("/payments/{payment}/deny", tags=["payments"], response_model=PaymentWithApproval)
    async def deny_payment(payment: Id, who: Who) -> Json:
        """Do not; its money is the agent's again."""
        return await payouts.decide(payment, grant=False, actor=who)

    @router.post("/payments/{payment}/cancel", tags=["payments"], response_model=PaymentWithApproval)
    async def cancel_payment(payment: Id, who: Who) -> Json:
        """Give up one that was not sent yet."""
        return await payouts.give_up(payment, actor=who)

    @router.post("/payments/{payment}/resolve", tags=["payments"], response_model=PaymentWithApproval)
    async def resolve_payment(payment: Id, said: Evidence, who: Who) -> Json:
        """End one that its rail says nothing of, by what you know; it is never looked up again."""
        paid = said.outcome == "paid"
        return await payouts.resolve(payment, paid=paid, fee_msat=said.fee_msat, evidence=said.evidence, actor=who)
