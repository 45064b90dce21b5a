"""`/admin/ledger`, `/admin/holds`, `/admin/receipts` and `/admin/audit`: what was, and the proof of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from arbstr_core.flow import AdminFlow
from arbstr_core.web._documents import (
    AuditDocument,
    CallDocument,
    HoldDocument,
    Page,
    ReceiptDocument,
    SavingsDocument,
    TransferDocument,
)
from arbstr_core.web._fields import CallsAsked, HistoryAsked, Id, PageAsked, Time, Wanted

Json = dict[str, Any]


def record_routes(router: APIRouter, admin: AdminFlow) -> None:
    """Reads, and nothing else."""

    @router.get("/ledger", tags=["records"], response_model=Page[TransferDocument])
    async def ledger(asked: HistoryAsked, agent: Wanted = None) -> Json:
        """Transfers with their entries, the newest first; with `agent` those that changed its account, of a child key
        those of its calls."""
        return await admin.ledger(asked, agent=agent)

    @router.get("/holds", tags=["records"], response_model=Page[HoldDocument])
    async def holds(asked: PageAsked, agent: Wanted = None) -> Json:
        """What is held now, the newest first."""
        return await admin.holds(asked, agent=agent)

    @router.get("/receipts", tags=["records"], response_model=Page[CallDocument])
    async def receipts(asked: CallsAsked, agent: Wanted = None) -> Json:
        """Calls, reservations and payouts, and what they cost, the newest first."""
        return await admin.receipts(asked, agent=agent)

    @router.get("/savings", tags=["records"], response_model=SavingsDocument)
    async def savings(baseline: Wanted = None, since_ms: Time = None, until_ms: Time = None) -> Json:
        """What routing has saved against the mean of all who would have served the calls; or against `median`, or
        `list:PROVIDER`."""
        return await admin.savings(baseline or "mean", since_ms=since_ms, until_ms=until_ms)

    @router.get("/receipts/{request_id}", tags=["records"], response_model=ReceiptDocument)
    async def receipt(request_id: Id) -> Json:
        """What one call cost, who served it, and why; its id is the answer's `x-request-id`."""
        return await admin.receipt(request_id)

    @router.get("/audit", tags=["records"], response_model=Page[AuditDocument])
    async def audit(asked: PageAsked, subject: Wanted = None, action: Wanted = None) -> Json:
        """Rows of the audit, the newest first; those that vouch for the ledger's rows only with `action=ledger`."""
        return await admin.audit(asked, subject=subject, action=action)
