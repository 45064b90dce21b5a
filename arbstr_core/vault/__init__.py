"""Everything durable about money: agents and their limits, holds and how they end, transfers, receipts, the audit.

MONEY.md is its law. The way in is `Vault`; `schema` is what the database needs for it.
"""

from arbstr_core.vault._body import BODY_DIGEST_KEY, body_digest
from arbstr_core.vault._boot import living
from arbstr_core.vault._checkpoints import Checkpoint, Mark
from arbstr_core.vault._credits import Place
from arbstr_core.vault._ending import FailedEnd, PaidEnd
from arbstr_core.vault._events import AgentTransfer, Capital, LeftUnasked, RailCost, transfer_kinds
from arbstr_core.vault._gauges import Gauges
from arbstr_core.vault._guarded import unguarded
from arbstr_core.vault._history import History
from arbstr_core.vault._jobs import Job, LostTurn
from arbstr_core.vault._migrations import schema
from arbstr_core.vault._node_events import NodeClaimed, NodeSwept, NodeVariance, TokenDisputed
from arbstr_core.vault._operators import OperatorRecord, Operators
from arbstr_core.vault._pages import AuditRow, Filter, HoldRow, Left, LimitsRow, Part, ServedRow, TransferRow
from arbstr_core.vault._rail_values import (
    DepositRecord,
    Freeze,
    Known,
    NewPayment,
    NewRequest,
    Over,
    Owed,
    PaymentKind,
    PaymentRecord,
    PaymentState,
    Purpose,
    RequestKind,
    RequestRecord,
    RequestState,
    SellerRecord,
    Sent,
    SolvencyRecord,
    Turn,
    Waits,
)
from arbstr_core.vault._records import ApprovalRecord, ApprovalState, EventName, OutboxRecord
from arbstr_core.vault._reservations import BILLING, HOLD_KINDS
from arbstr_core.vault._roles import bounded_privileges
from arbstr_core.vault._single_calls import single_agent
from arbstr_core.vault._statements import Statement
from arbstr_core.vault._terms import check_limits
from arbstr_core.vault._treasury import Requests, Treasury
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
    "BILLING",
    "BODY_DIGEST_KEY",
    "HOLD_KINDS",
    "AgentRecord",
    "AgentTransfer",
    "ApprovalNeeded",
    "ApprovalRecord",
    "ApprovalState",
    "AuditRow",
    "Beat",
    "Capital",
    "Checkpoint",
    "Claim",
    "Claimed",
    "Closed",
    "DepositRecord",
    "EventName",
    "FailedEnd",
    "Filter",
    "Freeze",
    "Gauges",
    "Granted",
    "History",
    "HoldRequest",
    "HoldRow",
    "HoldState",
    "Job",
    "Known",
    "KnownCheckpoint",
    "Left",
    "LeftUnasked",
    "Limits",
    "LimitsRow",
    "LiveHolds",
    "LostTurn",
    "Mark",
    "NewAgent",
    "NewPayment",
    "NewRequest",
    "NodeClaimed",
    "NodeSwept",
    "NodeVariance",
    "OperatorRecord",
    "Operators",
    "OutboxRecord",
    "Over",
    "Owed",
    "PaidEnd",
    "Part",
    "PaymentKind",
    "PaymentRecord",
    "PaymentState",
    "Place",
    "ProviderCost",
    "Purpose",
    "RailCost",
    "ReceiptRecord",
    "RefusalReason",
    "Refused",
    "RequestKind",
    "RequestRecord",
    "RequestState",
    "Requests",
    "SellerRecord",
    "SellerShare",
    "Sent",
    "ServedRow",
    "Settlement",
    "SolvencyRecord",
    "Statement",
    "TokenDisputed",
    "TransferRow",
    "Treasury",
    "Turn",
    "Vault",
    "Verification",
    "Waits",
    "body_digest",
    "bounded_privileges",
    "check_limits",
    "living",
    "schema",
    "single_agent",
    "transfer_kinds",
    "unguarded",
]
