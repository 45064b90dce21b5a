"""Everything durable about money: agents and their limits, holds and how they end, transfers, receipts, the audit.

MONEY.md is its law. The way in is `Vault`; `schema` is what the database needs for it.
"""

from arbstr_core.vault._migrations import guards, schema
from arbstr_core.vault._records import ApprovalRecord, ApprovalState, EventName, OutboxRecord
from arbstr_core.vault._values import (
    AgentRecord,
    ApprovalNeeded,
    Beat,
    Claim,
    Claimed,
    Closed,
    Granted,
    HoldRequest,
    HoldState,
    Limits,
    LiveHolds,
    NewAgent,
    PaidOut,
    ProviderCost,
    ReceiptRecord,
    RefusalReason,
    Refused,
    SellerShare,
    Settlement,
    Verification,
)
from arbstr_core.vault._vault import Vault

__all__ = [
    "AgentRecord",
    "ApprovalNeeded",
    "ApprovalRecord",
    "ApprovalState",
    "Beat",
    "Claim",
    "Claimed",
    "Closed",
    "EventName",
    "Granted",
    "HoldRequest",
    "HoldState",
    "Limits",
    "LiveHolds",
    "NewAgent",
    "OutboxRecord",
    "PaidOut",
    "ProviderCost",
    "ReceiptRecord",
    "RefusalReason",
    "Refused",
    "SellerShare",
    "Settlement",
    "Vault",
    "Verification",
    "guards",
    "schema",
]
