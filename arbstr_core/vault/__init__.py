"""Everything durable about money: agents and their limits, holds and how they end, transfers, receipts, the audit.

MONEY.md is its law. The way in is `Vault`; `schema` is what the database needs for it.
"""

from arbstr_core.vault._checkpoints import Checkpoint, Mark
from arbstr_core.vault._migrations import guards, schema
from arbstr_core.vault._records import ApprovalRecord, ApprovalState, EventName, OutboxRecord
from arbstr_core.vault._statements import Statement
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
    KnownCheckpoint,
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
    "Checkpoint",
    "Claim",
    "Claimed",
    "Closed",
    "EventName",
    "Granted",
    "HoldRequest",
    "HoldState",
    "KnownCheckpoint",
    "Limits",
    "LiveHolds",
    "Mark",
    "NewAgent",
    "OutboxRecord",
    "PaidOut",
    "ProviderCost",
    "ReceiptRecord",
    "RefusalReason",
    "Refused",
    "SellerShare",
    "Settlement",
    "Statement",
    "Vault",
    "Verification",
    "guards",
    "schema",
]
