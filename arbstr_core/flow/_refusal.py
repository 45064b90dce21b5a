"""What a caller is told when the vault does not grant a hold."""

from __future__ import annotations

import logging

from arbstr_core.types import (
    AgentDisabled,
    ApprovalDenied,
    ApprovalRequired,
    Caller,
    CallRefused,
    Conflict,
    InsufficientFunds,
    LimitExceeded,
    StorageError,
    Unauthorized,
    VaultUnavailable,
    format_amount,
)
from arbstr_core.vault import ApprovalNeeded, ApprovalState, RefusalReason, Refused

_log = logging.getLogger("arbstr.flow")


def vault_unavailable(broken: StorageError) -> VaultUnavailable:
    """The error for a database that fails. What is wrong with it is for the operator: it goes into the log."""
    _log.error("calls are refused: %s", broken)
    return VaultUnavailable("The ledger cannot be used now, so nothing was sent and nothing charged; try again later")


def lease_lost() -> VaultUnavailable:
    """The error while this process cannot say that it lives: another may end its holds."""
    return VaultUnavailable("The ledger cannot be reached now, so calls are not served; try again in a moment")


def withheld() -> VaultUnavailable:
    """The error for an answer whose charge cannot be written down."""
    return VaultUnavailable(
        "The answer is withheld, for the ledger cannot be written to; it is charged once the ledger works again"
    )


def refusal(refused: Refused, caller: Caller) -> CallRefused:
    """The error for a refused hold, in words that say what is needed, what there is, and what to do."""
    needed, left = format_amount(refused.needed_msat), format_amount(refused.left_msat)
    match refused.reason:
        case RefusalReason.INSUFFICIENT:
            return InsufficientFunds(
                f"The call may cost up to {needed} and {left} are free. Ask the operator to fund the agent "
                f"{caller.name!r} (`arbstr agent fund {caller.name} AMOUNT`), or send a smaller max_tokens",
                needed_msat=refused.needed_msat,
                available_msat=refused.left_msat,
            )
        case RefusalReason.MAX_CHARGE:
            return _limit(refused, "max_charge", f"The call may cost up to {needed}; the limit for one is {left}")
        case RefusalReason.HOURLY:
            return _limit(refused, "hourly", f"The call may cost up to {needed}; {left} are left of this hour's limit")
        case RefusalReason.EXPIRED:
            return _limit(
                refused, "expired", f"The limits of {refused.agent} have expired; its operator can set new ones"
            )
        case RefusalReason.MODEL:
            return _limit(refused, "models", "The limits of this agent do not allow the model")
        case RefusalReason.CONCURRENT:
            return _limit(
                refused, "concurrent", "As many calls are open as the agent may have at one time; wait for one"
            )
        case RefusalReason.RATE:
            return _limit(
                refused, "per_minute", "As many calls were made as the agent may make in a minute; wait a little"
            )
        case RefusalReason.APPROVALS:
            return _limit(
                refused,
                "pending_approvals",
                "As many calls wait for an operator as may at one time; wait until one of them is decided",
            )
        case RefusalReason.FEE:
            return _limit(refused, "max_fee", f"The fee may be up to {left}; more was asked for")
        case RefusalReason.DAILY:
            return _limit(refused, "daily", f"The call may cost up to {needed}; {left} are left of today's limit")
        case RefusalReason.NO_LIMITS:
            return _limit(refused, "none_set", f"The agent {caller.name!r} has no limits set, so it may spend nothing")
        case RefusalReason.DISABLED:
            return AgentDisabled(f"The agent {caller.name!r} is disabled; its operator can enable it")
        case RefusalReason.UNKNOWN_AGENT:
            return Unauthorized("That agent does not exist any more")
        case RefusalReason.CONFLICT:
            return Conflict("A call with this id exists already")


def undecided(needed: ApprovalNeeded, state: ApprovalState) -> ApprovalRequired | ApprovalDenied:
    """The error for a call that an operator has to decide on, and has not, or not in its favour."""
    most, limit = format_amount(needed.needed_msat), format_amount(needed.left_msat)
    if state is ApprovalState.DENIED:
        return ApprovalDenied(
            f"The call may cost up to {most}, and an operator has denied it (approval {needed.id}). The same call sent "
            "again asks anew; a smaller max_tokens may need no approval",
            approval=needed.id,
        )
    return ApprovalRequired(
        f"The call may cost up to {most}, and above {limit} an operator has to approve. Send the same call again once "
        f"the approval {needed.id} is granted, or wait for that with the header `Prefer: wait=60`",
        approval=needed.id,
        expires_ms=needed.expires_ms,
        needed_msat=needed.needed_msat,
    )


def _limit(refused: Refused, limit: str, message: str) -> LimitExceeded:
    return LimitExceeded(
        message,
        limit=limit,
        needed_msat=refused.needed_msat,
        left_msat=refused.left_msat,
        resets_ms=refused.resets_ms,
    )
